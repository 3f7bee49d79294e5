import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ledgerId } from "../../src/domain/id.ts";
import { markedVersion, versionOfEvent } from "../../src/domain/version-mark.ts";

const ver = fc.integer({ min: 0, max: 2 ** 31 });
const owner = fc.record({
  at: fc.integer({ min: 0, max: 2 ** 41 }),
  seq: fc.integer({ min: 1, max: 2 ** 30 }),
  lane: fc.constant(0),
  job: fc.integer({ min: 1, max: 2 ** 31 }),
});

describe("a marked version", () => {
  test("rises with the commits, and its owner knows it again", () => {
    fc.assert(
      fc.property(owner, ver, ver, (o, a, b) => {
        const [one, other] = [markedVersion(a, o.seq, o.job), markedVersion(b, o.seq, o.job)];
        expect(Math.sign(one - other)).toBe(Math.sign(a - b));
        expect(Number.isSafeInteger(one)).toBe(true);
        expect(versionOfEvent(String(one), ledgerId(o))).toBe(one);
      }),
    );
  });

  test("is foreign to nearly every other owner", () => {
    const owners = Array.from({ length: 60 }, (_, i) => ({
      at: 5,
      seq: 1 + (i % 6),
      lane: 0,
      job: 1 + Math.floor(i / 6),
    }));
    const known = owners.flatMap((a) =>
      owners.filter((b) => a !== b && versionOfEvent(String(markedVersion(7, a.seq, a.job)), ledgerId(b)) !== null),
    );
    expect(known).toEqual([]);
  });

  test("is no text but digits", () => {
    for (const text of [undefined, "", "x", "-1", "1.5", "1e3", " 1", "9".repeat(16)]) {
      expect(versionOfEvent(text, ledgerId({ at: 5, seq: 1, lane: 0, job: 1 }))).toBeNull();
    }
  });
});
