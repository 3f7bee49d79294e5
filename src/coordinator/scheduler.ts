import { Turns } from "./turns.ts";

/**
 * Who goes next, at the same cost however many wait.
 *
 * Runs of equal (priority, key, batch, limits) form a *flow*. Flows of one key within a priority form a *line*; lines of a
 * priority take turns, and a line serves the flow whose first run is oldest. A flow that something blocks is *parked* on
 * that blocker and not looked at again before `wake(blocker)`. The backlog inside a flow is read page by page from the
 * ledger, so memory grows with the number of flows, not of runs.
 */

/** What holds a flow back, as a name to be woken by: `batch:12`, `key:acme`, … */
export type Blocker = string;

export interface Flow {
  readonly id: number;
  readonly priority: number;
  readonly key: string | null;
  readonly batch: number | null;
  /** JSON of the named limits the runs draw from; null: every one of the job's. */
  readonly limits: string | null;
  /** Runs waiting here, those in unread pages included. */
  count: number;
  /** Ascending; retries, returned leases and runs that have become due. They go before the backlog. */
  heads: number[];
  page: number[];
  position: number;
  /** The page's key in the ledger, or null where none is loaded. */
  pageOrd: number | null;
  /** Pages not yet loaded may stand in the ledger. */
  hasMore: boolean;
  parkedOn: Blocker | null;
  /** The room it was woken for, until it has used it. */
  wokenBy: Blocker | null;
  /** Stands among those that may go. */
  listed: boolean;
}

/** The ledger's side: reads the next page of a flow, and forgets one that has been used up. */
export interface Backlog {
  /** `n` is what the page row counts; `seqs` the runs in it that still wait there. */
  nextPage(flow: number): { ord: number; n: number; seqs: number[] } | null;
  dropPage(flow: number, ord: number): void;
  dropHead(flow: number, seq: number): void;
  /** The flow holds nothing any more. */
  emptied(flow: Flow): void;
}

export class Scheduler {
  readonly flows = new Map<number, Flow>();
  /** Flows that nothing is known to hold back. */
  private readonly ready = new Turns((flow) => this.firstSeq(flow));
  private readonly parked = new Map<Blocker, Turns>();
  /** How many flows were woken for a blocker's room and have not used it. */
  private readonly woken = new Map<Blocker, number>();
  private readonly backlog: Backlog;

  constructor(backlog: Backlog) {
    this.backlog = backlog;
  }

  /** Runs waiting in flows, parked ones included. */
  get waiting(): number {
    let sum = 0;
    for (const flow of this.flows.values()) sum += flow.count;
    return sum;
  }

  addFlow(flow: Pick<Flow, "id" | "priority" | "key" | "batch" | "limits">): Flow {
    const full: Flow = {
      ...flow,
      count: 0,
      heads: [],
      page: [],
      position: 0,
      pageOrd: null,
      hasMore: false,
      parkedOn: null,
      wokenBy: null,
      listed: false,
    };
    this.flows.set(flow.id, full);
    return full;
  }

  /** Takes a flow out for good. The caller has removed its rows. */
  removeFlow(flow: Flow): void {
    this.unlist(flow);
    this.flows.delete(flow.id);
    this.passOn(flow);
  }

  /** `n` runs were appended to the flow's backlog as a page in the ledger. */
  appended(flow: Flow, n: number): void {
    flow.count += n;
    flow.hasMore = true;
    this.list(flow);
  }

  /** A run was put at the head of its flow. */
  putHead(flow: Flow, seq: number): void {
    flow.count += 1;
    const at = flow.heads.findIndex((s) => s > seq);
    if (at === -1) flow.heads.push(seq);
    else flow.heads.splice(at, 0, seq);
    this.resort(flow);
  }

  /** A waiting run was taken away (canceled, expired). */
  removed(flow: Flow, seq: number): void {
    flow.count -= 1;
    const head = flow.heads.indexOf(seq);
    if (head !== -1) flow.heads.splice(head, 1);
    else {
      const at = flow.page.indexOf(seq, flow.position);
      if (at !== -1) flow.page.splice(at, 1);
      if (flow.position >= flow.page.length) this.closePage(flow);
    }
    if (flow.count > 0) this.resort(flow);
    else {
      this.unlist(flow);
      this.passOn(flow);
    }
  }

  /**
   * The next run that may go, taken out of its place, or null when none may.
   *
   * @param blockerOf what holds a flow back now, or null. A blocked flow is parked.
   */
  take(blockerOf: (flow: Flow) => Blocker | null): { flow: Flow; seq: number } | null {
    for (;;) {
      const flow = this.ready.first();
      if (flow === null) return null;
      const blocker = blockerOf(flow);
      if (blocker !== null) {
        const roomAt = flow.wokenBy;
        this.park(flow, blocker);
        // What it was woken for is still free: another flow that waits for it is to have it.
        if (roomAt !== null && roomAt !== blocker) this.wake(roomAt, 1);
        continue;
      }
      const seq = this.pop(flow);
      if (seq === null) {
        this.unlist(flow);
        this.backlog.emptied(flow);
        this.passOn(flow);
        continue;
      }
      this.wokenFor(flow, null);
      flow.listed = flow.count > 0;
      this.ready.passTurn(flow, flow.listed);
      if (!flow.listed) this.backlog.emptied(flow);
      return { flow, seq };
    }
  }

