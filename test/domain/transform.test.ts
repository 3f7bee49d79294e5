import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { conversionOf } from "../../src/domain/column-types.ts";
import { goLayout } from "../../src/domain/go-layout.ts";
import { compileTransform, widthOf } from "../../src/domain/row-transform.ts";
import type { Column, ColumnType, TransformSpec } from "../../src/domain/transform.ts";
import { transformProblems } from "../../src/domain/transform-rules.ts";

const json = (columns: Column[], settings: Partial<TransformSpec["settings"]> = {}): TransformSpec => ({
  type: "json",
  settings: { ...settings, output_columns: columns },
});
const column = (name: string, type: ColumnType, more: Partial<Column["datatype"]> = {}): Column => ({
  name,
  datatype: { type, ...more },
});
/** The row as an endpoint would read it, or the problem. */
function apply(spec: TransformSpec | null, value: unknown, text = JSON.stringify(value)): unknown {
  const row = compileTransform(spec)(value, text, null);
  return "problem" in row ? row.problem : JSON.parse(row.text);
}

describe("integers", () => {
  const KINDS = [8, 16, 32, 64].flatMap((bits) => [
    { type: `int${bits}` as ColumnType, min: -(2n ** BigInt(bits - 1)), max: 2n ** BigInt(bits - 1) - 1n },
    { type: `uint${bits}` as ColumnType, min: 0n, max: 2n ** BigInt(bits) - 1n },
  ]);

  test.each(KINDS)("$type takes its own range, digit by digit, and nothing else", ({ type, min, max }) => {
    const convert = conversionOf({ type });
    const near = [min - 1n, min, min + 1n, max - 1n, max, max + 1n, 0n];
    fc.assert(
      fc.property(fc.oneof(fc.constantFrom(...near), fc.bigInt({ min: -(2n ** 66n), max: 2n ** 66n })), (n) => {
        const expected = n >= min && n <= max ? String(n) : null;
        expect(convert(String(n))).toBe(expected);
        expect(convert(n)).toBe(expected);
        const number = Number(n);
        if (Number.isSafeInteger(number)) expect(convert(number)).toBe(expected);
      }),
    );
    for (const bad of [1.5, "1.5", "", " ", "x", "0x10", "1e3", true, [], {}, Number.NaN])
      expect(convert(bad)).toBe(null);
  });
});

test("a value fits its type or refuses the row, by the column's name", () => {
  const cases: [Column["datatype"], unknown, unknown][] = [
    [{ type: "string" }, "ü", "ü"],
    [{ type: "string" }, 12, "12"],
    [{ type: "string" }, [1], "column c: [1] is not text"],
    [{ type: "boolean" }, "TRUE", true],
    [{ type: "boolean" }, 0, false],
    [{ type: "boolean" }, "yes", 'column c: "yes" is not a boolean'],
    [{ type: "double" }, "1.5e3", 1500],
    [{ type: "double" }, "1,5", 'column c: "1,5" is not a number'],
    // As JSON has them: 1e400.
    [{ type: "double" }, Number.POSITIVE_INFINITY, "column c: a number that no double holds is not a number"],
    [{ type: "string" }, Number.NEGATIVE_INFINITY, "column c: a number that no double holds is not text"],
    [{ type: "array" }, [1, Number.NEGATIVE_INFINITY], [1, Number.NEGATIVE_INFINITY]],
    [{ type: "datetime" }, "2026-06-01T12:00:00+02:00", "2026-06-01T10:00:00.000Z"],
    [
      { type: "datetime", format: "02/Jan/2006:15:04:05 -0700" },
      "01/Jun/2026:12:00:00 +0200",
      "2026-06-01T10:00:00.000Z",
    ],
    [{ type: "datetime" }, "yesterday", 'column c: "yesterday" is not a time of the column\'s format'],
    [{ type: "epoch" }, 1_780_308_000, "2026-06-01T10:00:00.000Z"],
    [{ type: "epoch", format: "ms" }, "1780308000123", "2026-06-01T10:00:00.123Z"],
    [{ type: "epoch", format: "us" }, 1_780_308_000_123_456, "2026-06-01T10:00:00.123Z"],
    [{ type: "epoch", format: "ns" }, 1_780_308_000_123_999_999n, "2026-06-01T10:00:00.123Z"],
    [{ type: "epoch", format: "s" }, "1780308000.5", "2026-06-01T10:00:00.500Z"],
    [{ type: "epoch" }, "soon", 'column c: "soon" is not an epoch'],
    [{ type: "uuid" }, "019C2F6E-7D80-7A3B-9C55-0000000002A1", "019c2f6e-7d80-7a3b-9c55-0000000002a1"],
    [{ type: "uuid" }, "019c", 'column c: "019c" is not a UUID'],
    [{ type: "ip" }, "10.0.0.255", "10.0.0.255"],
    [{ type: "ip" }, "2001:db8::1", "2001:db8::1"],
    [{ type: "ip" }, "10.0.0.256", 'column c: "10.0.0.256" is not an IP address'],
    [{ type: "array" }, [1, "a", null], [1, "a", null]],
    [{ type: "array" }, "[1]", [1]],
    [{ type: "array" }, {}, "column c: {} is not an array"],
    [{ type: "map" }, { a: { b: 1 } }, { a: { b: 1 } }],
    [{ type: "map" }, [1], "column c: [1] is not a map"],
  ];
  for (const [datatype, value, expected] of cases) {
    expect(apply(json([{ name: "c", datatype }]), { c: value }, "")).toEqual(
      typeof expected === "string" && expected.startsWith("column") ? expected : { c: expected },
    );
  }
});

