import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { AttemptRecord, RunError, RunRecord } from "../../src/domain/run.ts";
import { packRunDoc, type RunColumns, unpackRunDoc } from "../../src/domain/run-doc.ts";

type Rest = Omit<RunRecord, RunColumns>;

const instant = fc.integer({ min: 1_700_000_000_000, max: 1_900_000_000_000 });
const maybe = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: null });
const error: fc.Arbitrary<RunError> = fc.record({
  class: fc.constantFrom("client", "server", "timeout", "lost"),
  message: fc.string(),
  http_status: maybe(fc.integer({ min: 100, max: 599 })),
});

const attempt: fc.Arbitrary<AttemptRecord> = fc.record({
  number: fc.integer({ min: 1, max: 100 }),
  started_at: maybe(instant),
  finished_at: maybe(instant),
  http_status: maybe(fc.integer({ min: 100, max: 599 })),
  error: maybe(error),
  used_fallback: fc.boolean(),
  job_version: fc.integer({ min: 1, max: 9 }),
});

const rest: fc.Arbitrary<Rest> = fc.record({
  job_version: fc.integer({ min: 1, max: 9 }),
  job_version_id: fc.constant("ver_0123456789"),
  waiting_for: maybe(fc.constantFrom("retry", "rate_limit:mail")),
  earliest_start_at: maybe(instant),
  attempt: fc.nat(100),
  max_attempts: fc.integer({ min: 1, max: 100 }),
  payload_ref: maybe(fc.string()),
  result: maybe(fc.string()),
  result_ref: maybe(fc.string()),
  result_truncated: fc.boolean(),
  error: maybe(error),
  metadata: fc.dictionary(fc.string(), fc.string()),
  priority: fc.integer({ min: 0, max: 10 }),
  rate_limit_keys: maybe(fc.array(fc.string(), { minLength: 1, maxLength: 4 })),
  idempotency_key: maybe(fc.string({ minLength: 1 })),
  created_by: fc.string(),
  scheduled_at: maybe(instant),
  next_attempt_at: maybe(instant),
  created_at: instant,
  started_at: maybe(instant),
  finished_at: maybe(instant),
  expires_at: maybe(instant),
  replayed_run_id: maybe(fc.string({ minLength: 1 })),
  used_fallback: fc.boolean(),
  attempts: fc.array(attempt, { maxLength: 5 }),
});

describe("the packed document of a run", () => {
  test("comes back whole, through JSON", () => {
    fc.assert(
      fc.property(rest, (before) => {
        const after = unpackRunDoc(JSON.parse(JSON.stringify(packRunDoc(before))));
        expect(after).toEqual(JSON.parse(JSON.stringify(before)));
      }),
    );
  });

  test("leaves out what stands at its default", () => {
    fc.assert(
      fc.property(rest, (before) => {
        const packed = packRunDoc({ ...before, error: null, metadata: {}, priority: 0, attempts: [] });
        expect(Object.keys(packed)).not.toEqual(expect.arrayContaining(["error"]));
        for (const name of ["error", "metadata", "priority", "attempts"]) expect(packed).not.toHaveProperty(name);
      }),
    );
  });
});
