import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { CallOutcome } from "../../src/domain/call.ts";
import { type RetryRules, retryDelayMs } from "../../src/domain/retry.ts";
import { MAX_RETRY_AFTER_MS, parseRetryAfter } from "../../src/domain/retry-after.ts";
import { MAX_LOSSES, type SettlementFacts, type SettlementRules, settle } from "../../src/domain/settlement.ts";
import { judgeStatus } from "../../src/domain/status-pattern.ts";

const NOW = Date.UTC(2026, 10, 23, 12);

const rules: SettlementRules = {
  success_statuses: null,
  retry_statuses: null,
  fallback_endpoint_url: null,
  on_lost: "retry",
  retry_strategy: "exponential",
  retry_base_secs: 1,
  retry_max_secs: 3600,
  retry_delays_secs: null,
  retry_jitter: 0,
};

const facts = (over: Partial<SettlementFacts> & Pick<SettlementFacts, "outcome">): SettlementFacts => ({
  rules,
  attempt: 1,
  max_attempts: 3,
  fallback: false,
  lost: 0,
  now: NOW,
  random: 0.5,
  ...over,
});

const response = (
  http_status: number,
  over: Partial<Extract<CallOutcome, { kind: "response" }>> = {},
): CallOutcome => ({
  kind: "response",
  http_status,
  result: null,
  truncated: false,
  retry_after_ms: null,
  ...over,
});

const anyRetryRules = fc.record({
  retry_strategy: fc.constantFrom("exponential" as const, "linear" as const, "fixed" as const, "custom" as const),
  retry_base_secs: fc.integer({ min: 0, max: 86_400 }),
  retry_max_secs: fc.integer({ min: 0, max: 86_400 }),
  retry_delays_secs: fc.array(fc.integer({ min: 0, max: 86_400 }), { minLength: 1, maxLength: 100 }),
  retry_jitter: fc.double({ min: 0, max: 1, noNaN: true }),
});

const anyStatus = fc.integer({ min: 100, max: 599 });
const anyPattern = fc.oneof(anyStatus, fc.constantFrom("1xx", "2xx", "3xx", "4xx", "5xx"));
const anyRules: fc.Arbitrary<SettlementRules> = fc
  .record({
    retry: anyRetryRules,
    success_statuses: fc.option(fc.array(anyPattern, { maxLength: 4 })),
    retry_statuses: fc.option(fc.array(anyPattern, { maxLength: 4 })),
    fallback_endpoint_url: fc.option(fc.constant("https://fallback.example/")),
    on_lost: fc.constantFrom("retry" as const, "crash" as const),
  })
  .map(({ retry, ...rest }) => ({ ...retry, ...rest }));

const anyOutcome: fc.Arbitrary<SettlementFacts["outcome"]> = fc.oneof(
  fc.record({
    kind: fc.constant("response" as const),
    http_status: anyStatus,
    result: fc.option(fc.json()),
    truncated: fc.boolean(),
    retry_after_ms: fc.option(fc.integer({ min: 0, max: MAX_RETRY_AFTER_MS })),
  }),
  fc.constant({ kind: "timeout" as const }),
  fc.constant({ kind: "connection" as const, message: "Network connection lost." }),
  fc.constant({ kind: "blocked" as const, message: "address not allowed" }),
  fc.constant({ kind: "aborted" as const }),
  fc.constant({ kind: "given_back" as const, reason: "too late" }),
  fc.constant({ kind: "lost" as const }),
);

const anyFacts: fc.Arbitrary<SettlementFacts> = fc
  .record({
    rules: anyRules,
    max_attempts: fc.integer({ min: 1, max: 100 }),
    at: fc.double({ min: 0, max: 1, noNaN: true }),
    fallback: fc.boolean(),
    environment_fallback: fc.boolean(),
    lost: fc.integer({ min: 0, max: 5 }),
    outcome: anyOutcome,
    random: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
  })
  .map(({ at, ...rest }) => ({ ...rest, attempt: 1 + Math.floor(at * (rest.max_attempts - 1)), now: NOW }));

