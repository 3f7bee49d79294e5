import { parse } from "csv-parse/sync";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { RFC_4180 } from "../../src/domain/csv-format.ts";
import { type ReadingState, rowsFrom, stateAfter, tellFormat } from "../../src/domain/object-rows.ts";
import { BROKEN_TEXT, jsonText, MAX_ROW_BYTES, type RowReader, TOO_LONG } from "../../src/domain/row-reader.ts";
import type { TransformSpec } from "../../src/domain/transform.ts";

const encoder = new TextEncoder();
const bytesOf = (text: string): Uint8Array => encoder.encode(text);

interface Row {
  value: unknown;
  text: string;
  problem: string | null;
  line: number;
  offset: number;
}

/** Feeds the bytes in parts, each overwritten once it has been fed, as an unpacker does. */
function* readParts(rows: RowReader, parts: Iterable<Uint8Array>): Generator<Row> {
  let last: Uint8Array | null = null;
  for (const part of parts) {
    const copy = part.slice();
    last?.fill(0x78);
    last = copy;
    rows.feed(copy);
    while (rows.next()) yield rowOf(rows);
  }
  last?.fill(0x78);
  rows.end();
  while (rows.next()) yield rowOf(rows);
}

/** As `JSON.parse` has it: long integers lose digits. */
const asDoubles = (value: unknown): unknown => JSON.parse(jsonText(value));

const rowOf = ({ value, text, problem, line, offset }: RowReader): Row => ({ value, text, problem, line, offset });

function cut(bytes: Uint8Array, cuts: number[]): Uint8Array[] {
  const at = [...new Set(cuts.map((c) => c % (bytes.length + 1)))].sort((a, b) => a - b);
  return [0, ...at].map((from, i) => bytes.subarray(from, at[i] ?? bytes.length));
}

const cutsArb = fc.array(fc.nat(), { maxLength: 40 });

function start(
  bytes: Uint8Array,
  spec: TransformSpec | null,
): { state: ReadingState; rows: RowReader; rest: Uint8Array } {
  const state = tellFormat(bytes, true, spec) as ReadingState;
  return { state, rows: rowsFrom(state, spec, true), rest: bytes.subarray(state.place.offset) };
}

const read = (bytes: Uint8Array, spec: TransformSpec | null = null, cuts: number[] = []): Row[] => {
  const { rows, rest } = start(bytes, spec);
  return [...readParts(rows, cut(rest, cuts))];
};

const csv = (details: TransformSpec["settings"]["format_details"] = {}): TransformSpec => ({
  type: "csv",
  settings: { format_details: details },
});

describe("NDJSON", () => {
  const lineArb = fc.oneof(
    fc.json().map((json) => json.replaceAll("\n", " ")),
    fc.constantFrom("", "  ", "\t", "{oops", '{"a":1}\r', '"😀 ü"', '{"é":"😀"}', "not json"),
  );

  test("is read the same however it is cut, with lines and offsets", () => {
    fc.assert(
      fc.property(fc.array(lineArb), cutsArb, fc.boolean(), fc.boolean(), (lines, cuts, hasBom, endsInNewline) => {
        const text = (hasBom ? "\ufeff" : "") + lines.join("\n") + (endsInNewline ? "\n" : "");
        if (text.trimStart().startsWith("[") || text.replace("\ufeff", "").trimStart().startsWith("[")) return;
        const bytes = bytesOf(text);
        const rows = read(bytes, null, cuts);
        const kept = lines.map((line, i) => ({ line, number: i + 1 })).filter(({ line }) => line.trim() !== "");
        expect(rows.map((row) => row.line)).toEqual(kept.map(({ number }) => number));
        for (const [i, row] of rows.entries()) {
          const line = kept[i]?.line ?? "";
          expect(row.text).toBe(line);
          const raw = bytes.subarray(row.offset, row.offset + bytesOf(line).length);
          expect(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(raw)).toBe(line);
          let parsed: unknown;
          let isSound = true;
          try {
            parsed = JSON.parse(line);
          } catch {
            isSound = false;
          }
          expect(row.problem === null).toBe(isSound);
          if (isSound) expect(asDoubles(row.value)).toEqual(parsed);
        }
      }),
    );
  });

  test("is taken up behind any row", () => {
    fc.assert(
      fc.property(fc.array(lineArb, { minLength: 1 }), cutsArb, fc.nat(), (lines, cuts, stop) => {
        const bytes = bytesOf(`{}\n${lines.join("\n")}`);
        const whole = read(bytes);
        const { state, rows, rest } = start(bytes, null);
        const first: Row[] = [];
        const at = stop % (whole.length + 1);
        const reading = readParts(rows, cut(rest, cuts));
        while (first.length < at) first.push(reading.next().value as Row);
        const there = at === 0 ? state : stateAfter(state.format, rows);
        const again = rowsFrom(there, null, at === 0);
        const others = [...readParts(again, cut(bytes.subarray(there.place.offset), cuts))];
        expect([...first, ...others]).toEqual(whole);
      }),
    );
  });

  test("a broken line spoils no other", () => {
    fc.assert(
      fc.property(cutsArb, fc.integer({ min: 0x80, max: 0xff }), (cuts, byte) => {
        const bytes = bytesOf('{"a":"é"}\n{"b":"?"}\n{"c":"😀"}\n');
        bytes[bytes.indexOf("?".charCodeAt(0))] = byte;
        const rows = read(bytes, null, cuts);
        expect(rows.map((row) => row.problem)).toEqual([null, BROKEN_TEXT, null]);
        expect(rows.map((row) => row.offset)).toEqual([0, 11, 21]);
        expect(rows[2]?.value).toEqual({ c: "😀" });
      }),
    );
  });

  test("a line that is too long is refused unread, and costs no memory", () => {
    const part = new Uint8Array(1024 * 1024).fill(0x61);
    function* parts(): Generator<Uint8Array> {
      yield bytesOf('{"a":1}\n"');
      for (let i = 0; i < 100; i++) yield part;
      yield bytesOf('"\n{"b":2}\n');
    }
    const rows = [
      ...readParts(rowsFrom({ format: "ndjson", head: null, place: { offset: 0, line: 1 } }, null, true), parts()),
    ];
    expect(rows.map((row) => row.problem)).toEqual([null, TOO_LONG, null]);
    expect(rows[1]?.text.length).toBeLessThanOrEqual(4096);
    expect(rows[2]).toMatchObject({ value: { b: 2 }, line: 3, offset: 8 + 1 + 100 * part.length + 2 });
  });

  test("keeps the digits of long integers", () => {
    const [row] = read(bytesOf('{"id":12345678901234567890,"list":[9007199254740993],"x":0.5}'));
    expect(row?.value).toEqual({ id: 12345678901234567890n, list: [9007199254740993n], x: 0.5 });
  });
});

