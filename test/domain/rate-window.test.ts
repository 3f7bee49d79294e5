import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { JOB_WINDOW, rateLimitWindows } from "../../src/domain/rate-limit-names.ts";
import { encodeStarts, SlidingWindow } from "../../src/domain/rate-window.ts";

/** A stamp as the oracle keeps it; `settled` and `gone` as the commands had it. */
interface Stamp {
  id: number;
  grantedAt: number;
  bound: number;
  start: number;
  settled: boolean;
}

type Command =
  | { kind: "pass"; ms: number }
  /** Grants what the limit lets go, at most `n`; each starts at that share of its `start_by`. */
  | { kind: "grant"; n: number; share: number }
  /** Reports a stamp; `exact`: the very instant, else somewhere between it and the bound. */
  | { kind: "settle"; pick: number; exact: boolean }
  | { kind: "withdraw"; pick: number }
  | { kind: "restart" }
  | { kind: "reconfigure"; max: number };

const anyCommand: fc.Arbitrary<Command> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("pass" as const), ms: fc.integer({ min: 0, max: 400 }) }) },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant("grant" as const),
      n: fc.integer({ min: 1, max: 12 }),
      share: fc.double({ min: 0, max: 1, noNaN: true }),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constant("settle" as const), pick: fc.nat(), exact: fc.boolean() }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("withdraw" as const), pick: fc.nat() }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("restart" as const) }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant("reconfigure" as const), max: fc.integer({ min: 1, max: 8 }) }),
  },
);

/** The real window beside a list of all that ever started. */
class World {
  now = 1_700_000_000_000;
  window = new SlidingWindow();
  stamps: Stamp[] = [];
  /** The highest limit that ever was. */
  highest: number;
  readonly windowMs: number;
  readonly startByMs: number;
  max: number;

  constructor(windowMs: number, max: number) {
    this.windowMs = windowMs;
    this.startByMs = windowMs / 4;
    this.max = max;
    this.highest = max;
  }

  run(command: Command): void {
    switch (command.kind) {
      case "pass":
        this.now += command.ms;
        break;
      case "grant":
        this.grant(command.n, command.share);
        break;
      case "settle": {
        const stamp = this.pickOpen(command.pick);
        if (stamp === undefined || stamp.start > this.now) return;
        stamp.bound = command.exact ? stamp.start : Math.ceil((stamp.start + stamp.bound) / 2);
        stamp.settled = true;
        this.window.settle(stamp.id, stamp.bound);
        this.window.settle(stamp.id, 0);
        break;
      }
      case "withdraw": {
        const stamp = this.pickOpen(command.pick);
        if (stamp === undefined) return;
        this.stamps.splice(this.stamps.indexOf(stamp), 1);
        this.window.withdraw(stamp.id);
        break;
      }
      case "restart":
        this.restart();
        break;
      case "reconfigure":
        this.max = command.max;
        this.highest = Math.max(this.highest, command.max);
    }
  }

  private grant(n: number, share: number): void {
    for (let i = 0; i < n && this.window.used(this.now, this.windowMs) < this.max; i++) {
      const bound = this.now + this.startByMs;
      const start = this.now + Math.floor(((share + i * 0.31) % 1) * this.startByMs);
      this.stamps.push({ id: this.window.add(bound), grantedAt: this.now, bound, start, settled: false });
    }
  }

  private restart(): void {
    const fresh = new SlidingWindow();
    fresh.restore(this.window.snapshot());
    for (const stamp of this.stamps) if (!stamp.settled) stamp.id = fresh.add(stamp.bound);
    this.window = fresh;
  }

  private pickOpen(pick: number): Stamp | undefined {
    const open = this.stamps.filter((s) => !s.settled);
    return open[pick % open.length];
  }

  usedAt(at: number): number {
    return this.stamps.filter((s) => s.bound + this.windowMs > at).length;
  }

  /** The most starts in any half-open interval of the window's length: one that begins at a start. */
  fullest(): number {
    const starts = this.stamps.map((s) => s.start);
    return Math.max(0, ...starts.map((t) => starts.filter((s) => s >= t && s < t + this.windowMs).length));
  }

  check(): void {
    expect(this.window.used(this.now, this.windowMs)).toBe(this.usedAt(this.now));
    // Room can appear only when a stamp leaves.
    const candidates = [this.now, ...this.stamps.map((s) => s.bound + this.windowMs).filter((at) => at > this.now)];
    const oracle = Math.min(...candidates.filter((at) => this.usedAt(at) < this.max));
    expect(this.window.roomAt(this.now, this.windowMs, this.max)).toBe(oracle);
    expect(this.fullest()).toBeLessThanOrEqual(this.highest);
  }
}

