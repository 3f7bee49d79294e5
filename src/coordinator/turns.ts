import type { Flow } from "./flow.ts";
import { Heap, type Placed } from "./heap.ts";

/** The runs of one key within a priority: first come first served, and lines take turns. */
export interface Line {
  readonly priority: number;
  readonly key: string | null;
  /** When it was last served, or began to wait, as a number that only rises: the lowest goes next. */
  turn: number;
  /** How many it has. */
  flows: number;
  /** Runs that wait in it, blocked ones included. */
  waiting: number;
  /** Flows of it that stand for a blocker others wait for too. */
  woken: Set<Flow> | null;
}

/** Those flows of a line that are here. */
interface Stand extends Placed {
  line: Line;
  /** The line's turn as it was when the stand was put in order: the line may have been served since. */
  turn: number;
  flows: Heap<Flow>;
}

/**
 * Flows in the order in which they go: higher priority first; within a priority the line whose turn is oldest; within a
 * line the flow whose first run is oldest. A line keeps its turn wherever its flows wait.
 */
export class Turns {
  private readonly levels = new Map<number, Heap<Stand>>();
  /** Highest first. */
  private priorities: number[] = [];
  private readonly stands = new Map<Line, Stand>();
  private readonly isOlder: (a: Flow, b: Flow) => boolean;

  constructor(isOlder: (a: Flow, b: Flow) => boolean) {
    this.isOlder = isOlder;
  }

  /** Who goes next. */
  first(): Flow | null {
    for (const priority of this.priorities) {
      const level = this.levels.get(priority) as Heap<Stand>;
      for (let stand = level.first(); stand !== undefined; stand = level.first()) {
        if (stand.turn === stand.line.turn) return stand.flows.first() ?? null;
        stand.turn = stand.line.turn;
        level.moved(stand);
      }
    }
    return null;
  }

  get isEmpty(): boolean {
    return this.stands.size === 0;
  }

  /** Only flows of this line are here. */
  isOnly(line: Line): boolean {
    return this.stands.size === 1 && this.stands.has(line);
  }

  /** In no order. */
  *flows(): Iterable<Flow> {
    for (const stand of this.stands.values()) yield* stand.flows;
  }

  add(flow: Flow): void {
    const { line } = flow;
    const stand = this.stands.get(line);
    if (stand !== undefined) {
      stand.flows.add(flow);
      return;
    }
    const made = { line, turn: line.turn, flows: new Heap(this.isOlder, flow), slot: 0 };
    this.stands.set(line, made);
    this.level(line.priority).add(made);
  }

  private level(priority: number): Heap<Stand> {
    const known = this.levels.get(priority);
    if (known !== undefined) return known;
    const made = new Heap<Stand>((a, b) => a.turn < b.turn);
    this.levels.set(priority, made);
    this.priorities = [...this.levels.keys()].sort((a, b) => b - a);
    return made;
  }

  remove(flow: Flow): void {
    const stand = this.stands.get(flow.line);
    if (stand === undefined) return;
    stand.flows.remove(flow);
    if (stand.flows.size > 0) return;
    this.stands.delete(flow.line);
    this.levels.get(flow.priority)?.remove(stand);
  }

  /** The flow's first run may be another. */
  resort(flow: Flow): void {
    this.stands.get(flow.line)?.flows.moved(flow);
  }
}
