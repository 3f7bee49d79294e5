import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { FAILURES_BEFORE_REST, isGivenUp, standingAfter, widthAt } from "../../src/domain/receiver-standing.ts";
import type { SendOutcome } from "../../src/domain/webhook.ts";

const answered = (http_status: number): SendOutcome => ({
  kind: "answered",
  http_status,
  retry_after_ms: null,
  excerpt: "",
});
const ill = fc.oneof(
  fc
    .integer({ min: 300, max: 599 })
    .filter((status) => status !== 410)
    .map(answered),
  fc.constant<SendOutcome>({ kind: "failed", message: "no answer" }),
);
const well = fc.integer({ min: 200, max: 299 }).map(answered);
/** Of no meaning for the receiver's health: it has answered as it should, or was never asked. */
const neither = fc.constantFrom<SendOutcome>(
  answered(410),
  { kind: "impossible", message: "blocked" },
  { kind: "not_prepared", message: "no key" },
);
const fresh = { failures: 0, rests_until: 0 };
const HOUR = 3_600_000;

describe("a receiver of webhooks", () => {
  test("law: rests only after so many failures in a row, and one call that is taken ends it", () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(ill, well, neither), { maxLength: 60 }), (outcomes) => {
        let standing = fresh;
        let inARow = 0;
        let now = 0;
        for (const outcome of outcomes) {
          now = Math.max(now, standing.rests_until) + 1;
          standing = standingAfter(standing, outcome, now, now);
          const ok = outcome.kind === "answered" && outcome.http_status < 300;
          const bad = outcome.kind === "failed" || (outcome.kind === "answered" && !ok && outcome.http_status !== 410);
          inARow = ok ? 0 : inARow + (bad ? 1 : 0);
          expect(standing.failures).toBe(inARow);
          if (bad) expect(standing.rests_until > now).toBe(inARow >= FAILURES_BEFORE_REST);
          if (ok) expect(widthAt(standing, 7, now)).toBe(7);
        }
      }),
    );
  });

  test("law: rests grow from 5 s to 5 min, however long it lasts; between them there is one call at a time", () => {
    let standing = fresh;
    let now = 1_000;
    const rests: number[] = [];
    for (let i = 0; i < 1_500; i++) {
      standing = standingAfter(standing, answered(500), now, now);
      if (standing.rests_until === 0) {
        expect(widthAt(standing, 7, now)).toBe(7);
        continue;
      }
      rests.push(standing.rests_until - now);
      expect(widthAt(standing, 7, standing.rests_until - 1)).toBe(0);
      now = standing.rests_until;
      expect(widthAt(standing, 7, now)).toBe(1);
    }
    expect(rests.slice(0, 8)).toEqual([5, 10, 20, 40, 80, 160, 300, 300].map((secs) => secs * 1_000));
    expect(new Set(rests.slice(6))).toEqual(new Set([300_000]));
  });

  test("law: calls that were in flight when the rest began do not lengthen it, but one that is taken ends it", () => {
    fc.assert(
      fc.property(fc.array(ill, { maxLength: 20 }), fc.nat(5_000), (late, after) => {
        const begunAt = 1_000;
        let standing = { failures: FAILURES_BEFORE_REST - 1, rests_until: 0 };
        standing = standingAfter(standing, answered(500), begunAt, begunAt + 10);
        for (const outcome of late)
          expect(standingAfter(standing, outcome, begunAt, begunAt + 10 + after)).toEqual(standing);
        expect(standingAfter(standing, answered(204), begunAt, begunAt + 10 + after)).toEqual(fresh);
      }),
    );
  });

  test("of webhooks those alone are given up that have waited a day for one that still fails", () => {
    const failing = { failures: FAILURES_BEFORE_REST, rests_until: 0 };
    expect(isGivenUp(failing, 0, 26 * HOUR)).toBe(false);
    expect(isGivenUp(failing, 0, 26 * HOUR + 1)).toBe(true);
    expect(isGivenUp({ ...failing, failures: FAILURES_BEFORE_REST - 1 }, 0, 99 * HOUR)).toBe(false);
  });
});
