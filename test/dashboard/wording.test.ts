import { describe, expect, test } from "vitest";
import { holdingBack, lookOf, reasonInWords } from "../../src/dashboard/wording.ts";
import { RUN_STATUSES, type WaitingFor } from "../../src/domain/run.ts";

const LIMITS = {
  max_concurrency: 10,
  max_concurrency_per_key: 1,
  rate_limit_max: 20,
  rate_limit_window_secs: 1,
  rate_limit_keys: [{ name: "mail", max: 5, window_secs: 60 }],
};

const REASONS: WaitingFor[] = [
  "concurrency",
  "key",
  "rate_limit",
  "rate_limit:mail",
  "window",
  "schedule",
  "retry",
  "paused",
  "batch",
  "hold",
  "breaker",
];

describe("what holds runs back", () => {
  test("is said with the commonest reason first, and with the limit that does it", () => {
    expect(holdingBack({ retry: 1, concurrency: 120, key: 0 }, LIMITS)).toBe(
      "120 wait for a free place (10 at once), 1 waits for their next attempt",
    );
    expect(holdingBack({ "rate_limit:mail:eu": 3 }, LIMITS)).toBe("3 wait for the rate limit mail:eu (5 per 60 s)");
    expect(holdingBack({}, LIMITS)).toBe(null);
  });

  test.each(REASONS)("%s has words of its own", (reason) => {
    expect(reasonInWords(reason, null)).not.toBe(`for ${reason}`);
  });
});

test("each state of a run has a mark beside its colour, and good and bad share none", () => {
  const looks = RUN_STATUSES.map(lookOf);
  const marksOf = (tone: string) => looks.filter((look) => look.tone === tone).map(({ mark }) => mark);
  expect(marksOf("good").filter((mark) => marksOf("bad").includes(mark))).toEqual([]);
  expect(looks.every(({ label }) => label !== "")).toBe(true);
});