test("a default stands for a missing or null value, never for a wrong one", () => {
  const spec = json([column("n", "int32", { default: 7 })], { null_values: ["-", "NULL"] });
  expect(apply(spec, {})).toEqual({ n: 7 });
  expect(apply(spec, { n: null })).toEqual({ n: 7 });
  expect(apply(spec, { n: "-" })).toEqual({ n: 7 });
  expect(apply(spec, { n: 0 })).toEqual({ n: 0 });
  expect(apply(spec, { n: "wrong" })).toBe('column n: "wrong" is not an integer of 32 bits');
  expect(apply(json([column("n", "int32")]), {})).toEqual({ n: null });
});

test("ignored, suppressed and virtual columns", () => {
  const spec = json([
    column("kept", "string"),
    column("ignored", "int8", { ignore: true }),
    column("suppressed", "int8", { suppress: true }),
    column("virtual", "string", { virtual: true, default: "eu" }),
  ]);
  expect(apply(spec, { kept: "a", ignored: "no number", suppressed: 1, virtual: "us" })).toEqual({
    kept: "a",
    virtual: "eu",
  });
  expect(apply(spec, { kept: "a", suppressed: "x" })).toBe('column suppressed: "x" is not an integer from -128 to 127');
});

test("sources: fields, pointers in order, places", () => {
  const spec = json([
    column("a", "string", { source: { from_input_field: "x.y" } }),
    column("b", "int32", { source: { from_json_pointers: ["/no", "/deep/a~1b/0", "/late"] } }),
  ]);
  expect(apply(spec, { "x.y": "field", deep: { "a/b": [5] }, late: 6 })).toEqual({ a: "field", b: 5 });
  expect(apply(spec, { late: 6 })).toEqual({ a: null, b: 6 });
  expect(apply(spec, [1])).toBe("is no JSON object");
  const csv: TransformSpec = {
    type: "csv",
    settings: { output_columns: [column("a", "int8", { source: { from_input_index: 2 } }), column("b", "string")] },
  };
  expect(apply(csv, ["zero", "one", "2"])).toEqual({ a: 2, b: "one" });
  expect(apply(csv, ["", "", ""])).toEqual({ a: null, b: null });
  expect(widthOf(csv)).toBe(3);
  const head = { passed: 1, names: ["id", "name", ""], width: 3 };
  const named = compileTransform({ type: "csv", settings: { format_details: { skip_head: 1 } } });
  expect(named(["1", "x", "y"], "", head)).toEqual({ text: '{"id":"1","name":"x","column_3":"y"}', primaryMs: null });
});

test("without columns a row stays as it stands", () => {
  expect(compileTransform(null)({ a: 1 }, ' {"a":1.0}\r', null)).toEqual({ text: '{"a":1.0}', primaryMs: null });
});

test("names that mean something to JavaScript are names like others", () => {
  const spec = json([column("__proto__", "string"), column("constructor", "string")]);
  expect(apply(spec, JSON.parse('{"__proto__":"p"}'))).toEqual(JSON.parse('{"__proto__":"p","constructor":null}'));
});

