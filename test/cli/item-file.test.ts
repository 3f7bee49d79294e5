import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { afterAll, describe, expect, test } from "vitest";
import { BadFile, type FileOptions, openItems } from "../../src/cli/item-file.ts";

const dir = mkdtempSync(join(tmpdir(), "sluice-items-"));
afterAll(() => rmSync(dir, { recursive: true }));

function fileOf(name: string, content: string | Uint8Array): string {
  const path = join(dir, name);
  writeFileSync(path, content);
  return path;
}

async function itemsOf(path: string, options: Partial<FileOptions> = {}): Promise<unknown[]> {
  const file = await openItems(path, { isRaw: false, ...options });
  const items: unknown[] = [];
  for await (const line of file.lines) items.push(JSON.parse(line));
  expect(file.progress.read).toBe(file.progress.total);
  return items;
}

const refusal = (path: string, options?: Partial<FileOptions>): Promise<string> =>
  itemsOf(path, options).then(
    (items) => expect.fail(`it was read: ${JSON.stringify(items).slice(0, 200)}`),
    (error: unknown) => {
      expect(error).toBeInstanceOf(BadFile);
      return (error as Error).message;
    },
  );

describe("a file of items", () => {
  test("gives back what was written, plain and packed, however lines end", async () => {
    const payload = fc.jsonValue();
    await fc.assert(
      fc.asyncProperty(
        fc.array(payload, { minLength: 1 }),
        fc.constantFrom("\n", "\r\n"),
        fc.boolean(),
        async (rows, end, isGzip) => {
          const items = rows.map((row) => ({ payload: row }));
          const text = items.map((item) => `${JSON.stringify(item)}${end}`).join(end);
          const path = fileOf("items.ndjson", isGzip ? gzipSync(text) : text);
          expect(await itemsOf(path)).toEqual(JSON.parse(JSON.stringify(items)));
          const raw = fileOf("raw.ndjson", rows.map((row) => JSON.stringify(row)).join("\n"));
          expect(await itemsOf(raw, { isRaw: true })).toEqual(JSON.parse(JSON.stringify(items)));
        },
      ),
      { numRuns: 40 },
    );
  });

  test("of CSV: a payload a row, with quotes, newlines and a byte order mark", async () => {
    const path = fileOf("orders.csv", '\uFEFFid,note\r\n1,"a, ""b""\nc"\r\n2,é\r\n');
    expect(await itemsOf(path, { idempotencyField: "id", concurrencyField: "note" })).toEqual([
      { payload: { id: "1", note: 'a, "b"\nc' }, idempotency_key: "1", concurrency_key: 'a, "b"\nc' },
      { payload: { id: "2", note: "é" }, idempotency_key: "2", concurrency_key: "é" },
    ]);
    expect(await itemsOf(fileOf("orders.tsv", "a\tb\n1\t2\n"))).toEqual([{ payload: { a: "1", b: "2" } }]);
  });

  test("takes keys from the payload, and leaves an item's own", async () => {
    const path = fileOf(
      "keys.ndjson",
      '{"payload":{"id":7}}\n{"payload":{"id":8},"idempotency_key":"own"}\n{"payload":1}\n',
    );
    expect(await itemsOf(path, { idempotencyField: "id" })).toEqual([
      { payload: { id: 7 }, idempotency_key: "7" },
      { payload: { id: 8 }, idempotency_key: "own" },
      { payload: 1 },
    ]);
  });

  test.each<[string, string | Uint8Array, Partial<FileOptions>, RegExp]>([
    ["a.ndjson", "", {}, /a.ndjson holds no items/],
    ["b.ndjson", "\n \n", {}, /b.ndjson holds no items/],
    ["c.ndjson", '[\n{"payload":1}\n]', {}, /line 1 is not JSON; it looks like one JSON document/],
    ["d.ndjson", "id,name\n1,a\n", {}, /line 1 is not JSON/],
    ["e.ndjson", '{"order":1}\n', {}, /no "payload". Use --raw/],
    ["f.ndjson", "[1,2]\n", {}, /line 1 is a list, and no item/],
    ["g.ndjson", new Uint8Array([0x89, 0x50, 0x4e, 0x47, 0xff, 0x0a]), {}, /not UTF-8/],
    ["h.csv", 'a,b\n1,"2\n', {}, /h.csv: Quote Not Closed/],
    ["i.csv", "a,b\n1,2,3\n", {}, /i.csv: Invalid Record Length/],
    ["j.csv", "a,b\n", {}, /j.csv holds no items/],
    ["k.ndjson.gz", gzipSync('{"payload":1}\n'.repeat(5000)).subarray(0, 60), {}, /damaged/],
    ["l.ndjson", `{"payload":"${"x".repeat(3_000_000)}"}\n{}\n`, {}, /longer than an item may be/],
    ["n.ndjson", "id,name\n1,Ada\n", {}, /line 1 is not JSON; it looks like CSV/],
    ["o.csv", '{"payload":1}\n', {}, /line 1 is JSON, and names no columns/],
    ["m.ndjson", '{"payload":1}\n{oops\n', { isRaw: true }, /line 2 is not JSON/],
  ])("%s is refused by name", async (name, content, options, message) => {
    expect(await refusal(fileOf(name, content), options)).toMatch(message);
  });

  test("that is not there, or a directory, is refused", async () => {
    expect(await refusal(join(dir, "absent.ndjson"))).toMatch(/absent.ndjson cannot be read/);
    expect(await refusal(dir)).toMatch(/is a directory/);
  });
});
