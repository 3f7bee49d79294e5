import { gzipSync, zstdCompressSync } from "node:zlib";
import fc from "fast-check";
import { expect, inject, test } from "vitest";
import { ask } from "../http/ask.ts";
import { type ImportWorld, ndjson, newImportWorld, numbered } from "./world.ts";

/** Whatever a bucket holds: what was read is what was delivered and what was rejected, file by file and in all. */

interface ObjectOf {
  packing: "plain" | "gzip" | "zstd";
  format: "ndjson" | "array" | "csv";
  /** False: a row that cannot be read. */
  rows: boolean[];
}

const objectArb: fc.Arbitrary<ObjectOf> = fc.record({
  packing: fc.constantFrom("plain", "gzip", "zstd"),
  format: fc.constantFrom("ndjson", "array", "csv"),
  rows: fc.oneof(
    { weight: 4, arbitrary: fc.array(fc.boolean(), { maxLength: 12 }) },
    fc.array(fc.boolean(), { minLength: 600, maxLength: 900 }),
  ),
});

function bytesOf({ packing, format, rows }: ObjectOf, first: number): Uint8Array {
  const cells = rows.map((isGood, i) => {
    const n = first + i;
    if (format === "csv") return isGood ? `${n},x` : `${n}`;
    return isGood ? `{"n":${n}}` : `{"n":${n},}`;
  });
  const text =
    format === "csv" ? `n,x\n${cells.join("\n")}` : format === "array" ? `[${cells.join(",\n")}]` : cells.join("\r\n");
  const bytes = new TextEncoder().encode(text);
  if (packing === "plain") return bytes;
  return packing === "gzip" ? gzipSync(bytes) : zstdCompressSync(bytes);
}

const sum = (numbers: number[]): number => numbers.reduce((a, b) => a + b, 0);

test("counts add up, by file and in all, and every good row is sent once", { timeout: 60_000 }, async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(objectArb, { minLength: 1, maxLength: 6 }),
      fc.constantFrom("row", "partition"),
      fc.constantFrom(1, 3),
      async (objects, delivery, input_concurrency) => {
        const world = await newImportWorld();
        const good: number[] = [];
        const expected: unknown[] = [];
        for (const [i, object] of objects.entries()) {
          const first = i * 1000;
          const key = `${i}.${object.format === "csv" ? "csv" : "json"}`;
          await world.put(key, bytesOf(object, first));
          good.push(...object.rows.flatMap((isGood, n) => (isGood ? [first + n] : [])));
          const rejects = object.rows.filter((isGood) => !isGood).length;
          expected.push({ key: world.prefix + key, status: "done", rows: object.rows.length, rejects, error: null });
        }
        const record = await world.run({
          ...{ delivery, tolerated_failure_percent: 100 },
          settings: { max_rows_per_partition: 70, input_aggregation: 16_384, input_concurrency },
        });
        const files = await world.files(record.id);
        expect(files.map(({ etag, size, ...file }) => file)).toEqual(expected);
        const rejects = await world.rejects(record.id);
        for (const file of files) {
          const own = rejects.filter((reject) => reject.file === world.url + file.key.slice(world.prefix.length));
          expect(own).toHaveLength(file.rejects);
        }
        expect(record.rows).toEqual({
          read: sum(files.map((file) => file.rows)),
          delivered: good.length,
          rejected: rejects.length,
        });
        expect(record.bytes).toEqual({ total: sum(files.map((f) => f.size)), done: sum(files.map((f) => f.size)) });
        const payloads = await world.payloads(record);
        const sent = delivery === "row" ? payloads : payloads.flatMap((payload) => payload.rows);
        expect(sent.map((row) => Number(row.n)).sort((a, b) => a - b)).toEqual(good);
      },
    ),
    { numRuns: 5 },
  );
});

async function credentialOf(world: ImportWorld): Promise<string> {
  const details = { access_key_id: "good", secret_access_key: "correct-horse" };
  const body = { name: "good", type: "aws s3", details };
  return (await ask("POST", "/v1/credentials", { key: world.key, body })).body.id;
}