  /**
   * A permit was freed, a window has room: flows parked on it are looked at again, in the order in which they would go.
   *
   * @param room how many runs may go; waking more flows would cost what waits instead of what goes.
   */
  wake(blocker: Blocker, room = Number.POSITIVE_INFINITY): void {
    const flows = this.parked.get(blocker);
    if (!flows) return;
    for (let left = room; left > 0; left--) {
      const flow = flows.first();
      if (flow === null) break;
      flows.passTurn(flow, false);
      flow.parkedOn = null;
      this.wokenFor(flow, blocker);
      this.list(flow);
    }
    if (flows.isEmpty) this.parked.delete(blocker);
  }

  /** Flows wait for this, and none was woken that would wake the next of them. */
  isForgotten(blocker: Blocker): boolean {
    return this.parked.has(blocker) && !this.woken.has(blocker);
  }

  private wokenFor(flow: Flow, blocker: Blocker | null): void {
    const before = flow.wokenBy;
    flow.wokenBy = blocker;
    if (before !== null) {
      const left = (this.woken.get(before) ?? 1) - 1;
      if (left > 0) this.woken.set(before, left);
      else this.woken.delete(before);
    }
    if (blocker !== null) this.woken.set(blocker, (this.woken.get(blocker) ?? 0) + 1);
  }

  /** What it was woken for it does not use. */
  private passOn(flow: Flow): void {
    const blocker = flow.wokenBy;
    this.wokenFor(flow, null);
    if (blocker !== null) this.wake(blocker, 1);
  }

  /** Every parked flow is looked at again: the configuration has changed. */
  wakeAll(): void {
    for (const blocker of [...this.parked.keys()]) this.wake(blocker);
  }

  /** Runs that nothing is known to hold back, up to `enough`. */
  readyCount(enough: number): number {
    let sum = 0;
    for (const flow of this.ready.flows()) {
      sum += flow.count;
      if (sum >= enough) return enough;
    }
    return sum;
  }

  private firstSeq(flow: Flow): number {
    return Math.min(flow.heads[0] ?? Number.MAX_SAFE_INTEGER, this.pageFirst(flow) ?? Number.MAX_SAFE_INTEGER);
  }

  private pageFirst(flow: Flow): number | null {
    while (flow.position >= flow.page.length) {
      this.closePage(flow);
      if (!flow.hasMore) return null;
      const page = this.backlog.nextPage(flow.id);
      if (page === null) {
        flow.hasMore = false;
        return null;
      }
      flow.page = page.seqs;
      flow.pageOrd = page.ord;
      flow.count += page.seqs.length - page.n;
    }
    return flow.page[flow.position] as number;
  }

  private closePage(flow: Flow): void {
    if (flow.pageOrd !== null) this.backlog.dropPage(flow.id, flow.pageOrd);
    flow.pageOrd = null;
    flow.page = [];
    flow.position = 0;
  }

  private pop(flow: Flow): number | null {
    const head = flow.heads.shift();
    if (head !== undefined) {
      this.backlog.dropHead(flow.id, head);
      flow.count -= 1;
      return head;
    }
    const seq = this.pageFirst(flow);
    if (seq === null) {
      flow.count = 0;
      return null;
    }
    flow.position += 1;
    if (flow.position >= flow.page.length) this.closePage(flow);
    flow.count -= 1;
    return seq;
  }

  private list(flow: Flow): void {
    if (flow.count <= 0 || flow.listed || flow.parkedOn !== null) return;
    flow.listed = true;
    this.ready.add(flow);
  }

  /** The flow's first run may be another. */
  private resort(flow: Flow): void {
    if (flow.listed) this.ready.resort(flow);
    else if (flow.parkedOn !== null) this.parked.get(flow.parkedOn)?.resort(flow);
    else this.list(flow);
  }

  private unlist(flow: Flow): void {
    if (flow.listed) this.ready.remove(flow);
    flow.listed = false;
    if (flow.parkedOn === null) return;
    const others = this.parked.get(flow.parkedOn);
    others?.remove(flow);
    if (others?.isEmpty) this.parked.delete(flow.parkedOn);
    flow.parkedOn = null;
  }

  private park(flow: Flow, blocker: Blocker): void {
    this.unlist(flow);
    flow.parkedOn = blocker;
    this.wokenFor(flow, null);
    const flows = this.parked.get(blocker) ?? new Turns((f) => this.firstSeq(f));
    flows.add(flow);
    this.parked.set(blocker, flows);
  }
}
