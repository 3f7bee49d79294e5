import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { seriesOf } from "../../src/dashboard/charts.ts";

const START = Date.parse("2026-06-01T12:00:00.000Z");
const iso = (ms: number): string => new Date(ms).toISOString();

const runs = fc.array(
  fc
    .record({ status: fc.constantFrom("completed", "failed"), wait: fc.nat(100_000), took: fc.nat(10_000_000) })
    .map(({ status, wait, took }) => ({
      status,
      created_at: iso(START),
      scheduled_at: null,
      started_at: iso(START + wait),
      finished_at: iso(START + wait + took),
    })),
  { minLength: 1, maxLength: 100 },
);

describe("a job's charts", () => {
  test("show each finished run once, in few enough buckets", () => {
    fc.assert(
      fc.property(runs, (given) => {
        const series = seriesOf(given);
        expect(series).not.toBe(null);
        if (series === null) return;
        const { at, completed, notCompleted } = series;
        expect(at.length).toBeLessThanOrEqual(41);
        const width = at.length > 1 ? (at[1] ?? 0) - (at[0] ?? 0) : null;
        if (width === null) return;
        const sum = (rates: number[]) => Math.round(rates.reduce((a, b) => a + b, 0) * width);
        expect(sum(completed)).toBe(given.filter(({ status }) => status === "completed").length);
        expect(sum(notCompleted)).toBe(given.filter(({ status }) => status === "failed").length);
      }),
    );
  });

  test("count a wait from when a run might first go", () => {
    const series = seriesOf([
      {
        status: "completed",
        created_at: iso(START),
        scheduled_at: iso(START + 60_000),
        started_at: iso(START + 62_000),
        finished_at: iso(START + 63_000),
      },
    ]);
    expect(series?.waitMedian).toEqual([2]);
  });

  test("show nothing where nothing has finished", () => {
    expect(seriesOf([])).toBe(null);
    const waiting = {
      status: "queued",
      created_at: iso(START),
      scheduled_at: null,
      started_at: null,
      finished_at: null,
    };
    expect(seriesOf([waiting])).toBe(null);
  });
});