describe("a sliding window", () => {
  test("holds at every instant, and counts no start longer than it must", () => {
    fc.assert(
      fc.property(
        fc.constantFrom(4, 100, 1000),
        fc.integer({ min: 1, max: 8 }),
        fc.array(anyCommand, { maxLength: 80 }),
        (windowMs, max, commands) => {
          const world = new World(windowMs, max);
          for (const command of commands) {
            world.run(command);
            world.check();
          }
        },
      ),
      { numRuns: 400 },
    );
  });

  test("of many starts on distinct milliseconds is the same as a sorted list", () => {
    const seed = fc.record({
      steps: fc.array(fc.integer({ min: 0, max: 3 }), { minLength: 1500, maxLength: 2500 }),
      late: fc.array(fc.nat(), { maxLength: 600 }),
      windowMs: fc.integer({ min: 1, max: 4000 }),
      max: fc.integer({ min: 1, max: 1500 }),
    });
    fc.assert(
      fc.property(seed, ({ steps, late, windowMs, max }) => {
        const window = new SlidingWindow();
        let now = 1_700_000_000_000;
        const bounds = steps.map((step) => {
          now += step;
          return now + (step % 2) * 250;
        });
        const ids = bounds.map((bound) => window.add(bound));
        // Settled in any order, far behind the newest.
        for (const pick of late) {
          const i = pick % ids.length;
          const startedBy = (bounds[i] ?? 0) - (pick % 700);
          window.settle(ids[i] ?? 0, startedBy);
          if (ids[i] !== 0) bounds[i] = startedBy;
          ids[i] = 0;
        }
        for (const at of [now - 2000, now, now + windowMs / 2, now + windowMs + 251]) {
          const alive = bounds.filter((bound) => bound + windowMs > at).sort((a, b) => a - b);
          expect(window.used(at, windowMs)).toBe(alive.length);
          const room = alive.length < max ? at : (alive[alive.length - max] ?? Number.NaN) + windowMs;
          expect(window.roomAt(at, windowMs, max)).toBe(room);
        }
      }),
      { numRuns: 30 },
    );
  });

  test("no longer counts a start exactly one window ago", () => {
    const window = new SlidingWindow();
    window.settle(window.add(1000), 1000);
    expect([window.used(1999, 1000), window.used(2000, 1000)]).toEqual([1, 0]);
  });

  test("ignores stamps that it does not know, and those that have left", () => {
    const window = new SlidingWindow();
    const id = window.add(1000);
    window.settle(99, 1);
    expect(window.used(5000, 1000)).toBe(0);
    const fresh = window.add(6000);
    window.settle(id, 500);
    window.withdraw(id);
    expect(window.used(5000, 1000)).toBe(1);
    window.withdraw(fresh);
    expect(window.used(5000, 1000)).toBe(0);
  });

  test("never believes a report beyond the bound", () => {
    const window = new SlidingWindow();
    window.settle(window.add(1000), 9000);
    expect(window.used(2000, 1000)).toBe(0);
  });
});

describe("the snapshot", () => {
  const anyBounds = fc.array(fc.integer({ min: 1_700_000_000_000, max: 1_700_000_000_300 }), { maxLength: 400 });

  test("is restored from any pieces, each as the sum of its starts", () => {
    fc.assert(
      fc.property(fc.array(anyBounds, { maxLength: 4 }), (pieces) => {
        const window = new SlidingWindow();
        for (const piece of pieces) window.restore(encodeStarts(piece));
        window.add(1_700_000_000_100);
        expect(window.snapshot()).toEqual(encodeStarts(pieces.flat()));
      }),
      { numRuns: 100 },
    );
  });

  test("merges equal milliseconds and writes distances", () => {
    expect(encodeStarts([1_700_000_000_005, 1_700_000_000_000, 1_700_000_000_005])).toEqual([
      1_700_000_000_000, 1, 5, 2,
    ]);
    expect(encodeStarts([])).toEqual([]);
    expect(encodeStarts([0, 0])).toEqual([0, 2]);
  });

  test("grows with the milliseconds, not with the starts", () => {
    const window = new SlidingWindow();
    for (let i = 0; i < 100_000; i++) window.settle(window.add(1_700_000_000_000 + (i % 1000)), Number.MAX_VALUE);
    expect(window.used(1_700_000_000_500, 1000)).toBe(100_000);
    expect(window.snapshot()).toHaveLength(2000);
  });
});

describe("a run draws from", () => {
  const spec = {
    rate_limit_max: 10,
    rate_limit_window_secs: 60,
    rate_limit_keys: [
      { name: "api", max: 5, window_secs: 1 },
      { name: "mail", max: 7, window_secs: 2 },
    ],
  };
  const own = { window: JOB_WINDOW, max: 10, windowMs: 60_000, waitingFor: "rate_limit" };
  const api = { window: "api", max: 5, windowMs: 1000, waitingFor: "rate_limit:api" };
  const mail = { window: "mail", max: 7, windowMs: 2000, waitingFor: "rate_limit:mail" };

  test("the job's own window first, and every named one unless it names some", () => {
    expect(rateLimitWindows(spec, null)).toEqual([own, api, mail]);
    expect(rateLimitWindows(spec, ["mail"])).toEqual([own, mail]);
    expect(rateLimitWindows(spec, [])).toEqual([own]);
    expect(rateLimitWindows({ ...spec, rate_limit_max: null, rate_limit_window_secs: null }, null)).toEqual([
      api,
      mail,
    ]);
  });

  test("a window for each partition, odd characters and all, and waits for the limit by its name", () => {
    const partitions = ["api:eu:1", "api: ", "api:job", "api"];
    expect(rateLimitWindows(spec, partitions)).toEqual([own, ...partitions.map((window) => ({ ...api, window }))]);
  });

  test("no limit that was removed since", () => {
    expect(rateLimitWindows(spec, ["gone", "gone:x", "api", ""])).toEqual([own, api]);
  });
});
