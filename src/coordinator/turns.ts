import type { Flow } from "./scheduler.ts";

interface Line {
  key: string | null;
  /** The one with the oldest first run in front. */
  flows: Flow[];
}

/**
 * Flows in the order in which they go: higher priority first; within a priority the lines (flows of one key) take turns;
 * within a line the flow whose first run is oldest.
 */
export class Turns {
  /** By priority; a Map keeps turn order: the first line goes next, and then to the end. */
  private readonly levels = new Map<number, Map<string | null, Line>>();
  /** Highest first. */
  private priorities: number[] = [];
  private readonly firstSeq: (flow: Flow) => number;

  constructor(firstSeq: (flow: Flow) => number) {
    this.firstSeq = firstSeq;
  }

  /** Who goes next. */
  first(): Flow | null {
    for (const priority of this.priorities) {
      for (const line of this.levels.get(priority)?.values() ?? []) return line.flows[0] ?? null;
    }
    return null;
  }

  get isEmpty(): boolean {
    return this.first() === null;
  }

  *flows(): Iterable<Flow> {
    for (const level of this.levels.values()) for (const line of level.values()) yield* line.flows;
  }

  add(flow: Flow): void {
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

  remove(flow: Flow): void {
    const level = this.levels.get(flow.priority);
    const line = level?.get(flow.key);
    if (!level || !line) return;
    const at = line.flows.indexOf(flow);
    if (at !== -1) line.flows.splice(at, 1);
    if (line.flows.length === 0) level.delete(flow.key);
  }

  /** The flow in front of its line has had the line's turn: the line goes to the end, the flow to its place in it. */
  passTurn(flow: Flow, stays: boolean): void {
    const level = this.levels.get(flow.priority);
    const line = level?.get(flow.key);
    if (!level || !line) return;
    level.delete(flow.key);
    if (!stays) line.flows.shift();
    else if (line.flows.length > 1) {
      line.flows.shift();
      this.insert(line, flow);
    }
    if (line.flows.length > 0) level.set(flow.key, line);
  }

  /** The flow's first run may be another: its place in its line follows, and the line keeps its turn. */
  resort(flow: Flow): void {
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
}