describe("a JSON array", () => {
  const elementArb = fc.oneof(
    fc.json(),
    fc.json({ noUnicodeString: false }).map((json) => `\n  ${json}\n`),
  );

  test("is read the same however it is cut", () => {
    fc.assert(
      fc.property(fc.array(elementArb), cutsArb, (elements, cuts) => {
        const text = ` [${elements.join(",")}]\n`;
        const rows = read(bytesOf(text), null, cuts);
        expect(rows.map((row) => row.problem)).toEqual(elements.map(() => null));
        expect(rows.map((row) => asDoubles(row.value))).toEqual(JSON.parse(text));
        for (const row of rows) {
          const before = new TextDecoder().decode(bytesOf(text).subarray(0, row.offset));
          expect(row.line).toBe(before.split("\n").length);
        }
      }),
    );
  });

  test("is taken up behind any element", () => {
    fc.assert(
      fc.property(fc.array(elementArb, { minLength: 1 }), cutsArb, fc.nat(), (elements, cuts, stop) => {
        const bytes = bytesOf(`[${elements.join(",")}]`);
        const whole = read(bytes);
        const { state, rows, rest } = start(bytes, null);
        const reading = readParts(rows, cut(rest, cuts));
        const first: Row[] = [];
        for (let i = 0; i <= stop % whole.length; i++) first.push(reading.next().value as Row);
        const there = stateAfter(state.format, rows);
        const others = [...readParts(rowsFrom(there, null, false), cut(bytes.subarray(there.place.offset), cuts))];
        expect([...first, ...others]).toEqual(whole);
      }),
    );
  });

  test.each([
    ['[{"a":1},{"b":', "the JSON array does not end"],
    ['[{"a":1}', "the JSON array does not end"],
    ["[1] 2", "there is more text behind the JSON array"],
  ])("%s is refused", (text, problem) => {
    expect(() => read(bytesOf(text))).toThrow(problem);
  });

  test("a bad element spoils no other", () => {
    const rows = read(bytesOf('[{"a":1},oops,{"b":2},,3]'));
    expect(rows.map((row) => row.problem === null)).toEqual([true, false, true, false, true]);
  });
});

