import { JOB_WINDOW, type RateLimitWindow, rateLimitWindows } from "../domain/rate-limit-names.ts";
import { encodeStarts, SlidingWindow } from "../domain/rate-window.ts";
import type { Held } from "./lease.ts";
import type { Ledger } from "./ledger.ts";
import type { JobConfig } from "./protocol.ts";
import type { Blocker, Flow } from "./scheduler.ts";

/** A call may begin this late after its grant; with a rate limit a quarter of the shortest window, if that is less. */
const START_WITHIN_MS = 1_000;
/** Rows of stamps forgotten in one transaction. */
const PURGE_ROWS = 50;

/** Until when the endpoint asked to be left alone, by partition; `JOB_WINDOW` stands for the whole job. */
export type Holds = Record<string, number>;

/** A start that a window counts: settled once the consumer has said when it was. */
export interface Stamp {
  window: string;
  id: number;
}

/**
 * Keys and rate windows: what is in use, in memory, rebuilt from leases and stamp rows. A grant draws a stamp in each of its
 * windows, which counts from then on as if the call began at the last instant it may.
 */
export class Limits {
  private readonly keyHeld = new Map<string, number>();
  private readonly windows = new Map<string, SlidingWindow>();
  private readonly rules = new Map<string | null, RateLimitWindow[]>();
  /** Settled in this transaction and not yet written: bounds by window. */
  private readonly settled = new Map<string, number[]>();
  /** When windows that runs wait for will have room, and the earliest of it. */
  private readonly refills = new Map<string, number>();
  private nextRefillAt = Number.POSITIVE_INFINITY;
  private readonly ledger: Ledger;
  private config: JobConfig | null = null;

  constructor(ledger: Ledger) {
    this.ledger = ledger;
  }

  /** The configuration has changed: names and numbers are read anew. */
  configure(config: JobConfig | null): void {
    this.config = config;
    this.rules.clear();
  }

  /** Reads the starts that windows still count. */
  load(now: number): void {
    for (const row of this.ledger.all("SELECT doc FROM stamps WHERE until > ?", now - this.longestWindow())) {
      const starts = JSON.parse(row.doc as string) as Record<string, number[]>;
      for (const [window, encoded] of Object.entries(starts)) this.window(window).restore(encoded);
    }
  }

  /** Writes the starts that this transaction has settled: one row. */
  save(now: number): void {
    if (this.settled.size === 0) return;
    let until = 0;
    const doc: Record<string, number[]> = {};
    for (const [window, bounds] of this.settled) {
      doc[window] = encodeStarts(bounds);
      until = Math.max(until, ...bounds);
    }
    this.settled.clear();
    this.ledger.run("INSERT INTO stamps (until, doc) VALUES (?, ?)", until, JSON.stringify(doc));
    this.ledger.run(
      "DELETE FROM stamps WHERE id IN (SELECT id FROM stamps ORDER BY id LIMIT ?) AND until <= ?",
      PURGE_ROWS,
      now - this.longestWindow(),
    );
  }

  // ------------------------------------------------------------------ what holds a flow back

  /** A full key, or a window without room. */
  blockerOf(flow: Pick<Flow, "key" | "limits">, holds: Holds, now: number): Blocker | null {
    if (flow.key !== null && this.keyRoom(flow.key) <= 0) return `key:${flow.key}`;
    for (const limit of this.limitsOf(flow.limits)) {
      if (limit.window === JOB_WINDOW) continue;
      const at = this.freeAt(limit, holds, now);
      if (at > now) {
        this.expect(limit.window, at);
        return `window:${limit.window}`;
      }
    }
    return null;
  }

  /** When the job's own window has room; `now` where it has, or where there is none. */
  jobFreeAt(now: number): number {
    const limit = this.limitsOf(null).find((l) => l.window === JOB_WINDOW);
    return limit === undefined ? now : this.window(JOB_WINDOW).roomAt(now, limit.windowMs, limit.max);
  }

  /** When a window lets a call begin: it has room, and is not held. */
  freeAt(limit: RateLimitWindow, holds: Holds, now: number): number {
    const room = this.window(limit.window).roomAt(now, limit.windowMs, limit.max);
    return Math.max(room, holds[limit.window] ?? 0, now);
  }

  /** Whether a window that flows wait for lets another call begin; where it does not, they are woken when it does. */
  hasRoom(window: string, holds: Holds, now: number): boolean {
    const limit = this.namedLimit(window);
    const at = limit === null ? now : this.freeAt(limit, holds, now);
    if (at > now) this.expect(window, at);
    return at <= now;
  }

