import type { JobSpec } from "../domain/job.ts";
import { isEased, JOB_WINDOW, limitOf, type RateLimitWindow, rateLimitWindows } from "../domain/rate-limit-names.ts";
import { encodeStarts, SlidingWindow } from "../domain/rate-window.ts";
import { Agenda } from "./agenda.ts";
import type { Flow } from "./flow.ts";
import { Holds } from "./holds.ts";
import type { Held } from "./lease.ts";
import type { Ledger } from "./ledger.ts";
import type { JobConfig } from "./protocol.ts";
import type { Blocker } from "./scheduler.ts";

/** A call may begin this late after its grant; with a rate limit a quarter of the shortest window, if that is less. */
const START_WITHIN_MS = 1_000;
/** Rows of stamps forgotten in one transaction. */
const PURGE_ROWS = 50;
/** Starts of a limit that the job has no more are remembered so long. */
const REMEMBERED_MS = 3_600_000;
/** Windows looked at for each start, whether they are empty and may be forgotten. */
const TIDIED_WINDOWS = 2;

/** Before a window's name, where it is a blocker. */
const WINDOW = "window:";

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
  /** When windows that runs wait for will have room. */
  private readonly refills = new Agenda<string>();
  private tidying: Iterator<[string, SlidingWindow]> = [][Symbol.iterator]();
  /** Until when the oldest row of stamps counts. */
  private purgeAt = 0;
  readonly holds: Holds;
  private readonly ledger: Ledger;
  private config: JobConfig | null = null;
  private jobLimit: RateLimitWindow | null = null;

  constructor(ledger: Ledger) {
    this.ledger = ledger;
    this.holds = new Holds(ledger);
  }

  /**
   * The configuration has changed: names and numbers are read anew.
   *
   * @returns which blockers it may have given room.
   */
  configure(config: JobConfig | null): (blocker: Blocker) => boolean {
    const before = this.config?.current.spec ?? null;
    this.config = config;
    this.rules.clear();
    this.jobLimit = this.limitOf(JOB_WINDOW);
    const after = config?.current.spec ?? null;
    if (before === null || after === null) return () => true;
    const keysEased = isKeyLimitEased(before, after);
    const heedsNoMore = before.hold_on_retry_after && !after.hold_on_retry_after;
    if (heedsNoMore) this.holds.clear();
    return (blocker) => {
      if (blocker.startsWith("key:")) return keysEased;
      return blocker.startsWith(WINDOW) && (heedsNoMore || isEased(before, after, blocker.slice(WINDOW.length)));
    };
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
    const until = Math.max(...[...this.settled.values()].flat());
    // Not by assignment: a limit may be called `__proto__`.
    const doc = Object.fromEntries([...this.settled].map(([window, bounds]) => [window, encodeStarts(bounds)]));
    this.settled.clear();
    this.ledger.run("INSERT INTO stamps (until, doc) VALUES (?, ?)", until, JSON.stringify(doc));
    this.purge(now - this.longestWindow());
  }

  /** Forgets rows that no window counts any more, oldest first. */
  private purge(horizon: number): void {
    if (this.purgeAt > horizon) return;
    this.ledger.run(
      "DELETE FROM stamps WHERE id IN (SELECT id FROM stamps ORDER BY id LIMIT ?) AND until <= ?",
      PURGE_ROWS,
      horizon,
    );
    this.purgeAt = this.ledger.all("SELECT until FROM stamps ORDER BY id LIMIT 1")[0]?.until as number;
  }

  // ------------------------------------------------------------------ what holds a flow back

  /** A full key, or a window without room. */
  blockerOf(flow: Pick<Flow, "key" | "limits">, now: number): Blocker | null {
    if (flow.key !== null && this.keyRoom(flow.key) <= 0) return `key:${flow.key}`;
    for (const limit of this.limitsOf(flow.limits)) {
      if (limit.window === JOB_WINDOW) continue;
      const at = this.freeAt(limit, now);
      if (at > now) {
        this.refills.set(limit.window, at);
        return WINDOW + limit.window;
      }
    }
    return null;
  }

  /** When the job's own window has room; `now` where it has, or where there is none. */
  jobFreeAt(now: number): number {
    return this.jobLimit === null ? now : this.roomAt(this.jobLimit, now);
  }

  /** When a window lets a call begin: it has room, and is not held. */
  freeAt(limit: RateLimitWindow, now: number): number {
    return Math.max(this.roomAt(limit, now), this.holds.until(limit.window), now);
  }

  private roomAt({ window, windowMs, max }: RateLimitWindow, now: number): number {
    return this.windows.get(window)?.roomAt(now, windowMs, max) ?? now;
  }

  /** How many calls a window lets begin now. */
  private windowRoom(limit: RateLimitWindow, now: number): number {
    if (this.holds.until(limit.window) > now) return 0;
    return limit.max - (this.windows.get(limit.window)?.used(now, limit.windowMs) ?? 0);
  }

  /** How many of a flow's runs its key and its windows let go now. */
  roomFor(flow: Pick<Flow, "key" | "limits">, now: number): number {
    let room = flow.key === null ? Number.POSITIVE_INFINITY : this.keyRoom(flow.key);
    for (const limit of this.limitsOf(flow.limits)) room = Math.min(room, this.windowRoom(limit, now));
    return room;
  }

  /** How many runs a key or a window lets go now. */
  roomBehind(blocker: Blocker, now: number): number {
    if (blocker.startsWith("key:")) return this.keyRoom(blocker.slice("key:".length));
    const limit = this.limitOf(blocker.slice(WINDOW.length));
    return limit === null ? Number.POSITIVE_INFINITY : this.windowRoom(limit, now);
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

  /** Windows that runs wait for, and that have room again. */
  *refilled(now: number): Generator<Blocker> {
    for (const window of this.refills.due(now)) {
      const limit = this.limitOf(window);
      const at = limit === null ? now : this.freeAt(limit, now);
      if (at > now) this.refills.set(window, at);
      else yield WINDOW + window;
    }
  }

  /** When the next of the windows that runs wait for has room; null: none waits for one. */
  nextRefill(): number | null {
    return this.refills.next();
  }

  // ------------------------------------------------------------------ drawing and giving back

  /** A grant takes its key's permit and a stamp in each of its windows. */
  draw(held: Held, limits: string | null): void {
    this.hold(held);
    held.windows = this.limitsOf(limits).map((l) => l.window);
    this.stamp(held);
    if (held.windows.length > 0) this.tidy(held.grantedAt);
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
    if (this.refills.has(window)) this.refills.set(window, 0);
  }

  release(held: Held): void {
    if (held.key === null) return;
    const left = (this.keyHeld.get(held.key) ?? 1) - 1;
    if (left > 0) this.keyHeld.set(held.key, left);
    else this.keyHeld.delete(held.key);
  }

  private limitOf(window: string): RateLimitWindow | null {
    return this.config === null ? null : limitOf(this.config.current.spec, window);
  }

  private window(name: string): SlidingWindow {
    const known = this.windows.get(name);
    if (known) return known;
    const made = new SlidingWindow();
    this.windows.set(name, made);
    return made;
  }

  /** Partitions are without number: those whose starts are all over are forgotten, a few a start, in turn. */
  private tidy(now: number): void {
    for (let i = 0; i < TIDIED_WINDOWS; i++) {
      const next = this.tidying.next();
      if (next.done) {
        this.tidying = this.windows.entries();
        return;
      }
      const [name, window] = next.value;
      // A limit that was taken away may come back.
      const windowMs = this.limitOf(name)?.windowMs ?? REMEMBERED_MS;
      if (window.used(now, windowMs) === 0) this.windows.delete(name);
    }
  }

  private longestWindow(): number {
    const spec = this.config?.current.spec;
    if (!spec) return 0;
    return 1000 * Math.max(0, spec.rate_limit_window_secs ?? 0, ...spec.rate_limit_keys.map((l) => l.window_secs));
  }
}

/** A key may have room that it had not before. */
function isKeyLimitEased(before: JobSpec, after: JobSpec): boolean {
  const unlimited = Number.POSITIVE_INFINITY;
  return (after.max_concurrency_per_key ?? unlimited) > (before.max_concurrency_per_key ?? unlimited);
}