describe("the delay before the next attempt", () => {
  const table: [Partial<RetryRules>, number[]][] = [
    [{ retry_strategy: "exponential", retry_base_secs: 2, retry_max_secs: 20 }, [2, 4, 8, 16, 20, 20]],
    [{ retry_strategy: "linear", retry_base_secs: 3, retry_max_secs: 10 }, [3, 6, 9, 10, 10]],
    [{ retry_strategy: "fixed", retry_base_secs: 7 }, [7, 7, 7]],
    [{ retry_strategy: "fixed", retry_base_secs: 7, retry_max_secs: 5 }, [5, 5]],
    [{ retry_strategy: "custom", retry_delays_secs: [1, 60, 5], retry_max_secs: 2 }, [1, 60, 5, 5, 5]],
    [{ retry_strategy: "custom", retry_delays_secs: [0] }, [0, 0]],
  ];
  test.each(table)("%o gives %o seconds", (over, expected) => {
    expect(expected.map((_, i) => retryDelayMs({ ...rules, ...over }, i + 1, 0.5) / 1000)).toEqual(expected);
  });

  test("law: a whole number of milliseconds within the jitter of the capped delay, at every attempt up to 100", () => {
    fc.assert(
      fc.property(
        anyRetryRules,
        fc.integer({ min: 1, max: 100 }),
        fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
        (r, attempt, random) => {
          const plain = retryDelayMs({ ...r, retry_jitter: 0 }, attempt, random);
          const delay = retryDelayMs(r, attempt, random);
          expect(Number.isSafeInteger(delay)).toBe(true);
          if (r.retry_strategy !== "custom") expect(plain).toBeLessThanOrEqual(r.retry_max_secs * 1000);
          expect(Math.abs(delay - plain)).toBeLessThanOrEqual(plain * r.retry_jitter + 0.5);
        },
      ),
    );
  });

  test("jitter reaches both of its ends and is even between them", () => {
    const r = { ...rules, retry_strategy: "fixed" as const, retry_base_secs: 10, retry_jitter: 0.2 };
    expect(retryDelayMs(r, 1, 0)).toBe(8000);
    expect(retryDelayMs(r, 1, 0.25)).toBe(9000);
    expect(retryDelayMs(r, 1, 0.999999999)).toBe(12000);
  });
});

describe("what a status means", () => {
  test.each([
    [200, "success"],
    [204, "success"],
    [299, "success"],
    [301, "refused"],
    [304, "refused"],
    [400, "refused"],
    [404, "refused"],
    [408, "retried"],
    [409, "refused"],
    [425, "retried"],
    [429, "retried"],
    [500, "retried"],
    [599, "retried"],
  ])("by default %d is %s", (status, verdict) => {
    expect(judgeStatus({}, status)).toBe(verdict);
  });

  test.each([
    [{ success_statuses: ["2xx", 409] }, 409, "success"],
    [{ success_statuses: ["2xx", 409] }, 410, "refused"],
    [{ success_statuses: [200] }, 204, "refused"],
    [{ success_statuses: ["404"] }, 404, "success"],
    [{ retry_statuses: [409] }, 409, "retried"],
    [{ retry_statuses: [409] }, 503, "refused"],
    [{ retry_statuses: [202] }, 202, "retried"],
    [{ retry_statuses: [202] }, 200, "success"],
    [{ success_statuses: ["5xx"], retry_statuses: [503] }, 503, "retried"],
    [{ success_statuses: ["5xx"], retry_statuses: [503] }, 500, "success"],
    [{ success_statuses: [503], retry_statuses: ["5xx"] }, 503, "success"],
    [{ success_statuses: [], retry_statuses: [] }, 200, "refused"],
  ])("with %o, %d is %s", (over, status, verdict) => {
    expect(judgeStatus(over, status)).toBe(verdict);
  });
});