test("files and rejects can be read while it runs and while it is paused; resumed, it brings the rest once", async () => {
  const world = await newImportWorld();
  const bucket = `running-${world.job.id}`;
  const put = async (key: string, body: string): Promise<void> => {
    await (await fetch(`${inject("s3Url")}/${bucket}/${key}`, { method: "PUT", body })).arrayBuffer();
  };
  await put("1.ndjson", `${"oops\n".repeat(700)}${ndjson(numbered(700))}`);
  // The store asks to be left alone for some seconds.
  await put("2-slow-down-4.ndjson", ndjson(numbered(50, 700)));
  const source = { url: `s3://${bucket}`, endpoint: inject("s3Url"), credential_id: await credentialOf(world) };
  const begun = await world.begin({ source, tolerated_failure_percent: 100 });
  const { id } = begun.body;
  await expect.poll(async () => (await world.rejects(id)).length, { timeout: 20_000 }).toBeGreaterThan(0);
  const running = await world.get(id);
  expect(running).toMatchObject({ status: "running", finished_at: null });
  expect(running.percent_complete).toBeLessThan(1);
  expect((await world.files(id)).map((file) => file.key)).toEqual(["1.ndjson", "2-slow-down-4.ndjson"]);

  const paused = await ask("POST", `/v1/imports/${id}/pause`, { key: world.key });
  expect(paused).toMatchObject({ status: 200, body: { status: "paused" } });
  expect((await world.rejects(id)).length).toBeGreaterThan(0);
  expect((await world.files(id)).length).toBe(2);
  expect((await ask("POST", `/v1/imports/${id}/retry`, { key: world.key })).status).toBe(409);
  expect((await world.get(id)).status).toBe("paused");

  expect((await ask("POST", `/v1/imports/${id}/resume`, { key: world.key })).status).toBe(200);
  const record = await world.ended(id);
  expect(record).toMatchObject({ status: "done_with_errors", rows: { read: 1450, delivered: 750, rejected: 700 } });
  expect(await world.rejects(id)).toHaveLength(700);
  const sent = (await world.payloads(record)).map((payload) => Number(payload.n)).sort((a, b) => a - b);
  expect(sent).toEqual(numbered(750).map(({ n }) => n));
});

test("what is empty, what is a directory, and what follows an array are all named", async () => {
  const world = await newImportWorld();
  await world.put("dir/", "");
  await world.put("empty.ndjson", "");
  await world.put("empty.csv", "");
  await world.put("none.json", "[]");
  await world.put("packed-nothing.gz", gzipSync(""));
  await world.put("trailing.json", '[{"n":1}] {"n":2}');
  await world.put("two-arrays.json", '[{"n":3}]\n[{"n":4}]\n');
  const record = await world.run({ regex_filter: "r2://DATA/world" });
  const files = await world.files(record.id);
  expect(Object.fromEntries(files.map((f) => [f.key.slice(world.prefix.length), [f.status, f.rows, f.error]]))).toEqual(
    {
      "dir/": ["skipped", 0, "is the marker of a directory"],
      "empty.ndjson": ["done", 0, null],
      "empty.csv": ["done", 0, null],
      "none.json": ["done", 0, null],
      "packed-nothing.gz": ["done", 0, null],
      "trailing.json": ["failed", 1, expect.stringContaining("array")],
      "two-arrays.json": ["failed", 1, expect.stringContaining("array")],
    },
  );
  expect(record).toMatchObject({ status: "done_with_errors", percent_complete: 1, files: { failed: 2, skipped: 1 } });
});

test("a catastrophic filter is searched in time linear in the key", async () => {
  const world = await newImportWorld();
  await world.put(`${"a".repeat(600)}!`, ndjson(numbered(1)));
  const record = await world.run({ regex_filter: "/(a|a)*(a+)+$" });
  expect(record).toMatchObject({ status: "done", files: { total: 0 }, percent_complete: 1 });
  expect(record.warnings).toHaveLength(1);
  for (const regex_filter of ["(a)\\1", "(?=a)", "(", "a".repeat(2000)]) {
    const { status, body } = await world.begin({ regex_filter });
    expect([status, body.error.details[0].path]).toEqual([422, "regex_filter"]);
  }
});

test("abort: a file that cannot be read ends the import too", async () => {
  const world = await newImportWorld();
  await world.put("1.json", '[{"n":1}');
  await world.put("2.ndjson", ndjson(numbered(1, 2)));
  const record = await world.run({ on_error: "abort" });
  expect(record.status).toBe("failed");
  expect(record.errors[0]).toContain("the JSON array does not end");
});
