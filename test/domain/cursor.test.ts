import fc from "fast-check";
import { expect, test } from "vitest";
import { decodeCursor, encodeCursor, hashFilters } from "../../src/domain/cursor.ts";
import { ApiError } from "../../src/domain/error.ts";

const filters = fc.dictionary(
  fc.constantFrom("project", "status", "tag", "job"),
  fc.oneof(fc.string(), fc.constant(undefined), fc.array(fc.string(), { maxLength: 3 })),
);
const anyKey = () => true;

const codeOf = (act: () => unknown): string => {
  try {
    act();
  } catch (error) {
    if (error instanceof ApiError) return error.code;
    throw error;
  }
  return "none";
};

test("a cursor leads back to its place in its list", () => {
  fc.assert(
    fc.property(filters, fc.stringMatching(/^[0-9a-f-]{1,40}$/), (f, after) => {
      const filterHash = hashFilters(f);
      const cursor = encodeCursor({ after, filterHash });
      expect(cursor).toMatch(/^[A-Za-z0-9_-]+$/);
      expect(decodeCursor(cursor, filterHash, (key) => key === after)).toBe(after);
    }),
  );
});

test("a cursor of another list, of no key, or of nonsense is a bad request", () => {
  fc.assert(
    fc.property(filters, filters, (a, b) => {
      const same = JSON.stringify(canonical(a)) === JSON.stringify(canonical(b));
      const cursor = encodeCursor({ after: "7", filterHash: hashFilters(a) });
      expect(codeOf(() => decodeCursor(cursor, hashFilters(b), anyKey))).toBe(same ? "none" : "bad_request");
      expect(codeOf(() => decodeCursor(cursor, hashFilters(a), () => false))).toBe("bad_request");
    }),
  );
  fc.assert(
    fc.property(fc.string(), (text) => {
      expect(codeOf(() => decodeCursor(text, hashFilters({}), anyKey))).toBe("bad_request");
    }),
  );
});

test("the order of filters and absent ones make no difference", () => {
  expect(hashFilters({ a: 1, b: undefined, c: "x" })).toBe(hashFilters({ c: "x", a: 1 }));
});

const canonical = (f: Record<string, unknown>) =>
  Object.entries(f)
    .filter(([, v]) => v !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1));