describe("settlement", () => {
  test("a success carries its result", () => {
    const outcome = response(200, { result: '{"n":12345678901234567890}', truncated: true });
    expect(settle(facts({ outcome }))).toEqual({
      kind: "completed",
      result: '{"n":12345678901234567890}',
      result_truncated: true,
    });
  });

  test.each([
    [301, "client"],
    [400, "client"],
    [401, "auth"],
    [403, "auth"],
    [422, "client"],
  ])("%d is final at the first attempt, class %s", (status, errorClass) => {
    expect(settle(facts({ outcome: response(status, { excerpt: " no \n" }) }))).toEqual({
      kind: "failed",
      error: { class: errorClass, message: `HTTP ${status}: no`, http_status: status },
    });
  });

  test.each([
    [408, "client"],
    [425, "client"],
    [429, "rate_limited"],
    [503, "server"],
  ])("%d is tried again, then failed, class %s", (status, errorClass) => {
    const error = { class: errorClass, message: `HTTP ${status}`, http_status: status };
    const outcome = response(status);
    expect(settle(facts({ outcome, attempt: 2 }))).toEqual({ kind: "retry", at: NOW + 2000, error });
    expect(settle(facts({ outcome, attempt: 3 }))).toEqual({ kind: "failed", error });
  });

  test("the last attempt's timeout is `timed_out`, its broken connection is `failed`", () => {
    const last = { attempt: 3 };
    expect(settle(facts({ ...last, outcome: { kind: "timeout" } })).kind).toBe("timed_out");
    expect(settle(facts({ ...last, outcome: { kind: "connection", message: "reset" } }))).toEqual({
      kind: "failed",
      error: { class: "connection", message: "reset", http_status: null },
    });
  });

  test("the fallback is asked once, and what it says decides", () => {
    const withFallback = { ...rules, fallback_endpoint_url: "https://fallback.example/" };
    const outcomes: CallOutcome[] = [
      response(429),
      response(500),
      { kind: "timeout" },
      { kind: "connection", message: "" },
    ];
    for (const outcome of outcomes) {
      expect(settle(facts({ rules: withFallback, outcome, attempt: 3 })).kind).toBe("fallback");
      // The version has none, its environment has.
      expect(settle(facts({ outcome, attempt: 3, environment_fallback: true })).kind).toBe("fallback");
      expect(settle(facts({ outcome, attempt: 3, environment_fallback: false })).kind).not.toBe("fallback");
      expect(settle(facts({ rules: withFallback, outcome, attempt: 2, fallback: true })).kind).toBe("retry");
      expect(settle(facts({ rules: withFallback, outcome, attempt: 3, fallback: true })).kind).toBe(
        outcome.kind === "timeout" ? "timed_out" : "failed",
      );
    }
    for (const status of [400, 404, 408, 301]) {
      expect(settle(facts({ rules: withFallback, outcome: response(status) })).kind).not.toBe("fallback");
    }
    expect(settle(facts({ rules: withFallback, outcome: response(200), fallback: true })).kind).toBe("completed");
    expect(settle(facts({ rules: withFallback, outcome: response(404), fallback: true })).kind).toBe("failed");
  });

  test("a lost call is made again three times, or never with `crash`", () => {
    const outcome = { kind: "lost" as const };
    expect([0, 1, 2, 3].map((lost) => settle(facts({ outcome, lost, attempt: 3 })).kind)).toEqual([
      "again",
      "again",
      "again",
      "crashed",
    ]);
    expect(MAX_LOSSES).toBe(3);
    expect(settle(facts({ outcome, rules: { ...rules, on_lost: "crash" } }))).toMatchObject({
      kind: "crashed",
      error: { class: "lost" },
    });
  });

  test("law: exactly one settlement for every outcome, and no attempt beyond the last", () => {
    fc.assert(
      fc.property(anyFacts, (f) => {
        const s = settle(f);
        if (s.kind === "retry") expect(f.attempt).toBeLessThan(f.max_attempts);
        if (s.kind === "fallback") {
          expect(f.fallback).toBe(false);
          expect(f.rules.fallback_endpoint_url !== null || f.environment_fallback === true).toBe(true);
        }
        if (s.kind === "again") expect(["given_back", "lost"]).toContain(f.outcome.kind);
        if (s.kind === "crashed") expect(f.outcome.kind).toBe("lost");
        if (s.kind === "timed_out") expect(f.outcome.kind).toBe("timeout");
        if (s.kind === "aborted") expect(f.outcome.kind).toBe("aborted");
        if (f.outcome.kind === "blocked") expect(s.kind).toBe("failed");
        if (s.kind === "completed") expect(f.outcome.kind).toBe("response");
        if ("at" in s) expect(s.at).toBeGreaterThanOrEqual(f.now);
        // The decision rests on its facts alone.
        expect(settle(f)).toEqual(s);
      }),
      { numRuns: 500 },
    );
  });

  test("law: `Retry-After` is a floor, and only a floor", () => {
    fc.assert(
      fc.property(anyFacts, fc.integer({ min: 0, max: MAX_RETRY_AFTER_MS }), (f, floor) => {
        const without = settle({ ...f, outcome: response(503) });
        const s = settle({ ...f, outcome: response(503, { retry_after_ms: floor }) });
        expect(s.kind).toBe(without.kind);
        if (s.kind === "retry" && without.kind === "retry") expect(s.at).toBe(Math.max(without.at, f.now + floor));
      }),
    );
  });

  test("law: every sequence of outcomes ends, within its attempts, fallbacks and losses", () => {
    fc.assert(
      fc.property(
        anyRules,
        fc.integer({ min: 1, max: 20 }),
        fc.infiniteStream(anyOutcome),
        (r, max_attempts, outcomes) => {
          let attempt = 1;
          let fallback = false;
          let lost = 0;
          let calls = 0;
          for (const outcome of outcomes) {
            // Given back means not called.
            if (outcome.kind === "given_back") continue;
            calls++;
            const s = settle(facts({ rules: r, attempt, max_attempts, fallback, lost, outcome }));
            if (s.kind === "again") lost++;
            else if (s.kind === "fallback") fallback = true;
            else if (s.kind === "retry") {
              attempt++;
              fallback = false;
            } else break;
          }
          expect(attempt).toBeLessThanOrEqual(max_attempts);
          expect(calls).toBeLessThanOrEqual(2 * max_attempts + MAX_LOSSES);
        },
      ),
    );
  });
});

describe("Retry-After", () => {
  test.each([
    [null, null],
    ["", null],
    ["soon", null],
    ["-5", null],
    ["1.5", null],
    ["0", 0],
    [" 120 ", 120_000],
    ["99999999999999999999", MAX_RETRY_AFTER_MS],
    ["Mon, 23 Nov 2026 12:00:30 GMT", 30_000],
    ["Monday, 23-Nov-26 12:00:30 GMT", 30_000],
    ["Mon Nov 23 12:00:30 2026", 30_000],
    ["Mon, 23 Nov 2026 11:00:00 GMT", 0],
    ["Mon, 23 Nov 2027 12:00:00 GMT", MAX_RETRY_AFTER_MS],
    ["Mon, 99 Nov 2026 12:00:00 GMT", null],
    ["2026-11-23T12:00:30Z", null],
  ])("%o is %o ms", (header, ms) => {
    expect(parseRetryAfter(header, NOW)).toBe(ms);
  });
});
