import { type Backlog, type Flow, FlowReader, newFlow } from "./flow.ts";
import { type Line, Turns } from "./turns.ts";

/**
 * Who goes next, at the same cost however many wait.
 *
 * Runs of equal (priority, key, batch, limits) form a *flow*. Flows of one key within a priority form a *line*; lines of a
 * priority take turns, and a line serves the flow whose first run is oldest. A flow that something blocks is *parked* on
 * that blocker and not looked at again before `wake(blocker)`. The backlog inside a flow is read page by page from the
 * ledger, so memory grows with the number of flows, not of runs.
 *
 * Of the flows parked on a blocker that may have room only the first is *woken*: it stands among those that may go for all of
 * them, and when it has gone, or finds itself blocked elsewhere, the next takes its place. So the best of all that could go is
 * always among those looked at, and one more look a run is what it costs.
 */

/** What holds a flow back, as a name to be woken by: `batch:12`, `key:acme`, … */
export type Blocker = string;

/** What the limits let go now. */
export interface Room {
  blockerOf(flow: Flow): Blocker | null;
  /** How many of a flow's runs, if nothing blocks it. */
  of(flow: Flow): number;
  /** How many runs of those that wait for a blocker. */
  behind(blocker: Blocker): number;
}

interface Parking {
  turns: Turns;
  /** The one that stands for the others. Null: the blocker was found without room. */
  woken: Flow | null;
}

/** Flows of one line, each standing for others than the line's own, whose places are reconsidered when the line has gone. */
const RECONSIDERED = 16;
/** Flows looked at in order to say how many runs may go. */
const COUNTED_FLOWS = 200;

export class Scheduler {
  readonly flows = new Map<number, Flow>();
  private readonly lines = new Map<number, Map<string | null, Line>>();
  /** Flows that nothing is known to hold back. */
  private readonly ready = this.newTurns();
  private readonly parked = new Map<Blocker, Parking>();
  /** Those of them that may have room. */
  private readonly open = new Map<Blocker, Parking>();
  /** Blockers that are still to be woken after a change of the configuration. */
  private reopening: Blocker[] = [];
  private turn = 0;
  private readonly backlog: Backlog;
  private readonly reader: FlowReader;

  constructor(backlog: Backlog) {
    this.backlog = backlog;
    this.reader = new FlowReader(backlog, (flow, n) => this.counted(flow, n));
  }

  private newTurns(): Turns {
    return new Turns((a, b) => this.reader.firstSeq(a) < this.reader.firstSeq(b));
  }

  addFlow(flow: Pick<Flow, "id" | "priority" | "key" | "batch" | "limits">): Flow {
    const line = this.line(flow.priority, flow.key);
    line.flows += 1;
    const full = newFlow(flow, line);
    this.flows.set(flow.id, full);
    return full;
  }

  private line(priority: number, key: string | null): Line {
    let level = this.lines.get(priority);
    if (level === undefined) {
      level = new Map();
      this.lines.set(priority, level);
    }
    const known = level.get(key);
    if (known !== undefined) return known;
    const made: Line = { priority, key, turn: 0, flows: 0, waiting: 0, woken: null };
    level.set(key, made);
    return made;
  }

  /** Takes a flow out for good. The caller has removed its rows. */
  removeFlow(flow: Flow): void {
    this.leave(flow);
    this.counted(flow, -flow.count);
    this.flows.delete(flow.id);
    const { line } = flow;
    line.flows -= 1;
    if (line.flows === 0) this.lines.get(line.priority)?.delete(line.key);
  }

  /** `n` runs were appended to the flow's backlog as a page in the ledger. */
  appended(flow: Flow, n: number): void {
    this.counted(flow, n);
    flow.hasMore = true;
    this.list(flow);
  }

  /** A run was put at the head of its flow. */
  putHead(flow: Flow, seq: number): void {
    this.reader.putHead(flow, seq);
    this.resort(flow);
  }

