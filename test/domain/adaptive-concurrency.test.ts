import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  type AdaptiveRule,
  type AdaptiveState,
  loadSign,
  onOutcome,
  presentLimit,
  start,
} from "../../src/domain/adaptive-concurrency.ts";

const T0 = 1_700_000_000_000;

/** An endpoint that bears some calls at once and refuses every other, under a backlog that never ends. */
interface Endpoint {
  /** Calls that it bears, by the seconds since the beginning. */
  bears: (secs: number) => number;
  callMs: number;
  /** Calls last `callMs` ± this share. */
  jitter: number;
  refuseMs: number;
  /** Results are reported together at multiples of this; 0: each by itself. */
  reportMs: number;
  rule: AdaptiveRule;
  secs: number;
  seed: number;
}

interface Call {
  seenAt: number;
  startedAt: number;
  kind: "good" | "overload";
}

interface Course {
  refusedShare: number;
  /** The limit from then on, seconds since the beginning. */
  limits: { at: number; limit: number }[];
}

/** Mulberry32: the simulation's dice. */
function dice(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

function simulate(endpoint: Endpoint): Course {
  const { callMs, jitter, reportMs, rule } = endpoint;
  const random = dice(endpoint.seed);
  const calls: Call[] = [];
  const course: Course["limits"] = [];
  let state = start(rule);
  let now = T0;
  /** When the calls that it bears end, ascending. */
  const working: number[] = [];
  let begun = 0;
  let refused = 0;

  const begin = (): void => {
    begun += 1;
    while ((working[0] ?? now + 1) <= now) working.shift();
    const borne = working.length < endpoint.bears((now - T0) / 1000);
    const endsAt = now + (borne ? callMs * (1 + jitter * (2 * random() - 1)) : endpoint.refuseMs);
    if (borne) working.splice(working.findLastIndex((until) => until <= endsAt) + 1, 0, endsAt);
    else refused += 1;
    const seenAt = reportMs > 0 ? Math.ceil(endsAt / reportMs) * reportMs : endsAt;
    const at = calls.findLastIndex((call) => call.seenAt <= seenAt) + 1;
    calls.splice(at, 0, { seenAt, startedAt: now, kind: borne ? "good" : "overload" });
  };

  while (now < T0 + endpoint.secs * 1000) {
    while (calls.length < presentLimit(state, rule)) begin();
    const inFlight = calls.length;
    now = calls[0]?.seenAt ?? now;
    const seen = reportMs > 0 ? calls.filter((call) => call.seenAt <= now).length : 1;
    for (const { kind, startedAt } of calls.splice(0, seen)) {
      state = onOutcome(state, rule, { kind, startedAt, now, inFlight });
    }
    course.push({ at: (now - T0) / 1000, limit: presentLimit(state, rule) });
  }
  return { refusedShare: refused / begun, limits: course };
}

/** The share of the time from `since` (seconds) on in which the limit lay from `low` to `high`. */
function shareWithin({ limits }: Course, since: number, low: number, high: number): number {
  let within = 0;
  let all = 0;
  limits.forEach(({ at, limit }, i) => {
    const lasted = (limits[i + 1]?.at ?? at) - at;
    if (at < since) return;
    all += lasted;
    if (limit >= low && limit <= high) within += lasted;
  });
  return within / all;
}

const limitAt = ({ limits }: Course, secs: number): number => limits.findLast(({ at }) => at <= secs)?.limit ?? 0;

const RULE: AdaptiveRule = { min: 1, max: 50 };
const steady = (bears: number, callMs: number, over: Partial<Endpoint> = {}): Endpoint => ({
  ...{ bears: () => bears, callMs, jitter: 0.2, refuseMs: 1, reportMs: 0, rule: RULE, secs: 60, seed: 1 },
  ...over,
});

describe("against an endpoint that bears so many calls and refuses the others at once", () => {
  const CASES = [1, 2, 8, 20, 49, 50].flatMap((bears) => [5, 100, 1000].map((callMs) => ({ bears, callMs })));
  /** The short calls are many. */
  const seeds = (callMs: number) => (callMs < 100 ? [1] : [1, 2, 3]);

  test.each(CASES)("$bears of $callMs ms: settles there, and is seldom refused", ({ bears, callMs }) => {
    for (const seed of seeds(callMs)) {
      const course = simulate(steady(bears, callMs, { seed, jitter: seed * 0.1 }));
      expect(course.refusedShare).toBeLessThan(0.05);
      // 8 calls: from 6 to 8. A probe of one call more is short.
      expect(shareWithin(course, 30, Math.floor(bears * 0.75), bears)).toBeGreaterThan(0.98);
      expect(shareWithin(course, 30, 1, bears + 1)).toBe(1);
    }
  });

  test("holds for any level, call length, refusal time and grouping of results", () => {
    const anyEndpoint = fc.record({
      bears: fc.integer({ min: 1, max: 50 }),
      callMs: fc.integer({ min: 20, max: 1000 }),
      jitter: fc.double({ min: 0, max: 0.4, noNaN: true }),
      refuseMs: fc.integer({ min: 1, max: 10 }),
      reportMs: fc.constantFrom(0, 20, 50),
      seed: fc.nat(),
    });
    fc.assert(
      fc.property(anyEndpoint, ({ bears, callMs, ...over }) => {
        const course = simulate(steady(bears, callMs, over));
        expect(course.refusedShare).toBeLessThan(0.05);
        // Between results that are reported together some calls have ended, so that a little more is borne.
        const high = over.reportMs > 0 ? bears * (1 + (2 * over.reportMs) / callMs) : bears;
        expect(shareWithin(course, 30, Math.floor(bears * 0.75), high)).toBeGreaterThan(0.9);
      }),
      { numRuns: 40 },
    );
  });

  test("follows an endpoint that comes to bear less, and one that comes to bear more", () => {
    const less = simulate(steady(0, 100, { bears: (secs) => (secs < 40 ? 20 : 5), secs: 60 }));
    expect([limitAt(less, 40), limitAt(less, 41)]).toEqual([20, expect.toSatisfy((limit) => limit <= 5)]);
    expect(less.refusedShare).toBeLessThan(0.01);
    const more = simulate(steady(0, 100, { bears: (secs) => (secs < 60 ? 8 : 30), secs: 110 }));
    expect([limitAt(more, 59), limitAt(more, 105)]).toEqual([8, expect.toSatisfy((limit) => limit >= 22)]);
    expect(more.refusedShare).toBeLessThan(0.01);
  });
});

const anyRule = fc
  .tuple(fc.integer({ min: 1, max: 60 }), fc.integer({ min: 1, max: 60 }))
  .map(([a, b]) => ({ min: Math.min(a, b), max: Math.max(a, b) }));
const anyOutcome = fc.record({
  kind: fc.constantFrom("good" as const, "good" as const, "overload" as const, "other" as const),
  lasted: fc.integer({ min: 1, max: 500 }),
  passed: fc.integer({ min: 0, max: 500 }),
  /** Of the limit. */
  inUse: fc.constantFrom(0, 0.5, 1),
});

/** Plays outcomes, and shows each step. */
function play(
  rules: AdaptiveRule[],
  outcomes: { kind: "good" | "overload" | "other"; lasted: number; passed: number; inUse: number }[],
  step: (before: AdaptiveState, after: AdaptiveState, rule: AdaptiveRule, startedAt: number) => void,
): void {
  let state = start(rules[0] ?? RULE);
  let now = T0;
  outcomes.forEach(({ kind, lasted, passed, inUse }, i) => {
    const rule = rules[Math.floor((i / outcomes.length) * rules.length)] ?? RULE;
    now += passed;
    const inFlight = Math.max(1, Math.round(presentLimit(state, rule) * inUse));
    const after = onOutcome(state, rule, { kind, startedAt: now - lasted, now, inFlight });
    step(state, after, rule, now - lasted);
    state = after;
  });
}

describe("the limit", () => {
  const outcomes = fc.array(anyOutcome, { maxLength: 200, size: "max" });

  test("is a whole number from min to max, whatever comes and however they are changed", () => {
    fc.assert(
      fc.property(fc.array(anyRule, { minLength: 1, maxLength: 3 }), outcomes, (rules, played) => {
        let last = start(RULE);
        play(rules, played, (_, after, rule) => {
          const limit = presentLimit(after, rule);
          expect(Number.isInteger(limit) && limit >= rule.min && limit <= rule.max).toBe(true);
          last = after;
        });
        // It is kept as JSON.
        expect(JSON.parse(JSON.stringify(last))).toEqual(last);
      }),
      { numRuns: 100 },
    );
  });

  test("falls by a quarter at least, once for one congestion", () => {
    fc.assert(
      fc.property(anyRule, outcomes, (rule, played) => {
        play([rule], played, (before, after, _, startedAt) => {
          if (after.limit < before.limit) {
            expect(after.limit).toBeLessThanOrEqual(Math.max(rule.min, before.limit * 0.75));
            expect(startedAt).toBeGreaterThan(before.decreasedAt);
          } else expect(presentLimit(after, rule) - presentLimit(before, rule)).toBeLessThanOrEqual(7);
        });
      }),
      { numRuns: 100 },
    );
  });

  test("does not rise while it is not in use, nor for what says nothing of the load", () => {
    const idle = fc.array(
      anyOutcome.map((o) => ({ ...o, kind: "good" as const, inUse: 0 })),
      { size: "large" },
    );
    fc.assert(
      fc.property(idle, (played) => {
        play([{ min: 4, max: 50 }], played, (_, after) => expect(after.limit).toBe(4));
      }),
      { numRuns: 30 },
    );
    // Nor after an overload, where it must be filled.
    const eight = { ...start(RULE), limit: 8, fast: false };
    const good = { kind: "good" as const, startedAt: T0, now: T0 + 1 };
    expect(onOutcome(eight, RULE, { ...good, inFlight: 7 })).toEqual(eight);
    expect(onOutcome(eight, RULE, { ...good, inFlight: 8 }).limit).toBeGreaterThan(8);
    const state = start(RULE);
    expect(onOutcome(state, RULE, { kind: "other", startedAt: T0, now: T0 + 1, inFlight: 1 })).toBe(state);
  });

  /** The state after so many good calls, with every permit in use. */
  const goodCalls = (from: AdaptiveState, calls: number, startedAt = T0) => {
    let state = from;
    for (let i = 0; i < calls; i++) {
      state = onOutcome(state, RULE, { kind: "good", startedAt, now: T0 + 100, inFlight: 50 });
    }
    return state;
  };

  test("forgets the level that broke once it has borne a round that began since it is tried again", () => {
    const trying = { ...start(RULE), limit: 9, fast: false, broke: 9, failedProbes: 2, probingSince: T0 };
    expect(goodCalls(trying, 30, T0 - 1)).toEqual(trying);
    expect(goodCalls(trying, 8)).toMatchObject({ broke: 9, failedProbes: 2 });
    expect(goodCalls(trying, 9)).toMatchObject({ broke: null, failedProbes: 0, limit: 9 });
    // Broken again, it is left alone for longer.
    const overload = { kind: "overload" as const, startedAt: T0 + 1, now: T0 + 2, inFlight: 9 };
    expect(onOutcome(trying, RULE, overload)).toMatchObject({ broke: 9, failedProbes: 3, limit: 6.75 });
  });

  test("rises by one in a round, or by an eighth of itself", () => {
    const risen = (limit: number) => goodCalls({ ...start(RULE), limit, fast: false }, limit).limit - limit;
    expect(risen(1)).toBe(1);
    // Each call adds its share of the limit as it then is.
    expect(risen(4)).toBeGreaterThan(0.8);
    expect(risen(40)).toBeCloseTo(5);
  });

  test("doubles in a round before the first overload", () => {
    let state = start(RULE);
    for (const expected of [2, 4, 8, 16, 32, 50]) {
      const inFlight = presentLimit(state, RULE);
      for (let i = 0; i < inFlight; i++) {
        state = onOutcome(state, RULE, { kind: "good", startedAt: T0, now: T0 + 1, inFlight });
      }
      expect(presentLimit(state, RULE)).toBe(expected);
    }
  });
});

test("429, 503 and timeouts are overload; other server errors and lost connections say nothing", () => {
  const answer = (http_status: number) =>
    loadSign({ kind: "response", http_status, result: null, truncated: false, retry_after_ms: null });
  expect([200, 404, 429, 500, 502, 503].map(answer)).toEqual([
    "good",
    "good",
    "overload",
    "other",
    "other",
    "overload",
  ]);
  expect(loadSign({ kind: "timeout" })).toBe("overload");
  expect(loadSign({ kind: "connection", message: "refused" })).toBe("other");
  expect(loadSign({ kind: "given_back", reason: "late" })).toBe("other");
});
