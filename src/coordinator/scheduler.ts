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
  /** Stands in its line. */
  listed: boolean;
}

interface Line {
  key: string | null;
  /** Ready flows, the one with the oldest first run in front. */
  flows: Flow[];
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
  /** Ready lines by priority; a Map keeps turn order: the first goes next, and then to the end. */
  private readonly levels = new Map<number, Map<string | null, Line>>();
  private priorities: number[] = [];
  private readonly parked = new Map<Blocker, Set<Flow>>();
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
    for (let p = 0; p < this.priorities.length; p++) {
      const priority = this.priorities[p] as number;
      const level = this.levels.get(priority);
      if (!level) continue;
      for (;;) {
        const line = level.values().next().value;
        if (line === undefined) break;
        const flow = line.flows[0] as Flow;
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
        flow.wokenBy = null;
        this.rotate(level, line, flow);
        if (flow.count <= 0) this.backlog.emptied(flow);
        return { flow, seq };
      }
    }
    return null;
  }

  /**
   * A permit was freed, a window has room: flows parked on it are looked at again, those first that have waited longest.
   *
   * @param room how many may go; waking more would cost what waits instead of what goes.
   */
  wake(blocker: Blocker, room = Number.POSITIVE_INFINITY): void {
    const flows = this.parked.get(blocker);
    if (!flows) return;
    let left = room;
    for (const flow of flows) {
      if (left <= 0) return;
      left -= 1;
      flows.delete(flow);
      flow.parkedOn = null;
      flow.wokenBy = blocker;
      this.list(flow);
    }
    this.parked.delete(blocker);
  }

  /** Whether anything waits for this. */
  isAwaited(blocker: Blocker): boolean {
    return this.parked.has(blocker);
  }

  /** What it was woken for it does not use. */
  private passOn(flow: Flow): void {
    const blocker = flow.wokenBy;
    flow.wokenBy = null;
    if (blocker !== null) this.wake(blocker, 1);
  }

  /** Every parked flow is looked at again: the configuration has changed. */
  wakeAll(): void {
    for (const blocker of [...this.parked.keys()]) this.wake(blocker);
  }

  /** Runs that nothing is known to hold back, up to `enough`. */
  readyCount(enough: number): number {
    let sum = 0;
    for (const level of this.levels.values()) {
      for (const line of level.values()) {
        for (const flow of line.flows) {
          sum += flow.count;
          if (sum >= enough) return enough;
        }
      }
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

  /** The line has had its turn: it goes to the end, its flows in order of their first runs. */
  private rotate(level: Map<string | null, Line>, line: Line, flow: Flow): void {
    level.delete(line.key);
    if (flow.count <= 0) {
      line.flows.shift();
      flow.listed = false;
    } else if (line.flows.length > 1) {
      line.flows.shift();
      this.insert(line, flow);
    }
    if (line.flows.length > 0) level.set(line.key, line);
  }

  private list(flow: Flow): void {
    if (flow.count <= 0 || flow.listed || flow.parkedOn !== null) return;
    flow.listed = true;
    let level = this.levels.get(flow.priority);
    if (!level) {
      level = new Map();
      this.levels.set(flow.priority, level);
      this.priorities = [...this.levels.keys()].sort((a, b) => b - a);
    }
    const line = level.get(flow.key);
    if (line === undefined) level.set(flow.key, { key: flow.key, flows: [flow] });
    else this.insert(line, flow);
  }

  /** The flow's first run may be another: its place within its line follows, and the line keeps its turn. */
  private resort(flow: Flow): void {
    if (!flow.listed) {
      this.list(flow);
      return;
    }
    const line = this.levels.get(flow.priority)?.get(flow.key);
    if (!line || line.flows.length === 1) return;
    line.flows.splice(line.flows.indexOf(flow), 1);
    this.insert(line, flow);
  }

  /** Binary insertion by the first run's number. */
  private insert(line: Line, flow: Flow): void {
    const mine = this.firstSeq(flow);
    let low = 0;
    let high = line.flows.length;
    while (low < high) {
      const mid = (low + high) >> 1;
      if (this.firstSeq(line.flows[mid] as Flow) <= mine) low = mid + 1;
      else high = mid;
    }
    line.flows.splice(low, 0, flow);
  }

  private unlist(flow: Flow): void {
    if (flow.parkedOn !== null) {
      this.parked.get(flow.parkedOn)?.delete(flow);
      flow.parkedOn = null;
    }
    if (!flow.listed) return;
    flow.listed = false;
    const level = this.levels.get(flow.priority);
    const line = level?.get(flow.key);
    if (!level || !line) return;
    const at = line.flows.indexOf(flow);
    if (at !== -1) line.flows.splice(at, 1);
    if (line.flows.length === 0) level.delete(flow.key);
  }

  private park(flow: Flow, blocker: Blocker): void {
    this.unlist(flow);
    flow.parkedOn = blocker;
    flow.wokenBy = null;
    const flows = this.parked.get(blocker) ?? new Set();
    flows.add(flow);
    this.parked.set(blocker, flows);
  }
}
