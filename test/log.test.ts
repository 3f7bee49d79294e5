import fc from "fast-check";
import { afterEach, expect, test, vi } from "vitest";
import { logError } from "../src/log.ts";

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
