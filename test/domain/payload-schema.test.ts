import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { checkSchemaDocument, compileSchema } from "../../src/domain/payload-schema.ts";

const nested = (levels: number): unknown => {
  let schema: unknown = {};
  for (let i = 1; i < levels; i++) schema = { not: schema };
  return schema;
};

describe("a schema document", () => {
  test.each<[string, unknown]>([
    ["a boolean", true],
    ["32 levels", nested(32)],
    [
      "its dialect, an id at the root",
      { $schema: "https://json-schema.org/draft/2020-12/schema", $id: "https://x.example/s" },
    ],
    [
      "references within",
      { $defs: { a: { type: "string" } }, properties: { x: { $ref: "#/$defs/a" }, y: { $ref: "#" } } },
    ],
    [
      "anchors",
      { $defs: { a: { $anchor: "a" }, b: { $dynamicAnchor: "b" } }, anyOf: [{ $ref: "#a" }, { $dynamicRef: "#b" }] },
    ],
    ["unknown keywords, whatever they hold", { example: { type: 5 }, "x-note": [1] }],
    ["properties that are named as keywords are", { properties: { $ref: { type: "string" }, $id: true, pattern: {} } }],
    ["ECMAScript's spelling of patterns", { pattern: "^(?<year>\\d{4})\\/\\u00e9$" }],
  ])("may have %s", (_, schema) => {
    expect(checkSchemaDocument(schema)).toEqual([]);
  });

  test.each<[string, unknown, string]>([
    ["33 levels", nested(33), "payload_schema"],
    ["a string", "x", "payload_schema"],
    ["an unknown type", { type: "text" }, "payload_schema.type"],
    [
      "a bad keyword far inside",
      { properties: { a: { items: [{ minLength: -1 }, { minLength: "1" }] } } },
      "payload_schema.properties.a.items",
    ],
    ["another dialect", { $schema: "http://json-schema.org/draft-07/schema#" }, "payload_schema.$schema"],
    ["a remote reference", { items: { $ref: "https://x.example/s.json" } }, "payload_schema.items.$ref"],
    ["a relative reference", { $ref: "other.json#/a" }, "payload_schema.$ref"],
    ["a dangling reference", { allOf: [{ $ref: "#/$defs/none" }] }, "payload_schema.allOf[0].$ref"],
    ["a nested id", { properties: { a: { $id: "x" } } }, "payload_schema.properties.a.$id"],
    ["a pattern with look-ahead", { pattern: "(?=a)" }, "payload_schema.pattern"],
    [
      "a pattern with a back-reference",
      { patternProperties: { "(a)\\1": {} } },
      "payload_schema.patternProperties.(a)\\1",
    ],
    ["a pattern that grows without end", { pattern: "((a{1000}){1000}){1000}" }, "payload_schema.pattern"],
    ["required that is no list of names", { required: ["a", 1] }, "payload_schema.required"],
  ])("may not have %s", (_, schema, path) => {
    expect(checkSchemaDocument(schema).map((d) => d.path)).toContain(path);
    expect(() => compileSchema(schema)).toThrow(path);
  });
});