describe("CSV", () => {
  const fieldArb = fc.oneof(
    fc.string(),
    fc.string({ unit: "grapheme" }),
    fc.constantFrom("", 'say "hi"', "a,b", "line\nbreak", "crlf\r\nbreak", "é", "😀", " x ", "#c", "'", "\r"),
  );
  const quoted = (field: string): string => `"${field.replaceAll('"', '""')}"`;
  /** Every field that needs quotes has them, and some others too. */
  const written = (field: string, always: boolean): string =>
    always || /[",\n\r]/.test(field) ? quoted(field) : field;
  const tableArb = fc
    .integer({ min: 1, max: 5 })
    .chain((width) => fc.array(fc.array(fc.tuple(fieldArb, fc.boolean()), { minLength: width, maxLength: width })));

  const tableText = (table: [string, boolean][][], newline: string): string =>
    table.map((row) => row.map(([field, always]) => written(field, always)).join(",")).join(newline);

  const isEmptyLine = (row: [string, boolean][]): boolean =>
    row.length === 1 && written(...(row[0] ?? ["", false])) === "";

  test("is read as csv-parse reads it, however it is cut", () => {
    fc.assert(
      fc.property(tableArb, cutsArb, fc.constantFrom("\n", "\r\n"), fc.boolean(), (table, cuts, newline, ends) => {
        const text = tableText(table, newline) + (ends ? newline : "");
        const oracle = parse(text, {
          record_delimiter: ["\r\n", "\n"],
          relax_column_count: true,
          skip_empty_lines: true,
        });
        const rows = read(bytesOf(text), csv(), cuts);
        expect(rows.map((row) => row.problem)).toEqual(rows.map(() => null));
        expect(rows.map((row) => row.value)).toEqual(oracle);
        expect(rows.map((row) => row.value)).toEqual(
          table.filter((row) => !isEmptyLine(row)).map((row) => row.map(([field]) => field)),
        );
        for (const row of rows) {
          const raw = bytesOf(text).subarray(row.offset, row.offset + bytesOf(row.text).length);
          expect(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(raw)).toBe(row.text);
        }
      }),
    );
  });

  test("is taken up behind any row", () => {
    fc.assert(
      fc.property(tableArb, cutsArb, fc.nat(), (table, cuts, stop) => {
        const spec = csv({ skip_head: 1 });
        const bytes = bytesOf(tableText(table, "\n"));
        const whole = read(bytes, spec);
        if (whole.length === 0) return;
        const { state, rows, rest } = start(bytes, spec);
        const reading = readParts(rows, cut(rest, cuts));
        const first: Row[] = [];
        for (let i = 0; i <= stop % whole.length; i++) first.push(reading.next().value as Row);
        const there = stateAfter(state.format, rows);
        const others = [...readParts(rowsFrom(there, spec, false), cut(bytes.subarray(there.place.offset), cuts))];
        expect([...first, ...others]).toEqual(whole);
      }),
    );
  });

  test("other characters, comments and heads", () => {
    const text = "name;note\n# nothing\n'it\\'s';'a;b'\nx;y\n";
    const rows = read(
      bytesOf(text),
      csv({ delimiter: ";", quote: "'", escape: "\\", skip_head: 1, skip_comments: true }),
    );
    expect(rows.map((row) => row.value)).toEqual([
      ["it's", "a;b"],
      ["x", "y"],
    ]);
    expect(RFC_4180.delimiter).toBe(",");
  });

  test("short and long rows, and text behind a quote, are refused by name", () => {
    const rows = read(bytesOf('a,b\n1\n1,2,3\n"x"y,2\n1,2\n'), csv({ skip_head: 1 }));
    expect(rows.map((row) => row.problem)).toEqual([
      "has 1 fields where 2 are expected",
      "has 3 fields where 2 are expected",
      "has text behind a closing quote",
      null,
    ]);
  });

  test("a quote that is never closed costs its own line", () => {
    fc.assert(
      fc.property(cutsArb, (cuts) => {
        const rows = read(bytesOf('a,b\n1,"2\n3,4\n5,6'), csv(), cuts);
        expect(rows.map((row) => row.problem)).toEqual([null, "has a quoted field that does not end", null, null]);
        expect(rows[3]).toMatchObject({ value: ["5", "6"], line: 4, offset: 13 });
      }),
    );
  });

  test("a row that is too long is refused, and the next one is read", () => {
    const long = "x".repeat(MAX_ROW_BYTES + 1);
    const rows = read(bytesOf(`a,b\n"${long}",1\nc,d\n`), csv(), [100, 5_000_000, 8_000_000]);
    expect(rows.map((row) => row.problem)).toEqual([null, TOO_LONG, null]);
    expect(rows[2]).toMatchObject({ value: ["c", "d"], line: 3 });
  });

  test("broken text is one refused row", () => {
    fc.assert(
      fc.property(cutsArb, (cuts) => {
        const bytes = bytesOf('é,1\n"?\n?",2\nü,3\n');
        bytes[6] = 0xff;
        const rows = read(bytes, csv(), cuts);
        expect(rows.map((row) => row.problem)).toEqual([null, BROKEN_TEXT, null]);
        expect(rows.map((row) => [row.line, row.offset])).toEqual([
          [1, 0],
          [2, 5],
          [4, 13],
        ]);
      }),
    );
  });

  test("a head only has no rows", () => {
    expect(read(bytesOf("a,b\n"), csv({ skip_head: 1 }))).toEqual([]);
    expect(read(bytesOf(""), csv({ skip_head: 1 }))).toEqual([]);
  });
});

test("UTF-16 is refused by its first bytes", () => {
  expect(() => tellFormat(Uint8Array.of(0xff, 0xfe, 0x7b, 0), true, null)).toThrow("UTF-16");
});
