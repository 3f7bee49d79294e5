import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { BadFile, formatOf, type ItemFileOptions, itemsOf, previewOf } from "../../src/dashboard/item-file.ts";

const read = async (content: string | Uint8Array, options: ItemFileOptions, name = "f"): Promise<unknown[]> => {
  const items: unknown[] = [];
  const part = typeof content === "string" ? content : new Uint8Array(content);
  for await (const line of itemsOf(new File([part], name), options)) items.push(JSON.parse(line));
  return items;
};
const NDJSON: ItemFileOptions = { format: "ndjson" };
const CSV: ItemFileOptions = { format: "csv" };

describe("NDJSON", () => {
  test("of payloads becomes an item a line, packed or plain, blank lines or none", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.dictionary(fc.string(), fc.jsonValue(), { noNullPrototype: true }), {
          minLength: 1,
          maxLength: 20,
        }),
        fc.constantFrom("\n", "\r\n", "\n\n"),
        fc.boolean(),
        async (payloads, newline, isPacked) => {
          fc.pre(!("payload" in (payloads[0] ?? {})));
          const text = payloads.map((payload) => JSON.stringify(payload)).join(newline);
          const items = await read(isPacked ? gzipSync(text) : text, NDJSON);
          expect(items).toEqual(payloads.map((payload) => JSON.parse(JSON.stringify({ payload }))));
        },
      ),
      { numRuns: 50 },
    );
  });

  test("of items goes out as it stands, and takes its keys from a field where that is asked for", async () => {
    const line = '{"payload":{"id":7},"priority":3}';
    expect(await read(line, NDJSON)).toEqual([{ payload: { id: 7 }, priority: 3 }]);
    expect(await read(line, { ...NDJSON, idempotencyField: "id" })).toEqual([
      { idempotency_key: "7", payload: { id: 7 }, priority: 3 },
    ]);
  });
});

describe("CSV", () => {
  test("has its payloads' fields named by the head; cells may hold anything in quotes", async () => {
    const text = '\uFEFFid,note\r\n1,"a ""b"",\nc"\r\n2,<script>alert(1)</script>\r\n';
    expect(await read(text, CSV)).toEqual([
      { payload: { id: "1", note: 'a "b",\nc' } },
      { payload: { id: "2", note: "<script>alert(1)</script>" } },
    ]);
    expect(await read("id\tnote\n1\ta,b\n", CSV, "f.tsv")).toEqual([{ payload: { id: "1", note: "a,b" } }]);
  });
});

describe("a file that is not what its name says is refused, with what it is:", () => {
  const wrong: [string, string | Uint8Array, ItemFileOptions, RegExp][] = [
    ["an image", new Uint8Array([0x89, 0x50, 0x4e, 0x47, 13, 10]), NDJSON, /PNG image/],
    ["an archive", new Uint8Array([0x50, 0x4b, 3, 4, 0, 0]), CSV, /ZIP archive/],
    ["CSV as NDJSON", "id,name\n1,a\n", NDJSON, /Line 1 is not JSON.*looks like CSV/],
    ["NDJSON as CSV", '{"id":1}\n{"id":2}\n', CSV, /first line is JSON/],
    ["one JSON document", '[\n{"id":1}\n]', NDJSON, /one JSON document/],
    ["a JSON list in a line", '[{"id":1},{"id":2}]', NDJSON, /one JSON list/],
    ["no UTF-8", new Uint8Array([0x22, 0xff, 0xfe, 0x22]), NDJSON, /no UTF-8/],
    ["cut gzip", gzipSync(`${"1\n".repeat(9000)}`).subarray(0, 30), NDJSON, /damaged/],
    ["a line without end", `"${"x".repeat(3 * 1024 * 1024)}"`, NDJSON, /longer than an item/],
    ["rows of two widths", "a,b\n1,2\n3\n", CSV, /Line 3 has 1 fields where 2 are expected/],
    ["a head with a name twice", "a,a\n1,2\n", CSV, /same name, "a"/],
    ["nothing", "", NDJSON, /empty/],
    ["blank lines", "\n\n", NDJSON, /no items/],
    ["a head alone", "a,b\n", CSV, /no items/],
  ];
  test.each(wrong)("%s", async (_, content, options, says) => {
    await expect(read(content, options)).rejects.toThrow(BadFile);
    await expect(read(content, options)).rejects.toThrow(says);
  });
});

test("of two gigabytes only what is needed is read", async () => {
  const chunk = new TextEncoder().encode(`${'{"id":1}\n'.repeat(1000)}`);
  let given = 0;
  const stream = () =>
    new ReadableStream<Uint8Array>({
      pull(out) {
        given += chunk.length;
        out.enqueue(chunk);
      },
    });
  const huge = Object.assign(new File([], "huge.ndjson"), { stream, slice: () => new Blob([chunk.slice(0, 8)]) });
  expect(await previewOf(huge as File, "ndjson", 3)).toHaveLength(3);
  expect(given).toBeLessThan(10 * chunk.length);
});

test("the name tells the format until somebody says otherwise", () => {
  expect(["a.csv", "a.TSV.gz", "a.ndjson", "a"].map(formatOf)).toEqual(["csv", "csv", "ndjson", "ndjson"]);
});