describe("a payload", () => {
  const fits = (schema: unknown, payload: unknown): boolean => compileSchema(schema)(payload).length === 0;

  test.each<[unknown, unknown[], unknown[]]>([
    [{ type: "integer", minimum: 1, multipleOf: 0.1 }, [1, 20], [0, 1.05, "1", null]],
    [{ enum: [1, "a", { b: [null] }] }, ["a", { b: [null] }], ["b", { b: [] }]],
    [{ const: { a: 1, b: 2 } }, [{ b: 2, a: 1 }], [{ a: 1 }]],
    [{ prefixItems: [{ type: "string" }], items: { type: "number" } }, [["a", 1, 2], []], [[1], ["a", "b"]]],
    [
      { contains: { const: 1 }, minContains: 2, maxContains: 3 },
      [
        [1, 1],
        [1, 1, 1, 0],
      ],
      [[1], [1, 1, 1, 1]],
    ],
    [
      { uniqueItems: true },
      [[1, "1", { a: 1 }], []],
      [
        [1, 1],
        [{ a: 1 }, { a: 1 }],
      ],
    ],
    [
      // biome-ignore lint/suspicious/noThenProperty: a keyword of JSON Schema
      { if: { required: ["a"] }, then: { required: ["b"] }, else: { required: ["c"] } },
      [{ a: 1, b: 1 }, { c: 1 }],
      [{ a: 1 }, {}],
    ],
    [
      { dependentRequired: { a: ["b"] }, dependentSchemas: { c: { maxProperties: 1 } } },
      [{ a: 1, b: 1 }, { c: 1 }],
      [{ a: 1 }, { c: 1, d: 1 }],
    ],
    [{ allOf: [{ properties: { a: true } }], unevaluatedProperties: false }, [{ a: 1 }], [{ a: 1, b: 1 }]],
    [
      { patternProperties: { "^x-": { type: "number" } }, additionalProperties: false },
      [{ "x-a": 1 }, {}],
      [{ "x-a": "1" }, { y: 1 }],
    ],
    [{ propertyNames: { pattern: "^[a-z]+$" } }, [{ abc: 1 }], [{ ABC: 1 }]],
    [{ oneOf: [{ type: "number" }, { minimum: 5 }] }, [1, "a"], [6]],
    [{ format: "date-time" }, ["2026-11-23T09:00:00Z", 5], ["yesterday"]],
    [{ format: "regex" }, ["^a+$"], ["(", "(?=a)"]],
    [
      { $defs: { tree: { type: "array", items: { $ref: "#/$defs/tree" } } }, $ref: "#/$defs/tree" },
      [[[], [[]]]],
      [[1]],
    ],
    [{ $defs: { a: { $dynamicAnchor: "n", type: "string" } }, $dynamicRef: "#n" }, ["a"], [1]],
    [{ properties: { hasOwnProperty: { type: "string" } } }, [{ hasOwnProperty: "a" }], [{ hasOwnProperty: 1 }]],
    [false, [], [1, null]],
  ])("by %j", (schema, good, bad) => {
    for (const payload of good) expect(fits(schema, payload), JSON.stringify(payload)).toBe(true);
    for (const payload of bad) expect(fits(schema, payload), JSON.stringify(payload)).toBe(false);
  });

  test("that does not fit is told where", () => {
    const check = compileSchema({
      type: "object",
      required: ["id", "name"],
      properties: { id: { type: "integer" }, list: { items: { pattern: "^a" } } },
      additionalProperties: false,
    });
    expect(check({ list: ["a", "b"] })).toEqual([
      { path: "payload.id", message: "is required" },
      { path: "payload.name", message: "is required" },
      { path: "payload.list[1]", message: "String does not match pattern." },
    ]);
    expect(check({ id: 1, name: "a" })).toEqual([{ path: "payload.name", message: "is not allowed" }]);
  });

  test("has its fields named as they are written, whatever their names and wherever they stand", () => {
    const step = fc.oneof(fc.string({ unit: "grapheme" }), fc.nat(3));
    fc.assert(
      fc.property(fc.array(step, { maxLength: 5 }), (steps) => {
        // Every level holds the next, in an array or an object; the innermost is wrong.
        const inside = (at: number): unknown => {
          const name = steps[at];
          if (name === undefined) return 0;
          return typeof name === "number" ? [...Array(name).fill(""), inside(at + 1)] : { [name]: inside(at + 1) };
        };
        const check = compileSchema({
          not: { type: "number" },
          items: { $ref: "#" },
          additionalProperties: { $ref: "#" },
        });
        const path = steps.map((name) => (typeof name === "number" ? `[${name}]` : `.${name}`)).join("");
        expect(check(inside(0)).map((detail) => detail.path)).toEqual([`payload${path}`.slice(0, 256)]);
      }),
    );
  });

  test("is told so where a name is no text: the validator cannot pass it", () => {
    const check = compileSchema({ additionalProperties: { type: "string" } });
    expect(check({ "\ud800": "a" }).map((detail) => detail.path)).toEqual(["payload"]);
    expect(check({ a: "\ud800" })).toEqual([]);
  });

  test("has every bad field named, of a large one the first", () => {
    const check = compileSchema({
      properties: { id: { type: "integer" }, n: { type: "string" }, o: { properties: { z: { const: 1 } } } },
    });
    const paths = (payload: unknown) => check(payload).map((detail) => detail.path);
    expect(paths({ id: "x", n: 5, o: { z: 2 } })).toEqual(["payload.id", "payload.n", "payload.o.z"]);
    expect(paths({ id: "x", n: 5, rest: Array.from({ length: 2_000 }, () => 0) })).toEqual(["payload.id"]);
  });
});

describe("what would take for ever", () => {
  test("patterns run in linear time: a backtracking engine would take years here", () => {
    const check = compileSchema({
      properties: { a: { pattern: "^(a+)+$" } },
      patternProperties: { "^(b|b)*c$": { type: "string" } },
    });
    expect(check({ a: `${"a".repeat(50_000)}!`, [`${"b".repeat(50_000)}d`]: 1 }).map((d) => d.path)).toEqual([
      "payload.a",
    ]);
    // Outside, RegExp is what it was.
    expect(/(?=a)a/.test("a")).toBe(true);
  });

  test.each<[string, unknown, unknown]>([
    ["a reference to itself", { $ref: "#" }, {}],
    [
      "two that refer to each other",
      { $defs: { a: { $ref: "#/$defs/b" }, b: { $ref: "#/$defs/a" } }, $ref: "#/$defs/a" },
      1,
    ],
    [
      "references that double at every level of the payload",
      { items: { anyOf: [{ $ref: "#" }, { $ref: "#" }] }, not: { type: "array", maxItems: 0 } },
      JSON.parse("[".repeat(40) + "]".repeat(40)),
    ],
  ])("%s ends", (_, schema, payload) => {
    expect(compileSchema(schema)(payload)).toEqual([
      { path: "payload", message: "takes too many steps to judge by the payload_schema" },
    ]);
  });

  test("uniqueItems is not judged on very long arrays: they are refused", () => {
    const check = compileSchema({ properties: { a: { uniqueItems: true } } });
    expect(check({ a: Array.from({ length: 2000 }, (_, i) => i) })).toEqual([]);
    expect(check({ a: Array.from({ length: 2001 }, (_, i) => i) })[0]?.message).toMatch(/too long for uniqueItems/);
    expect(compileSchema({})({ a: Array.from({ length: 5000 }) })).toEqual([]);
  });
});
