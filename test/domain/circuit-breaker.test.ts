import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { CallOutcome } from "../../src/domain/call.ts";
import {
  BREAKER_CLOSED,
  type BreakerRule,
  type BreakerState,
  breakerVerdict,
  earliestStart,
  onLost,
  onOutcome,
  onStart,
} from "../../src/domain/circuit-breaker.ts";
import { heldPartitions, holdAsked, holdUntil } from "../../src/domain/hold.ts";

const T0 = 1_700_000_000_000;
const mayStart = (state: BreakerState, now: number): boolean => earliestStart(state, now) === now;

type Command =
  | { kind: "pass"; ms: number }
  | { kind: "start" }
  | { kind: "end"; pick: number; ok: boolean }
  | { kind: "lose"; pick: number };

const anyCommand: fc.Arbitrary<Command> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant("pass" as const), ms: fc.constantFrom(0, 1, 400, 999, 1000, 2500) }),
  },
  { weight: 4, arbitrary: fc.constant({ kind: "start" as const }) },
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant("end" as const),
      pick: fc.nat(),
      ok: fc.integer({ min: 0, max: 3 }).map((n) => n === 0),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("lose" as const), pick: fc.nat() }) },
);

interface Call {
  startedAt: number;
  /** Which closing of the breaker it was granted after; null: it is a probe. */
  era: number | null;
  probe: number | null;
}

/** The breaker beside a history of what happened, judged anew at every step. */
class World {
  now = T0;
  state: BreakerState = BREAKER_CLOSED;
  readonly rule: BreakerRule;
  readonly inFlight: Call[] = [];
  /** Outcomes since it last closed, of calls granted since then. */
  private history: { at: number; ok: boolean }[] = [];
  private era = 0;
  private probes = 0;
  private openUntil: number | null = null;
  private probe: number | null = null;

  constructor(rule: BreakerRule) {
    this.rule = rule;
  }

  run(command: Command): void {
    if (command.kind === "pass") this.now += command.ms;
    else if (command.kind === "start") this.start();
    else {
      const [call] = this.inFlight.splice(command.pick % Math.max(1, this.inFlight.length), 1);
      if (call === undefined) return;
      if (command.kind === "lose") this.lose(call);
      else this.end(call, command.ok);
    }
    this.check();
  }

  private get allowed(): boolean {
    return this.openUntil === null || (this.now >= this.openUntil && this.probe === null);
  }

  private start(): void {
    expect(mayStart(this.state, this.now)).toBe(this.allowed);
    if (!this.allowed) return;
    this.state = onStart(this.state, this.now);
    if (this.openUntil !== null) this.probe = ++this.probes;
    const era = this.openUntil === null ? this.era : null;
    this.inFlight.push({ startedAt: this.now, era, probe: this.probe });
  }

  private lose(call: Call): void {
    this.state = onLost(this.state, call.startedAt);
    if (call.probe !== null && call.probe === this.probe) this.probe = null;
  }

  private end(call: Call, ok: boolean): void {
    this.state = onOutcome(this.state, this.rule, { ok, startedAt: call.startedAt, now: this.now });
    if (this.openUntil !== null) {
      if (call.probe === null || call.probe !== this.probe) return;
      this.probe = null;
      if (!ok) this.openUntil = this.now + this.rule.open_secs * 1000;
      else {
        this.openUntil = null;
        this.era += 1;
        this.history = [];
      }
    } else if (call.era === this.era) {
      this.history.push({ at: this.now, ok });
      if (this.breaks()) this.openUntil = this.now + this.rule.open_secs * 1000;
    }
  }

  /** The last `failures` outcomes are failures and lie within one window. */
  private breaks(): boolean {
    const last = this.history.slice(-this.rule.failures);
    const first = last[0]?.at ?? 0;
    return (
      last.length === this.rule.failures &&
      last.every(({ ok }) => !ok) &&
      this.now - first < this.rule.window_secs * 1000
    );
  }

  private check(): void {
    expect(this.state.kind === "closed").toBe(this.openUntil === null);
    expect(mayStart(this.state, this.now)).toBe(this.allowed);
    const earliest =
      this.openUntil === null ? this.now : this.probe !== null ? null : Math.max(this.openUntil, this.now);
    expect(earliestStart(this.state, this.now)).toBe(earliest);
    if (this.state.kind === "closed") expect(this.state.failures.length).toBeLessThan(this.rule.failures);
  }
}