  /** A waiting run was taken away (canceled, expired). */
  removed(flow: Flow, seq: number): void {
    this.reader.remove(flow, seq);
    if (flow.count > 0) this.resort(flow);
    else this.leave(flow);
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
        this.park(flow, blocker);
        continue;
      }
      const seq = this.reader.pop(flow);
      if (seq === null) {
        this.leave(flow);
        this.backlog.emptied(flow);
        continue;
      }
      this.served(flow);
      if (flow.count <= 0) this.backlog.emptied(flow);
      return { flow, seq };
    }
  }

  /** The line has had its turn. */
  private served(flow: Flow): void {
    const { line } = flow;
    line.turn = ++this.turn;
    if (flow.count > 0) this.ready.resort(flow);
    else this.unlist(flow);
    this.passOn(flow);
    if (line.woken === null) return;
    let left = RECONSIDERED;
    for (const other of [...line.woken]) {
      if (left-- === 0) break;
      if (other.wokenBy !== null) this.wake(other.wokenBy);
    }
  }

  /** A permit was freed, a window has room: the first of the flows parked on it is looked at again. */
  wake(blocker: Blocker): void {
    const parking = this.parked.get(blocker);
    if (parking === undefined) return;
    const best = parking.turns.first() as Flow;
    const { woken } = parking;
    if (woken !== null) {
      if (this.goesBefore(woken, best)) {
        this.noteShared(woken, parking);
        return;
      }
      this.unlist(woken);
      this.notWoken(woken);
      woken.parkedOn = blocker;
      parking.turns.add(woken);
    }
    parking.turns.remove(best);
    best.parkedOn = null;
    if (parking.turns.isEmpty) {
      this.parked.delete(blocker);
      this.open.delete(blocker);
    } else {
      parking.woken = best;
      best.wokenBy = blocker;
      this.open.set(blocker, parking);
      this.noteShared(best, parking);
    }
    this.list(best);
  }

  /** The line that it stands for others of is told to look after it. */
  private noteShared(flow: Flow, parking: Parking): void {
    if (parking.turns.isOnly(flow.line)) return;
    flow.line.woken ??= new Set();
    flow.line.woken.add(flow);
  }

  /** It stands for nobody any more. Answers for whom it did. */
  private notWoken(flow: Flow): Blocker | null {
    const blocker = flow.wokenBy;
    if (blocker === null) return null;
    flow.wokenBy = null;
    flow.line.woken?.delete(flow);
    if (flow.line.woken?.size === 0) flow.line.woken = null;
    const parking = this.parked.get(blocker);
    if (parking !== undefined) parking.woken = null;
    this.open.delete(blocker);
    return blocker;
  }

  /** The next one stands for those that it stood for. */
  private passOn(flow: Flow): void {
    const blocker = this.notWoken(flow);
    if (blocker !== null) this.wake(blocker);
  }

  /** The configuration has changed: blockers of which `which` is true may have room. `reopen` wakes them. */
  reopenAll(which: (blocker: Blocker) => boolean): void {
    const freed = [...this.parked.keys()].filter(which).reverse();
    this.reopening = [...new Set([...this.reopening, ...freed])];
  }

  /** Wakes so many of those that a change has left. */
  reopen(blockers: number): void {
    for (const blocker of this.reopening.splice(-blockers)) this.wake(blocker);
  }

  get isReopening(): boolean {
    return this.reopening.length > 0;
  }

  /**
   * Runs that may go now, up to `enough`. Flows that turn out to be blocked are parked, so that what they wait for is known
   * though nobody comes to take them.
   */
  readyCount(enough: number, room: Room): number {
    let looks = 0;
    let sum = 0;
    for (let isSettled = false; !isSettled; ) {
      isSettled = true;
      sum = 0;
      for (const flow of firstOf(this.ready.flows(), COUNTED_FLOWS)) {
        looks += 1;
        const blocker = room.blockerOf(flow);
        if (blocker === null) sum += Math.min(flow.count, room.of(flow));
        else {
          this.park(flow, blocker);
          isSettled = false;
        }
        if (sum >= enough || looks === COUNTED_FLOWS) return enough;
      }
    }
    for (const [blocker, parking] of this.open) {
      let left = room.behind(blocker);
      for (const flow of parking.turns.flows()) {
        if (left <= 0) break;
        const n = Math.min(flow.count, left);
        left -= n;
        sum += n;
        if (sum >= enough || ++looks >= COUNTED_FLOWS) return enough;
      }
    }
    return sum;
  }

  private goesBefore(a: Flow, b: Flow): boolean {
    if (a.priority !== b.priority) return a.priority > b.priority;
    return a.line === b.line ? this.reader.firstSeq(a) < this.reader.firstSeq(b) : a.line.turn < b.line.turn;
  }

  /** A line that begins to wait takes the last turn. */
  private counted(flow: Flow, n: number): void {
    const { line } = flow;
    if (line.waiting === 0 && n > 0) line.turn = ++this.turn;
    flow.count += n;
    line.waiting += n;
  }

  private list(flow: Flow): void {
    if (flow.count <= 0 || flow.listed || flow.parkedOn !== null) return;
    flow.listed = true;
    this.ready.add(flow);
  }

  /** The flow's first run may be another. */
  private resort(flow: Flow): void {
    if (flow.listed) {
      this.ready.resort(flow);
      // Those that it stands for may go before it now.
      if (flow.wokenBy !== null) this.wake(flow.wokenBy);
    } else if (flow.parkedOn !== null) {
      const parking = this.parked.get(flow.parkedOn);
      parking?.turns.resort(flow);
      // It may go before the one that stands for it.
      if (parking?.woken?.line === flow.line) this.wake(flow.parkedOn);
    } else this.list(flow);
  }

  private unlist(flow: Flow): void {
    if (flow.listed) this.ready.remove(flow);
    flow.listed = false;
  }

  /** Takes a flow out of wherever it stands. */
  private leave(flow: Flow): void {
    this.unlist(flow);
    this.passOn(flow);
    const blocker = flow.parkedOn;
    if (blocker === null) return;
    flow.parkedOn = null;
    const parking = this.parked.get(blocker);
    if (parking === undefined) return;
    parking.turns.remove(flow);
    if (!parking.turns.isEmpty) return;
    if (parking.woken !== null) this.notWoken(parking.woken);
    this.parked.delete(blocker);
  }

  private park(flow: Flow, blocker: Blocker): void {
    this.unlist(flow);
    const stoodFor = this.notWoken(flow);
    flow.parkedOn = blocker;
    const parking = this.parked.get(blocker);
    if (parking === undefined) {
      const turns = this.newTurns();
      turns.add(flow);
      this.parked.set(blocker, { turns, woken: null });
    } else parking.turns.add(flow);
    if (stoodFor !== null && stoodFor !== blocker) this.wake(stoodFor);
  }
}

function firstOf<T>(all: Iterable<T>, n: number): T[] {
  const first: T[] = [];
  for (const one of all) {
    if (first.length === n) break;
    first.push(one);
  }
  return first;
}
