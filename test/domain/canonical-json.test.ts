import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { canonicalJson, canonicalNumber } from "../../src/domain/canonical-json.ts";

/** RFC 8785 over a parsed value, as its appendix writes it. */
function oracle(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(oracle).join(",")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const members = Object.keys(value)
    .sort()
    .map((key) => `${JSON.stringify(key)}:${oracle((value as Record<string, unknown>)[key])}`);
  return `{${members.join(",")}}`;
}

const number = fc.oneof(
  fc.double({ noNaN: true, noDefaultInfinity: true }),
  fc.integer(),
  fc.constantFrom(0, -0, 1e21, 1e-7, 123e-20, 5e-324, 1.7976931348623157e308, 2 ** 53, 0.1 + 0.2),
);
const value = fc.letrec((tie) => ({
  any: fc.oneof(
    { maxDepth: 4 },
    fc.constantFrom(null, true, false),
    fc.string({ unit: "binary" }),
    number,
    fc.array(tie("any"), { maxLength: 4 }),
    fc.dictionary(fc.string({ unit: "grapheme" }), tie("any"), { maxKeys: 5 }),
  ),
})).any;

describe("canonical JSON", () => {
  test("is what RFC 8785 says, for any value", () => {
    fc.assert(
      fc.property(value, fc.constantFrom(undefined, 1, "\t"), (v, indent) => {
        const text = JSON.stringify(v, null, indent);
        expect(canonicalJson(text)).toBe(oracle(JSON.parse(text)));
      }),
      { numRuns: 1000 },
    );
  });

  test("is a fixed point, and parses to the same value", () => {
    fc.assert(
      fc.property(value, (v) => {
        const once = canonicalJson(JSON.stringify(v));
        expect(canonicalJson(once)).toBe(once);
        expect(JSON.parse(once)).toEqual(JSON.parse(JSON.stringify(v)));
      }),
    );
  });

  test("the example of the RFC", () => {
    const text = String.raw`{ "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
      "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/", "literals": [null, true, false] }`;
    // 333333333.33333329 is no double: the RFC rounds it, here its digits stay.
    expect(canonicalJson(text)).toBe(
      String.raw`{"literals":[null,true,false],"numbers":[33333333333333329e-8,1e+30,4.5,0.002,1e-27],"string":"€$\u000f\nA'B\"\\\\\"/"}`,
    );
    expect(canonicalJson('{"\\u20ac":1,"\\r":2,"\\ufb33":3,"1":4,"😀":5,"\\u0080":6,"ö":7}')).toBe(
      '{"\\r":2,"1":4,"\u0080":6,"ö":7,"€":1,"😀":5,"\ufb33":3}',
    );
  });

  test.each([
    ["12345678901234567890", "12345678901234567891"],
    ["0.1", "0.10000000000000001"],
    ["1e400", "1e401"],
    ["1e-400", "0"],
    ["9007199254740993", "9007199254740992"],
    ['{"a":1,"a":2}', '{"a":2}'],
    ['{"a":1,"a":2}', '{"a":2,"a":1}'],
    ['"1"', "1"],
  ])("%s and %s stay different", (a, b) => {
    expect(canonicalJson(a)).not.toBe(canonicalJson(b));
  });

  test("numbers are equal exactly where their decimal values are", () => {
    const digits = fc.stringMatching(/^[0-9]{1,22}$/);
    const token = fc
      .tuple(fc.constantFrom("", "-"), digits, fc.option(digits), fc.option(fc.integer({ min: -30, max: 30 })))
      .map(
        ([sign, whole, fraction, exponent]) =>
          `${sign}${whole.replace(/^0+(?=\d)/, "")}${fraction === null ? "" : `.${fraction}`}${exponent === null ? "" : `e${exponent}`}`,
      );
    /** The value times 10^60, exactly. */
    const exact = (text: string): bigint => {
      const [mantissa = "", exponent = "0"] = text.split("e");
      const [whole = "", fraction = ""] = mantissa.split(".");
      return BigInt(whole + fraction) * 10n ** BigInt(60 + Number(exponent) - fraction.length);
    };
    fc.assert(
      fc.property(token, token, fc.integer({ min: 0, max: 5 }), (a, b, shift) => {
        expect(canonicalNumber(a) === canonicalNumber(b)).toBe(exact(a) === exact(b));
        const [mantissa = "", exponent = "0"] = a.split("e");
        const shifted = `${mantissa}${mantissa.includes(".") ? "" : "."}${"0".repeat(shift + 1)}E+${exponent}`.replace(
          "+-",
          "-",
        );
        expect(canonicalNumber(shifted)).toBe(canonicalNumber(a));
      }),
      { numRuns: 1000 },
    );
  });

  test("long runs of digits cost no more than they are long", () => {
    const zeros = "0".repeat(500_000);
    expect(canonicalNumber(`0.${zeros}1`)).toBe("1e-500001");
    expect(canonicalNumber(`1${zeros}`)).toBe("1e500000");
    expect(canonicalNumber(`0.${zeros}`)).toBe("0");
  });
});
