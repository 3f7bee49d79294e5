import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { clock, inBytes, type Progress, progressView, renderProgress } from "../../src/cli/progress-bar.ts";
import { renderTable } from "../../src/cli/table.ts";

describe("the progress bar", () => {
  test("shows share, counts that are not 0, rate and time left", () => {
    const line = renderProgress({
      done: 100,
      total: 400,
      counts: { completed: 98, failed: 2, canceled: 0 },
      elapsedMs: 2_000,
    });
    expect(line).toBe("[#######-----------------------]  25 %  100/400 · 98 completed · 2 failed · 50/s · 0:06 left");
  });

  test("is whole for every progress: never over its width, full only at the end", () => {
    const progress = fc
      .record({ total: fc.nat(1_000_000), share: fc.double({ min: 0, max: 1, noNaN: true }), elapsedMs: fc.nat() })
      .map(({ total, share, elapsedMs }): Progress => {
        return { total, done: Math.floor(total * share), counts: {}, elapsedMs };
      });
    fc.assert(
      fc.property(progress, (p) => {
        const line = renderProgress(p);
        expect(line).toMatch(/^\[#*-*\] /);
        expect(line.indexOf("]")).toBe(31);
        expect(line.startsWith(`[${"#".repeat(30)}]`)).toBe(p.total > 0 && p.done === p.total);
        expect(line).not.toMatch(/NaN|Infinity/);
      }),
    );
  });

  test("on a narrow terminal the bar and then the counts give way; amount, rate and time left never do", () => {
    const facts = fc.record({
      total: fc.integer({ min: 1, max: 1_000_000 }),
      share: fc.double({ min: 0, max: 1, noNaN: true }),
      counts: fc.dictionary(
        fc.constantFrom("completed", "failed", "in flight", "to be tried again"),
        fc.nat(1_000_000),
      ),
      elapsedMs: fc.integer({ min: 1_000, max: 3_600_000 }),
      columns: fc.integer({ min: 60, max: 160 }),
    });
    fc.assert(
      fc.property(facts, ({ total, share, counts, elapsedMs, columns }) => {
        const progress = { total, done: Math.floor(total * share), counts, elapsedMs };
        const whole = renderProgress(progress);
        const line = renderProgress(progress, "", columns);
        expect(line.length).toBeLessThanOrEqual(columns);
        if (whole.length <= columns) expect(line).toBe(whole);
        const [amount] = / % {2}\S+/.exec(whole) ?? [""];
        const [speed] = / · \d+\/s( · [\d:]+ left)?$/.exec(whole) ?? [""];
        expect(line).toContain(amount);
        expect(line.endsWith(speed)).toBe(true);
        const named = (text: string) => text.match(/\d+ [a-z][a-z ]+(?= ·)/g) ?? [];
        expect(named(whole).slice(0, named(line).length)).toEqual(named(line));
      }),
    );
  });

  test("counts bytes", () => {
    const counted = [0, 999, 1_000, 1_536_000_000, 5e15].map(inBytes);
    expect(counted).toEqual(["0 B", "999 B", "1.0 kB", "1.5 GB", "5000.0 TB"]);
    expect(renderProgress({ done: 5e6, total: 1e7, counts: {}, elapsedMs: 1_000 }, "B")).toContain(
      "5.0 MB/10.0 MB · 5.0 MB/s · 0:01 left",
    );
  });

  test("counts minutes", () => {
    expect([0, 59.4, 60, 3_599.6].map(clock)).toEqual(["0:00", "0:59", "1:00", "60:00"]);
  });

  const at = (done: number, elapsedMs: number): Progress => ({ done, total: 10, counts: {}, elapsedMs });
  const drawn = (isTTY: boolean, states: Progress[]) => {
    const written: string[] = [];
    const out = { isTTY, columns: 40, write: (text: string) => written.push(text) > 0 };
    const view = progressView(out as unknown as NodeJS.WriteStream);
    for (const state of states) view.show(state);
    view.end();
    return written;
  };

  test("draws over one line on a terminal, within its width", () => {
    const written = drawn(true, [at(1, 100), at(10, 200)]);
    expect(written).toHaveLength(3);
    expect(written[2]).toBe("\n");
    for (const text of written.slice(0, 2)) expect(text.replace("\r\x1b[2K", "").length).toBeLessThan(40);
  });

  test("elsewhere prints a line now and then, and always the last state, without control characters", () => {
    const written = drawn(false, [at(1, 0), at(2, 100), at(5, 2_500), at(10, 2_600)]);
    expect(written.map((line) => / (\d+)\/10/.exec(line)?.[1])).toEqual(["1", "5", "10"]);
    expect(written.join("")).not.toContain("\x1b");
    expect(written.join("")).not.toContain("\r");
  });
});

test("a table aligns its columns, numbers to the right", () => {
  expect(
    renderTable(
      ["runs", "count"],
      [
        ["completed", "1,200"],
        ["failed", "7"],
      ],
    ),
  ).toBe("runs       count\n---------  -----\ncompleted  1,200\nfailed         7");
});
