import fc from "fast-check";
import { afterEach, expect, test, vi } from "vitest";
import { logError, loggingFor } from "../src/log.ts";

afterEach(() => void vi.restoreAllMocks());

test("a log line is one line of JSON with level and event first, its ids, and why", () => {
  const lines: string[] = [];
  vi.spyOn(console, "error").mockImplementation((line: string) => void lines.push(line));
  const error = fc.oneof(
    fc.string({ unit: "binary" }),
    fc.string({ unit: "binary" }).map((text) => new TypeError(text)),
    fc.constant(undefined),
    fc.constant(null),
    fc.constant(7),
  );
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), error, (id, thrown) => {
      lines.length = 0;
      logError("something_failed", { run_id: id, seconds: 3 }, thrown);
      expect(lines).toHaveLength(1);
      expect(lines[0]).not.toContain("\n");
      expect(lines[0]).toMatch(/^\{"level":"error","event":"something_failed","run_id":/);
      const why = thrown === undefined ? {} : { error: String(thrown) };
      expect(JSON.parse(lines[0] ?? "")).toEqual({
        ...{ level: "error", event: "something_failed", run_id: id, seconds: 3 },
        ...why,
      });
    }),
  );
});

test("what is logged on behalf of something carries its ids, however late, and nobody else's line does", async () => {
  const lines: unknown[] = [];
  vi.spyOn(console, "error").mockImplementation((line: string) => void lines.push(JSON.parse(line)));
  const late = async (n: number): Promise<void> => {
    await Promise.resolve();
    logError("late", { seconds: n });
  };
  await Promise.all([
    loggingFor({ request_id: "a" }, () => late(1)),
    loggingFor({ request_id: "b" }, () => loggingFor({ import_id: "i" }, () => late(2))),
    late(3),
  ]);
  logError("after");
  expect(lines).toEqual([
    { level: "error", event: "late", request_id: "a", seconds: 1 },
    { level: "error", event: "late", import_id: "i", seconds: 2 },
    { level: "error", event: "late", seconds: 3 },
    { level: "error", event: "after" },
  ]);
});