  keyRoom(key: string): number {
    const max = this.config?.current.spec.max_concurrency_per_key ?? null;
    return max === null ? Number.POSITIVE_INFINITY : max - (this.keyHeld.get(key) ?? 0);
  }

  limitsOf(limits: string | null): RateLimitWindow[] {
    const known = this.rules.get(limits);
    if (known) return known;
    const names = limits === null ? null : (JSON.parse(limits) as string[]);
    const rules = this.config === null ? [] : rateLimitWindows(this.config.current.spec, names);
    // Partitions are without number; those of the moment are enough.
    if (this.rules.size > 10_000) this.rules.clear();
    this.rules.set(limits, rules);
    return rules;
  }

  /** How long after its grant a call of this flow may begin. */
  startWithinMs(limits: string | null): number {
    return this.limitsOf(limits).reduce((ms, l) => Math.min(ms, Math.floor(l.windowMs / 4)), START_WITHIN_MS);
  }

  /** Windows that have room again: how many of their flows to wake. */
  refilled(holds: Holds, now: number): { blocker: Blocker; room: number }[] {
    if (now < this.nextRefillAt) return [];
    const ready: { blocker: Blocker; room: number }[] = [];
    this.nextRefillAt = Number.POSITIVE_INFINITY;
    for (const [window, expected] of this.refills) {
      const limit = this.namedLimit(window);
      const at = expected > now ? expected : limit === null ? now : this.freeAt(limit, holds, now);
      if (at > now) {
        this.expect(window, at);
        continue;
      }
      this.refills.delete(window);
      const room =
        limit === null ? Number.POSITIVE_INFINITY : limit.max - this.window(window).used(now, limit.windowMs);
      ready.push({ blocker: `window:${window}`, room });
    }
    return ready;
  }

  /** When the next of the windows that runs wait for has room; null: none waits for one. */
  nextRefill(): number | null {
    return Number.isFinite(this.nextRefillAt) ? this.nextRefillAt : null;
  }

  private expect(window: string, at: number): void {
    this.refills.set(window, at);
    this.nextRefillAt = Math.min(this.nextRefillAt, at);
  }

  // ------------------------------------------------------------------ drawing and giving back

  /** A grant takes its key's permit and a stamp in each of its windows. */
  draw(held: Held, limits: string | null): void {
    this.hold(held);
    held.windows = this.limitsOf(limits).map((l) => l.window);
    this.stamp(held);
  }

  /** A permit that stood before a restart; a call known to have begun has its stamps in the ledger. */
  restore(held: Held): void {
    this.hold(held);
    if (held.startedAt === null) this.stamp(held);
  }

  private hold(held: Held): void {
    if (held.key !== null) this.keyHeld.set(held.key, (this.keyHeld.get(held.key) ?? 0) + 1);
  }

  private stamp(held: Held): void {
    held.stamps = held.windows.map((window) => ({ window, id: this.window(window).add(held.startBy) }));
  }

  /** The call began no later than `by`. */
  settle(held: Held, by: number): void {
    const bound = Math.min(by, held.startBy);
    for (const { window, id } of held.stamps) {
      this.window(window).settle(id, bound);
      const settled = this.settled.get(window);
      if (settled) settled.push(bound);
      else this.settled.set(window, [bound]);
      this.hasten(window);
    }
    held.stamps = [];
  }

  /** The call was never begun. */
  withdraw(held: Held): void {
    for (const { window, id } of held.stamps) {
      this.window(window).withdraw(id);
      this.hasten(window);
    }
    held.stamps = [];
  }

  /** A window that runs wait for may have room sooner than was expected. */
  private hasten(window: string): void {
    if (this.refills.has(window)) this.expect(window, 0);
  }

  release(held: Held): void {
    if (held.key === null) return;
    const left = (this.keyHeld.get(held.key) ?? 1) - 1;
    if (left > 0) this.keyHeld.set(held.key, left);
    else this.keyHeld.delete(held.key);
  }

  private namedLimit(window: string): RateLimitWindow | null {
    return this.limitsOf(JSON.stringify([window])).find((l) => l.window === window) ?? null;
  }

  private window(name: string): SlidingWindow {
    const known = this.windows.get(name);
    if (known) return known;
    const made = new SlidingWindow();
    this.windows.set(name, made);
    return made;
  }

  private longestWindow(): number {
    const spec = this.config?.current.spec;
    if (!spec) return 0;
    return 1000 * Math.max(0, spec.rate_limit_window_secs ?? 0, ...spec.rate_limit_keys.map((l) => l.window_secs));
  }
}
