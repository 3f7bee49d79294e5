import fc from "fast-check";
import { expect, test } from "vitest";
import { isNestedDeeper } from "../../src/domain/nesting.ts";

const depthOf = (value: unknown): number => {
  if (typeof value !== "object" || value === null) return 0;
  return 1 + Math.max(0, ...Object.values(value).map(depthOf));
};

test("a text is nested as deep as its value, whatever its strings hold", () => {
  const bracketed = fc.string({ unit: fc.constantFrom("[", "]", "{", "}", '"', "\\", "a") });
  const value = fc.jsonValue({ maxDepth: 8, stringUnit: fc.constantFrom("[", "{", '"', "\\", "}", "x") });
  fc.assert(
    fc.property(fc.oneof(value, fc.array(bracketed)), fc.integer({ min: 0, max: 9 }), (given, levels) => {
      expect(isNestedDeeper(JSON.stringify(given), levels)).toBe(depthOf(given) > levels);
    }),
    { numRuns: 1000 },
  );
});
