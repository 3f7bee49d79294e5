import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { secretProblem, signingKeys, standardSignature } from "../../src/domain/signature.ts";
import { attemptOf, judgeTry, MAX_TRIES, type SendOutcome } from "../../src/domain/webhook.ts";

const HOUR = 3_600_000;
const answered = (http_status: number, retry_after_ms: number | null = null, excerpt = ""): SendOutcome => ({
  kind: "answered",
  http_status,
  retry_after_ms,
  excerpt,
});
const dice = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
/** Whatever is neither taken nor ended by the receiver: redirects too. */
const refusal: fc.Arbitrary<SendOutcome> = fc.oneof(
  fc
    .integer({ min: 300, max: 599 })
    .filter((status) => status !== 410)
    .map((status) => answered(status)),
  fc.string().map((message) => ({ kind: "failed" as const, message })),
);

describe("what a try means", () => {
  test("law: any 2xx ends it, and 410 or what cannot be sent ends it as dead, on whichever try", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 200, max: 299 }),
        fc.integer({ min: 1, max: MAX_TRIES }),
        dice,
        (ok, tries, random) => {
          expect(judgeTry(answered(ok), tries, 0, random)).toEqual({ status: "delivered" });
          expect(judgeTry(answered(410, 5_000), tries, 0, random)).toEqual({ status: "dead" });
          expect(judgeTry({ kind: "impossible", message: "blocked" }, tries, 0, random)).toEqual({ status: "dead" });
        },
      ),
    );
  });

  test("law: anything else is tried 8 times over about a day, each pause longer than the one before", () => {
    fc.assert(
      fc.property(
        fc.array(refusal, { minLength: 8, maxLength: 8 }),
        fc.array(dice, { minLength: 8, maxLength: 8 }),
        (outcomes, random) => {
          let now = 0;
          let before = 0;
          for (const [i, outcome] of outcomes.entries()) {
            const verdict = judgeTry(outcome, i + 1, now, random[i] as number);
            if (i === MAX_TRIES - 1) {
              expect(verdict).toEqual({ status: "dead" });
              continue;
            }
            if (verdict.status !== "pending") throw new Error(`try ${i + 1} ended it`);
            const pause = verdict.next_attempt_at - now;
            expect(pause).toBeGreaterThan(before);
            [before, now] = [pause, verdict.next_attempt_at];
          }
          expect(now).toBeGreaterThan(22 * HOUR);
          expect(now).toBeLessThan(27 * HOUR);
        },
      ),
    );
  });

  test("law: what a receiver asks for with Retry-After is a floor", () => {
    fc.assert(
      fc.property(fc.nat(24 * HOUR), fc.integer({ min: 1, max: MAX_TRIES - 1 }), dice, (asked, tries, random) => {
        const plain = judgeTry(answered(503), tries, 7, random);
        const polite = judgeTry(answered(503, asked), tries, 7, random);
        if (plain.status !== "pending" || polite.status !== "pending") throw new Error("not tried again");
        expect(polite.next_attempt_at).toBe(Math.max(plain.next_attempt_at, 7 + asked));
      }),
    );
  });

  test.each<[SendOutcome, number | null, string | null]>([
    [answered(204), 204, null],
    [answered(200, null, "thanks"), 200, null],
    [answered(500), 500, "answered 500"],
    [answered(503, null, " later \n"), 503, "answered 503: later"],
    [answered(302, null, "<a>"), 302, "answered 302: redirects are not followed"],
    [{ kind: "failed", message: "no answer within 15 s" }, null, "no answer within 15 s"],
    [
      { kind: "impossible", message: "blocked: the address must use https" },
      null,
      "blocked: the address must use https",
    ],
  ])("%j is shown as %s, %s", (outcome, http_status, error) => {
    expect(attemptOf(outcome, 5)).toEqual({ at: 5, http_status, error });
  });
});

describe("a new secret", () => {
  test.each([
    ["7 chars", "must have at least 8 characters"],
    ["whsec_", "must have base64 behind whsec_"],
    ["whsec_not base64!", "must have base64 behind whsec_"],
    ["whsec_AAAAAAAAAA", "must have at least 8 bytes of base64 behind whsec_"],
  ])("%s is refused", (secret, problem) => {
    expect(secretProblem(secret)).toBe(problem);
  });

  test("law: what is taken signs; a base64 secret with its bytes", async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ minLength: 8, maxLength: 64 }), async (bytes) => {
        const secret = `whsec_${btoa(String.fromCharCode(...bytes))}`;
        expect(secretProblem(secret)).toBe(null);
        const key = await crypto.subtle.importKey("raw", bytes, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
        const mac = new Uint8Array(await crypto.subtle.sign("HMAC", key, new TextEncoder().encode("id.5.{}")));
        const expected = `v1,${btoa(String.fromCharCode(...mac))}`;
        expect(await standardSignature(await signingKeys(secret), "id", 5, "{}")).toBe(expected);
      }),
      { numRuns: 20 },
    );
  });
});