describe("Go layouts", () => {
  const at = fc.date({
    min: new Date("1970-01-01T00:00:00Z"),
    max: new Date("2068-12-31T23:59:59Z"),
    noInvalidDate: true,
  });
  const pad = (n: number, width = 2): string => String(n).padStart(width, "0");
  const MONTHS = ["January", "February", "March", "April", "May", "June", "July"];
  MONTHS.push("August", "September", "October", "November", "December");

  /** Writes a time as Go would. */
  const WRITERS: [layout: string, write: (d: Date) => string][] = [
    ["2006-01-02T15:04:05Z", (d) => `${d.toISOString().slice(0, 19)}Z`],
    ["2006-01-02T15:04:05.000Z07:00", (d) => d.toISOString()],
    ["2006-01-02 15:04:05", (d) => d.toISOString().slice(0, 19).replace("T", " ")],
    ["20060102150405", (d) => d.toISOString().slice(0, 19).replace(/\D/g, "")],
    ["Jan _2, 2006 3:04:05PM", (d) => goText(d)],
    ["January 2 2006 15:04:05 MST", (d) => `${MONTHS[d.getUTCMonth()]} ${d.getUTCDate()} ${time(d)} UTC`],
    ["1/2/06 15:04:05", (d) => `${d.getUTCMonth() + 1}/${d.getUTCDate()}/${pad(d.getUTCFullYear() % 100)} ${clock(d)}`],
  ];
  const clock = (d: Date): string => d.toISOString().slice(11, 19);
  const time = (d: Date): string => `${d.getUTCFullYear()} ${clock(d)}`;
  function goText(d: Date): string {
    const hour = d.getUTCHours();
    const half = hour < 12 ? "AM" : "PM";
    const month = MONTHS[d.getUTCMonth()]?.slice(0, 3);
    const day = String(d.getUTCDate()).padStart(2, " ");
    return `${month} ${day}, ${d.getUTCFullYear()} ${hour % 12 || 12}:${pad(d.getUTCMinutes())}:${pad(d.getUTCSeconds())}${half}`;
  }

  test.each(WRITERS)("%s", (layout, write) => {
    fc.assert(
      fc.property(at, (date) => {
        const ms = layout.includes(".000") ? date.getTime() : Math.floor(date.getTime() / 1000) * 1000;
        expect(goLayout(layout)?.(write(date))).toBe(ms);
      }),
    );
  });

  test("days and hours that are not there are none", () => {
    const read = goLayout("2006-01-02 15:04:05");
    for (const text of [
      "2026-02-30 00:00:00",
      "2026-13-01 00:00:00",
      "2026-01-01 24:00:00",
      "2026-01-01 00:60:00",
      "x",
    ]) {
      expect(read?.(text)).toBe(null);
    }
    expect(goLayout("15:04:05")).toBe(null);
  });
});

test("a transform that is wrong is refused by the names of its fields", () => {
  const spec: TransformSpec = {
    type: "json",
    settings: {
      format_details: { delimiter: "," },
      output_columns: [
        column("a", "int8", { default: 300 }),
        column("a", "string", { format: "x" }),
        column("t", "datetime", { format: "15:04" }),
        column("p", "string", { primary: true, source: { from_input_index: 1 } }),
        column("q", "string", { source: { from_json_pointers: ["no"], from_input_field: "x" } }),
        column("r", "string", { source: { from_json_pointers: ["no"] } }),
        column("v", "string", { virtual: true, source: { from_input_field: "v" } }),
        column("e", "epoch", { format: "days" }),
      ],
    },
  };
  expect(transformProblems(spec).map((problem) => problem.path)).toEqual([
    "settings.format_details",
    "settings.output_columns[0].datatype.default",
    "settings.output_columns[1].name",
    "settings.output_columns[1].datatype.format",
    "settings.output_columns[2].datatype.format",
    "settings.output_columns[3].datatype.primary",
    "settings.output_columns[3].datatype.source.from_input_index",
    "settings.output_columns[4].datatype.source",
    "settings.output_columns[5].datatype.source.from_json_pointers[0]",
    "settings.output_columns[6].datatype.source",
    "settings.output_columns[7].datatype.format",
  ]);
});
