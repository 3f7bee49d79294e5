import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { hrefOf, parsePlace, SECTIONS } from "../../src/dashboard/routing.ts";

describe("places", () => {
  test("come back from their links as they were", () => {
    const text = fc.string({ unit: "grapheme", minLength: 1, maxLength: 20 }).filter((t) => t.isWellFormed());
    const query = fc.dictionary(
      text.filter((t) => t !== "__proto__"),
      text,
      { maxKeys: 4, noNullPrototype: true },
    );
    fc.assert(
      fc.property(fc.constantFrom(...SECTIONS), fc.option(text), query, (section, id, q) => {
        expect(parsePlace(hrefOf(section, id, q))).toEqual({ section, id, query: q });
      }),
    );
  });

  test("that are no places are the jobs, whatever stands there", () => {
    for (const hash of ["", "#", "#/", "#/nothing/1", "#main"]) expect(parsePlace(hash).section).toBe("jobs");
    fc.assert(
      fc.property(fc.string(), (hash) => {
        expect(SECTIONS).toContain(parsePlace(hash).section);
      }),
    );
  });
});
