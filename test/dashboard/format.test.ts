import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  bytes,
  coarse,
  duration,
  percent,
  plural,
  prettyJson,
  rate,
  relative,
  shortId,
} from "../../src/dashboard/format.ts";

describe("numbers as people read them", () => {
  test("a share is 0 % only before the beginning and 100 % only at the end", () => {
    fc.assert(
      fc.property(fc.double({ min: 0, max: 1, noNaN: true }), (share) => {
        expect(percent(share) === "100 %").toBe(share === 1);
        expect(percent(share) === "0 %").toBe(share === 0);
      }),
    );
  });

  test.each([
    [0, "0 ms"],
    [999, "999 ms"],
    [1000, "1.0 s"],
    [59_999, "59.9 s"],
    [60_000, "1 min"],
    [250_000, "4 min 10 s"],
    [7_500_000, "2 h 5 min"],
    [273_600_000, "3 d 4 h"],
  ])("%d ms are %s", (ms, words) => {
    expect(duration(ms)).toBe(words);
  });

  test("a time is told by its distance, to the second", () => {
    const at = "2026-06-01T12:00:00.000Z";
    const now = Date.parse(at);
    expect(relative(at, now + 400)).toBe("now");
    expect(relative(at, now + 9_900)).toBe("9 s ago");
    expect(relative(at, now + 250_400)).toBe("4 min ago");
    expect(relative(at, now - 250_400)).toBe("in 4 min 10 s");
    expect(relative(null, now)).toBe("–");
    expect(coarse(400)).toBe("0 s");
  });

  test("sizes, speeds and counts carry their unit", () => {
    expect([999, 1000, 2_000_000_000].map(bytes)).toEqual(["999 B", "1 KB", "2 GB"]);
    expect([rate(null), rate(0.25), rate(6543.2)]).toEqual(["–", "0.3/s", "6,543/s"]);
    expect([plural(1, "run"), plural(12_400, "run"), plural(2, "try", "tries")]).toEqual([
      "1 run",
      "12,400 runs",
      "2 tries",
    ]);
  });
});

test("short ids tell runs of one batch apart, and batches of one minute", () => {
  const runs = ["01a21541-9f23-7000-8002-ee4000000002", "01a21541-9f23-7000-8002-ee0000000002"];
  const batches = ["01a21541-9e95-7000-8000-004000000002", "01a21541-9dc5-7000-8000-004000000001"];
  expect(new Set([...runs, ...batches].map(shortId)).size).toBe(4);
});

test("a long value is cut, and says by how much", () => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.nat(200), (value, max) => {
      const { text, omitted } = prettyJson(value, max);
      expect(text.length).toBeLessThanOrEqual(max);
      expect(text.length + omitted).toBe(JSON.stringify(value, null, 2).length);
    }),
  );
});
