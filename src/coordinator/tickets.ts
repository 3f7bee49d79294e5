import type { Lane } from "./lane.ts";
import type { Ticket } from "./protocol.ts";
import { readyRuns } from "./room.ts";

/** An unanswered ticket is rung again after this long… */
const RING_AGAIN_MS = 5_000;
/** …doubling to this. */
const MAX_RING_AGAIN_MS = 5 * 60_000;

/**
 * The doorbell. Which tickets are out is kept in memory only: after a restart none is known, and the work rings anew. A
 * ticket too many finds nothing to do.
 */
export class Tickets {
  private readonly out = new Map<string, number>();
  private failures = 0;

  /**
   * Names for as many tickets as the work that may go now can use, beyond those already out.
   *
   * @param call tells so many consumers that wait for work; answers how many there were.
   */
  ring(lane: Lane, now: number, name: () => string, call: (consumers: number) => number): Ticket[] {
    this.expire(now);
    const config = lane.config;
    if (config === null) return [];
    const free = lane.room(now);
    if (free === 0) return [];
    const ready = readyRuns(lane, free, now);
    const needed = Math.ceil(Math.min(free, ready) / lane.settings.pumpWidth) - this.out.size;
    const tickets: Ticket[] = [];
    for (let left = needed - call(needed); left > 0; left--) {
      const id = name();
      this.out.set(id, now);
      tickets.push({ v: 1, job: config.id, lane: 0, id });
    }
    return tickets;
  }

  /** A consumer has come with this ticket. */
  answered(id: string): void {
    if (this.out.delete(id)) this.failures = 0;
  }

  /** It could not be sent: it is not out. */
  unsent(id: string): void {
    this.out.delete(id);
  }

  /** When an unanswered ticket will be missed; null: none is out. */
  nextRingAt(): number | null {
    const oldest = this.out.values().next().value;
    return oldest === undefined ? null : oldest + this.patience;
  }

  private get patience(): number {
    return Math.min(RING_AGAIN_MS * 2 ** this.failures, MAX_RING_AGAIN_MS);
  }

  private expire(now: number): void {
    const before = now - this.patience;
    let missed = false;
    for (const [id, at] of this.out) {
      if (at > before) break;
      this.out.delete(id);
      missed = true;
    }
    if (missed) this.failures += 1;
  }
}