const anyBreaker = fc.record({
  failures: fc.integer({ min: 1, max: 4 }),
  window_secs: fc.integer({ min: 1, max: 4 }),
  open_secs: fc.integer({ min: 1, max: 4 }),
});

describe("the circuit breaker", () => {
  test("is what its history says, whatever ends late or is lost", () => {
    fc.assert(
      fc.property(anyBreaker, fc.array(anyCommand, { maxLength: 120, size: "max" }), (rule, commands) => {
        const world = new World(rule);
        for (const command of commands) world.run(command);
        // It is kept as JSON.
        expect(JSON.parse(JSON.stringify(world.state))).toEqual(world.state);
      }),
      { numRuns: 150 },
    );
  });

  const RULE = { failures: 3, window_secs: 10, open_secs: 30 };
  const failed = (state: BreakerState, now: number, startedAt = now) =>
    onOutcome(state, RULE, { ok: false, startedAt, now });

  test("opens for open_secs after as many failures in a row, then lets one probe go", () => {
    let state = failed(failed(failed(BREAKER_CLOSED, T0), T0 + 1), T0 + 2);
    expect(state).toEqual({ kind: "open", until: T0 + 2 + 30_000 });
    expect([mayStart(state, T0 + 30_001), mayStart(state, T0 + 30_002)]).toEqual([false, true]);
    state = onStart(state, T0 + 31_000);
    expect(mayStart(state, T0 + 99_000)).toBe(false);
    expect(failed(state, T0 + 32_000, T0 + 31_000)).toEqual({ kind: "open", until: T0 + 62_000 });
    const closed = onOutcome(state, RULE, { ok: true, startedAt: T0 + 31_000, now: T0 + 32_000 });
    expect(closed).toMatchObject({ kind: "closed", failures: [] });
  });

  test("forgets failures that are a window old, and all of them after a success", () => {
    expect(failed(failed(failed(BREAKER_CLOSED, T0), T0 + 1), T0 + 10_000).kind).toBe("closed");
    expect(failed(failed(failed(BREAKER_CLOSED, T0), T0 + 1), T0 + 9_999).kind).toBe("open");
    const state = onOutcome(failed(failed(BREAKER_CLOSED, T0), T0), RULE, { ok: true, startedAt: T0, now: T0 });
    expect(failed(state, T0).kind).toBe("closed");
  });
});

const answer = (http_status: number, retry_after_ms: number | null = null): CallOutcome => ({
  ...{ kind: "response", http_status, result: null, truncated: false, retry_after_ms },
});

test("a failure is a server error, 429, a timeout or a lost connection", () => {
  const verdict = (outcome: CallOutcome) => breakerVerdict(outcome, {});
  expect([200, 301, 400, 404, 408, 429, 500, 503].map((status) => verdict(answer(status)))).toEqual([
    ...["ok", "ok", "ok", "ok", "ok", "failure", "failure", "failure"],
  ]);
  expect(verdict({ kind: "timeout" })).toBe("failure");
  expect(verdict({ kind: "connection", message: "refused" })).toBe("failure");
  for (const kind of ["aborted", "blocked", "given_back"] as const) {
    expect(verdict({ kind, message: "", reason: "" })).toBeNull();
  }
  expect(breakerVerdict(answer(503), { success_statuses: [503] })).toBe("ok");
});

describe("holding back", () => {
  test("is asked for by a 429 or 503 with Retry-After", () => {
    expect([429, 503].map((status) => holdAsked(answer(status, 7000)))).toEqual([7000, 7000]);
    expect([200, 404, 500, 502].map((status) => holdAsked(answer(status, 7000)))).toEqual([null, null, null, null]);
    expect([holdAsked(answer(429)), holdAsked(answer(503, 0)), holdAsked({ kind: "timeout" })]).toEqual([
      null,
      0,
      null,
    ]);
  });

  test("lasts as long as asked, at most five minutes", () => {
    expect([0, 1000, 300_000, 300_001, 86_400_000].map((ms) => holdUntil(ms, T0) - T0)).toEqual([
      ...[0, 1000, 300_000, 300_000, 300_000],
    ]);
  });

  test("covers the partitions that a run drew from, else the whole job", () => {
    expect([null, [], ["a"], ["a", "b"]].map(heldPartitions)).toEqual([null, null, null, null]);
    expect(heldPartitions(["a", "b:x", "c:y:z"])).toEqual(["b:x", "c:y:z"]);
  });
});
