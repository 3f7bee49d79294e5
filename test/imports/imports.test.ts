import { gzipSync, zstdCompressSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { importOf } from "../../src/imports/client.ts";
import { readImport } from "../../src/imports/consumer.ts";
import { listObjects } from "../../src/imports/list-task.ts";
import { importPorts, openBatch } from "../../src/operations/import-ports.ts";
import { ask, bindings } from "../http/ask.ts";
import { watch } from "../http/sse-reader.ts";
import { begin } from "./readers.ts";
import { ndjson, newImportWorld, numbered, readText } from "./world.ts";

const concat = (...parts: Uint8Array[]): Uint8Array => new Uint8Array(Buffer.concat(parts));
const numbers = (payloads: { n: number | string }[]): number[] => payloads.map((payload) => Number(payload.n));

describe("delivery", () => {
  test("by row: every row of every format and packing becomes a run, once", async () => {
    const world = await newImportWorld();
    await world.put("a.ndjson", ndjson(numbered(3)));
    await world.put("b.json", JSON.stringify(numbered(3, 3)));
    await world.put("c.csv", "n\n6\n7\n8\n");
    await world.put("d.gz", concat(gzipSync(ndjson(numbered(2, 9))), gzipSync(ndjson(numbered(1, 11)))));
    const skippable = new Uint8Array([0x50, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 7, 7]);
    const frames = [
      zstdCompressSync(""),
      skippable,
      zstdCompressSync(ndjson(numbered(1, 12))),
      zstdCompressSync(ndjson(numbered(2, 13))),
    ];
    await world.put("e.zst", concat(...frames));
    await world.put("empty.ndjson", "");
    await world.put("marker/", "");
    const record = await world.run({ name: "all of it" });
    expect(record).toMatchObject({
      status: "done",
      name: "all of it",
      percent_complete: 1,
      files: { total: 7, done: 6, failed: 0, skipped: 1 },
      rows: { read: 15, delivered: 15, rejected: 0 },
      tasks: { LIST: { DONE: 1 }, INDEX: { DONE: 1 } },
      errors: [],
    });
    expect(numbers(await world.payloads(record))).toEqual(numbers(numbered(15)));
    const batch = (await ask("GET", `/v1/batch-operations/${record.batch_id}`, { key: world.key })).body;
    expect(batch).toMatchObject({ item_count: 15, created_count: 15, max_concurrency: 576 });
    expect(batch.accepted_at).not.toBeNull();
    const files = await world.files(record.id);
    expect(files.map((file) => [file.key.slice(world.prefix.length), file.status, file.rows, file.error])).toEqual([
      ["a.ndjson", "done", 3, null],
      ["b.json", "done", 3, null],
      ["c.csv", "done", 3, null],
      ["d.gz", "done", 3, null],
      ["e.zst", "done", 3, null],
      ["empty.ndjson", "done", 0, null],
      ["marker/", "skipped", 0, "is the marker of a directory"],
    ]);
    const run = (await ask("GET", `/v1/runs?batch_id=${record.batch_id}&limit=1`, { key: world.key })).body.data[0];
    expect(run).toMatchObject({ triggered_by: "import", batch_id: record.batch_id, created_by: record.created_by });
  });

  test("by partition: closed by rows, by time, by size and by the file's end", async () => {
    const world = await newImportWorld();
    const at = (minute: number): string => new Date(Date.UTC(2026, 5, 1, 0, minute)).toISOString();
    await ask("POST", "/v1/transforms", {
      key: world.key,
      body: {
        name: "timed",
        type: "json",
        settings: {
          output_columns: [
            { name: "n", datatype: { type: "int32" } },
            { name: "at", datatype: { type: "datetime", primary: true, suppress: true } },
            { name: "fill", datatype: { type: "string" } },
          ],
        },
      },
    });
    const rows = numbered(25).map(({ n }) => ({ n, at: at(n < 12 ? 0 : n < 20 ? n - 12 : 60), fill: "" }));
    const big = numbered(3, 25).map(({ n }) => ({ n, at: at(60), fill: "x".repeat(600_000) }));
    await world.put("a.ndjson", ndjson([...rows, ...big]));
    await world.put("b.ndjson", ndjson(numbered(1, 28)));
    const record = await world.run({
      transform: "timed",
      delivery: "partition",
      settings: { max_rows_per_partition: 10, max_minutes_per_partition: 5 },
    });
    expect(record).toMatchObject({ status: "done", rows: { read: 29, delivered: 29, rejected: 0 } });
    const payloads = await world.payloads(record);
    const shape = payloads.map((p) => [p.file, p.partition, p.rows[0].n, p.rows.length]);
    const [a, b] = [`${world.url}a.ndjson`, `${world.url}b.ndjson`];
    expect(shape).toEqual([
      [a, 0, 0, 10],
      // Minutes 0 to 4, then 5 to 7, then an hour later.
      [a, 1, 10, 7],
      [a, 2, 17, 3],
      [a, 3, 20, 6],
      [a, 4, 26, 1],
      [a, 5, 27, 1],
      [b, 0, 28, 1],
    ]);
    expect(payloads.every((p) => p.import_id === record.id)).toBe(true);
    expect(payloads[0].rows[0]).toEqual({ n: 0, fill: "" });
  });

  test("by file: a run gets the object's address, and nothing is read", async () => {
    const world = await newImportWorld();
    await world.put("odd + % é ' key.bin", new Uint8Array([0xff, 0xfe, 0, 1]));
    const record = await world.run({ delivery: "file" });
    const [payload] = await world.payloads(record);
    const key = `${world.prefix}odd + % é ' key.bin`;
    expect(payload).toEqual({ url: `r2://DATA/${key}`, bucket: "DATA", key, etag: expect.any(String), size: 4 });
  });

  test("a row's digits and bytes reach the endpoint as they stand", async () => {
    const world = await newImportWorld();
    await world.put("a.ndjson", '  {"id":12345678901234567890,"x":1.50}\r\n');
    const record = await world.run();
    const [run] = await world.runs(record);
    const text = await readText(world.key, `/v1/runs/${run?.id}`);
    expect(text).toContain('"payload":{"id":12345678901234567890,"x":1.50}');
  });
});

describe("what is read", () => {
  test("one object, a filter over the whole address, and only so many", async () => {
    const world = await newImportWorld();
    for (const name of ["2026/a.gz", "2026/b.ndjson", "2026/b.ndjson.bak", "2025/a.gz"]) {
      await world.put(name, ndjson(numbered(1)));
    }
    const one = await world.run({ source: { url: `${world.url}2026/b.ndjson` } });
    expect((await world.files(one.id)).map((file) => file.key)).toEqual([`${world.prefix}2026/b.ndjson`]);
    const some = await world.run({ force: true, regex_filter: `^r2://DATA/.*/\\d{4}/.\\.gz$` });
    expect(some.files.total).toBe(2);
    const few = await world.run({ force: true, settings: { max_files: 3 } });
    expect(few.files).toMatchObject({ total: 3, done: 3 });
    const evil = await world.run({ force: true, regex_filter: "^(a+)+$" });
    expect(evil).toMatchObject({
      status: "done",
      percent_complete: 1,
      files: { total: 0 },
      warnings: ["no object matched"],
    });
  });

  test("what the job has imported is skipped, unless it has changed or is forced", async () => {
    const world = await newImportWorld();
    await world.put("a.ndjson", ndjson(numbered(2)));
    await world.put("b.ndjson", ndjson(numbered(2, 2)));
    expect((await world.run()).rows.delivered).toBe(4);
    const again = await world.run();
    expect(again).toMatchObject({ status: "done", files: { total: 2, done: 0, skipped: 2 }, rows: { read: 0 } });
    await world.put("b.ndjson", ndjson(numbered(3, 10)));
    await world.put("c.ndjson", ndjson(numbered(1, 20)));
    const changed = await world.run();
    expect(changed).toMatchObject({ files: { done: 2, skipped: 1 }, rows: { delivered: 4 } });
    expect((await world.run({ force: true })).rows.delivered).toBe(6);
    const other = await newImportWorld();
    const job = (await ask("POST", "/v1/jobs", { key: world.key, body: { ...jobFields(other), name: "Other" } })).body;
    expect((await world.run({ job: job.slug })).rows.delivered).toBe(6);
  });

  test("big plain NDJSON is cut into ranges, read side by side, and no row is lost or read twice", async () => {
    const world = await newImportWorld();
    const rows = numbered(6000).map(({ n }) => ({ n, é: n % 7 === 0 ? "ü".repeat(n % 50) : "" }));
    const text = ndjson(rows);
    await world.put("big.ndjson", `${text.slice(0, -1)}`);
    await world.put("big.gz", gzipSync(ndjson(numbered(10, 6000))));
    const record = await world.run({ settings: { input_aggregation: 16_384, input_concurrency: 4 } });
    expect(record).toMatchObject({ status: "done", files: { total: 2, done: 2 }, rows: { delivered: 6010 } });
    expect(record.tasks.INDEX.DONE).toBeGreaterThan(8);
    const got = numbers(await world.payloads(record)).sort((a, b) => a - b);
    expect(got).toEqual(numbers(numbered(6010)));
  });

  test("rejects of ranges have the lines of the whole object", async () => {
    const world = await newImportWorld();
    const lines = numbered(4000).map(({ n }) => (n % 1000 === 999 ? "oops" : JSON.stringify({ n })));
    await world.put("big.ndjson", lines.join("\n"));
    const record = await world.run({
      tolerated_failure_percent: 100,
      settings: { input_aggregation: 16_384, input_concurrency: 2 },
    });
    expect(record).toMatchObject({ status: "done_with_errors", rows: { read: 4000, rejected: 4 } });
    const rejects = await world.rejects(record.id);
    expect(rejects.map((reject) => reject.line).sort((a, b) => (a ?? 0) - (b ?? 0))).toEqual([1000, 2000, 3000, 4000]);
    const text = new TextEncoder().encode(lines.join("\n"));
    for (const { byte_offset } of rejects) {
      expect(new TextDecoder().decode(text.subarray(byte_offset, byte_offset + 4))).toBe("oops");
    }
  });
});

const jobFields = (world: { job: { endpoint_url: string } }) => ({ endpoint_url: world.job.endpoint_url });

describe("bad rows", () => {
  const BAD = ['{"n":1}', "{oops", '{"n":2}', '{"n":"x"}', '{"n":3}'].join("\n");

  async function badWorld() {
    const world = await newImportWorld();
    await world.put("a.ndjson", BAD);
    await world.put("b.ndjson", ndjson(numbered(2, 4)));
    const columns = [{ name: "n", datatype: { type: "int32" } }];
    const made = await ask("POST", "/v1/transforms", {
      key: world.key,
      body: { name: "n", type: "json", settings: { output_columns: columns } },
    });
    expect(made.status).toBe(201);
    return world;
  }

  test("skip_row: they are rejected, by file, line, byte and reason", async () => {
    const world = await badWorld();
    const record = await world.run({ transform: "n" });
    expect(record).toMatchObject({
      status: "done_with_errors",
      percent_complete: 1,
      rows: { read: 7, delivered: 5, rejected: 2 },
      files: { done: 2, failed: 0 },
    });
    expect(numbers(await world.payloads(record))).toEqual([1, 2, 3, 4, 5]);
    const file = `${world.url}a.ndjson`;
    expect(await world.rejects(record.id)).toEqual([
      { file, line: 2, byte_offset: 8, reason: expect.stringContaining("is not well-formed JSON"), raw: "{oops" },
      { file, line: 4, byte_offset: 22, reason: 'column n: "x" is not an integer of 32 bits', raw: '{"n":"x"}' },
    ]);
    expect((await world.files(record.id))[0]).toMatchObject({ status: "done", rows: 5, rejects: 2 });
  });

  test("skip_file: nothing of a file with an error is delivered", async () => {
    const world = await badWorld();
    const record = await world.run({ transform: "n", on_error: "skip_file" });
    expect(record).toMatchObject({ status: "done_with_errors", files: { done: 1, failed: 1 } });
    expect(numbers(await world.payloads(record))).toEqual([4, 5]);
    expect((await world.files(record.id))[0].error).toMatch(/^line 2: is not well-formed JSON/);
    expect(record.errors[0]).toMatch(/a\.ndjson: line 2/);
  });

  test("abort: the first one ends the import, and what came before stays", async () => {
    const world = await badWorld();
    const record = await world.run({ transform: "n", on_error: "abort" });
    expect(record).toMatchObject({ status: "failed", rows: { delivered: 1, rejected: 1 } });
    expect(record.percent_complete).toBeLessThan(1);
    expect(record.errors[0]).toContain("on_error is abort");
    // Nothing is being read any more.
    expect((await world.files(record.id)).map((file) => [file.status, file.rows, file.rejects])).toEqual([
      ["pending", 2, 1],
      ["pending", 0, 0],
    ]);
    expect(numbers(await world.payloads(record))).toEqual([1]);
    // What is left is read by a retry: behind the bad row, which ends it once more at the next.
    const retried = await ask("POST", `/v1/imports/${record.id}/retry`, { key: world.key });
    expect(retried.status).toBe(200);
    const second = await world.ended(record.id);
    expect(second.rows).toMatchObject({ delivered: 2, rejected: 2 });
    await ask("POST", `/v1/imports/${record.id}/retry`, { key: world.key });
    const third = await world.ended(record.id);
    expect(third).toMatchObject({ status: "done_with_errors", rows: { read: 7, delivered: 5, rejected: 2 } });
    expect(numbers(await world.payloads(third))).toEqual([1, 2, 3, 4, 5]);
  });

  test("beyond the tolerated share the import fails, with the reason", async () => {
    const world = await newImportWorld();
    const lines = numbered(2000).map(({ n }) => (n % 10 === 0 ? "bad" : JSON.stringify({ n })));
    await world.put("a.ndjson", lines.join("\n"));
    const record = await world.run({ tolerated_failure_percent: 5, tolerated_failure_min_rows: 100 });
    expect(record.status).toBe("failed");
    expect(record.errors[0]).toMatch(/^\d+ of \d+ rows were rejected, more than the tolerated 5 %$/);
    const tolerant = await world.run({ force: true, tolerated_failure_percent: 10 });
    expect(tolerant).toMatchObject({ status: "done_with_errors", rows: { delivered: 1800, rejected: 200 } });
  });

  test("a dry run delivers nothing, and shows counts, the first rows and every reject", async () => {
    const world = await badWorld();
    const record = await world.run({ transform: "n", settings: { dry_run: true } });
    expect(record).toMatchObject({
      status: "done_with_errors",
      batch_id: null,
      rows: { read: 7, delivered: 5, rejected: 2 },
      sample: [{ n: 1 }, { n: 2 }, { n: 3 }, { n: 4 }, { n: 5 }],
    });
    expect(await world.rejects(record.id)).toHaveLength(2);
    const { data } = (await ask("GET", `/v1/batch-operations?job_id=${world.job.id}`, { key: world.key })).body;
    expect(data).toEqual([]);
    // It is not remembered as imported.
    expect((await world.run({ transform: "n" })).rows.delivered).toBe(5);
  });

  test("a row that no partition can hold costs the others nothing", async () => {
    const world = await newImportWorld();
    const made = await ask("POST", "/v1/transforms", {
      key: world.key,
      body: {
        ...{ name: "t", type: "json" },
        settings: {
          output_columns: [
            { name: "n", datatype: { type: "double" } },
            { name: "m", datatype: { type: "map" } },
          ],
        },
      },
    });
    expect(made.status).toBe(201);
    const deep = `{"n":1,"m":{"a":${"[".repeat(61)}${"]".repeat(61)}}}`;
    const deepest = deep.replace("[[", "[").replace("]]", "]");
    const large = `{"n":2,"m":{"a":"${"x".repeat(1024 * 1024)}"}}`;
    await world.put("a.ndjson", ['{"n":3}', deep, '{"n":1e400}', large, deepest, '{"n":4}'].join("\n"));
    const record = await world.run({ transform: "t", delivery: "partition", tolerated_failure_percent: 100 });
    expect(record.rows).toEqual({ read: 6, delivered: 3, rejected: 3 });
    expect((await world.rejects(record.id)).map(({ line, reason }) => [line, reason])).toEqual([
      [2, "is nested deeper than 62 levels"],
      [3, "column n: a number that no double holds is not a number"],
      [4, "is larger than a payload may be (1048576 bytes)"],
    ]);
    const [payload] = await world.payloads(record);
    expect(numbers(payload.rows)).toEqual([3, 1, 4]);
    const whole = await world.run({ transform: "t", delivery: "partition", on_error: "skip_file", force: true });
    expect(whole).toMatchObject({ files: { failed: 1 }, rows: { delivered: 0 } });
  });

  test("the job's own rules refuse rows too", async () => {
    const world = await newImportWorld({
      payload_schema: { type: "object", required: ["n"] },
      max_concurrency_per_key: 1,
      concurrency_key_from: "payload.key",
    });
    await world.put("a.ndjson", ndjson([{ n: 1, key: "a" }, { key: "a" }, { n: 2 }, { n: 3, key: "b" }]));
    const record = await world.run();
    expect(record.rows).toEqual({ read: 4, delivered: 2, rejected: 2 });
    expect((await world.rejects(record.id)).map((reject) => [reject.line, reject.reason])).toEqual([
      [2, expect.stringContaining("required")],
      [3, expect.stringContaining("max_concurrency_per_key")],
    ]);
  });
});

describe("bad objects", () => {
  test("each is a failed file or a rejected row, named, and the others are imported", async () => {
    const world = await newImportWorld();
    const packed = gzipSync(ndjson(Array.from({ length: 20_000 }, (_, n) => ({ n, r: Math.sin(n) }))));
    await world.put("01-cut.gz", packed.subarray(0, packed.length / 2));
    await world.put(
      "02-broken-utf8.ndjson",
      concat(new Uint8Array([0x22, 0xff, 0x22, 0x0a]), Buffer.from('{"n":1}\n')),
    );
    await world.put("03-bom-crlf.ndjson", '\ufeff{"n":2}\r\n\r\n{"n":3}\r\n');
    await world.put("04-open-array.json", '[{"n":4},{"n":5}');
    await world.put("05-utf16.ndjson", new Uint8Array([0xff, 0xfe, 0x7b, 0, 0x7d, 0]));
    await world.put("06-head-only.csv", "n,m\n");
    await world.put("07-short-long.csv", "n,m\n6,a\n7\n8,b,c\n9,d\n");
    await world.put("08-not-gzip.gz", new Uint8Array([0x1f, 0x8b, 8, 0, 1, 2, 3]));
    await world.put("09-long-line.ndjson", `{"n":10}\n"${"x".repeat(9 * 1024 * 1024)}"\n{"n":11}\n`);
    await world.put("10-too-big-payload.ndjson", `{"n":12}\n"${"x".repeat(1024 * 1024)}"\n`);
    await world.put(
      "11-deep.ndjson",
      `${"[".repeat(100)}${"]".repeat(100)}\n`.replace("[", '{"a":[').replace("]\n", "]}\n"),
    );
    const record = await world.run({ tolerated_failure_percent: 100 });
    expect(record.status).toBe("done_with_errors");
    const files = await world.files(record.id);
    const told = Object.fromEntries(
      files.map((file) => [file.key.slice(world.prefix.length, world.prefix.length + 2), [file.status, file.error]]),
    );
    expect(told).toEqual({
      "01": ["failed", expect.stringMatching(/is not sound gzip: unexpected end of file/)],
      "02": ["done", null],
      "03": ["done", null],
      "04": ["failed", "the JSON array does not end"],
      "05": ["failed", "is UTF-16; only UTF-8 is understood"],
      "06": ["done", null],
      "07": ["done", null],
      "08": ["failed", expect.stringMatching(/is not sound gzip/)],
      "09": ["done", null],
      "10": ["done", null],
      "11": ["done", null],
    });
    const reasons = (await world.rejects(record.id)).map((r) => [
      r.file.slice(world.url.length, world.url.length + 2),
      r.line,
      r.reason,
    ]);
    expect(reasons).toEqual([
      ["02", 1, "is not valid UTF-8"],
      ["07", 3, "has 1 fields where 2 are expected"],
      ["07", 4, "has 3 fields where 2 are expected"],
      ["09", 2, "is larger than 8388608 bytes"],
      ["10", 2, expect.stringContaining("larger than")],
      ["11", 1, expect.stringContaining("nested deeper")],
    ]);
    const delivered = numbers((await world.payloads(record)).filter((payload) => !("r" in payload)));
    expect(delivered).toEqual([1, 2, 3, 4, 6, 9, 10, 11, 12]);
  });

  test("a bomb is a failed file, and memory stays flat", async () => {
    const world = await newImportWorld();
    // 300 MB of newlines in some 300 KB: a member each megabyte.
    const member = gzipSync(Buffer.alloc(1024 * 1024, "\n"));
    await world.put("bomb.gz", concat(gzipSync('{"n":1}\n'), ...Array.from({ length: 300 }, () => member)));
    const record = await world.run();
    expect(record).toMatchObject({ status: "done_with_errors", files: { failed: 1 } });
    expect(record.errors[0]).toContain("unpacks to more than 250 times its size");
  });

  test("what has changed since it was listed is a failed file, and a retry reads it as it is then", async () => {
    const world = await newImportWorld();
    await world.put("a.ndjson", ndjson(numbered(2)));
    await world.put("b.ndjson", ndjson(numbered(2, 2)));
    const spec = await begin(world, "row");
    const own = importOf(bindings, spec.id);
    const ports = importPorts(bindings);
    const work = await own.lease();
    if (work.kind !== "list") throw new Error(`leased ${work.kind}`);
    await listObjects(work, own, ports);
    await world.put("b.ndjson", ndjson(numbered(3, 10)));
    await readImport(spec.id, bindings, ports);
    const record = await own.view();
    expect(record).toMatchObject({ status: "done_with_errors", files: { done: 1, failed: 1 }, rows: { delivered: 2 } });
    expect(record?.errors[0]).toContain("has changed since it was listed");
    const { batch_id } = await openBatch(bindings, spec, 1);
    expect((await own.retry(batch_id)).kind).toBe("steered");
    await readImport(spec.id, bindings, ports);
    const retried = await own.view();
    expect(retried).toMatchObject({ status: "done", files: { done: 2, failed: 0 }, rows: { delivered: 5 } });
    expect(retried?.batch_ids).toHaveLength(2);
  });
});

describe("steering", () => {
  test("events tell the state at once, progress that never falls, and the end last", async () => {
    const world = await newImportWorld();
    for (let i = 0; i < 5; i++) await world.put(`${i}.ndjson`, ndjson(numbered(400, i * 400)));
    const begun = await world.begin();
    const stream = await watch(world.key, `/v1/imports/${begun.body.id}/events`);
    expect(stream.status).toBe(200);
    const events = await stream.rest();
    expect(events[0]?.event).toBe("import_state");
    expect(events.at(-1)).toMatchObject({ event: "import_state", data: { status: "done", percent_complete: 1 } });
    const shares = events.map((event) => event.data.percent_complete);
    expect(shares).toEqual([...shares].sort((a, b) => a - b));
    expect(shares.filter((share) => share === 1)).toHaveLength(1);
    const again = await watch(world.key, `/v1/imports/${begun.body.id}/events`, {
      "Last-Event-ID": events.at(-1)?.id ?? "",
    });
    expect(again.status).toBe(204);
  });

  test("a canceled one reads no more, is not retried, and can be deleted", async () => {
    const world = await newImportWorld();
    for (let i = 0; i < 20; i++) await world.put(`${i}.ndjson`, ndjson(numbered(500, i * 500)));
    const begun = await world.begin();
    const canceled = await ask("POST", `/v1/imports/${begun.body.id}/cancel`, { key: world.key });
    expect([200, 409]).toContain(canceled.status);
    const record = await world.ended(begun.body.id);
    if (canceled.status === 200) {
      expect(record.status).toBe("canceled");
      expect((await ask("POST", `/v1/imports/${record.id}/retry`, { key: world.key })).status).toBe(409);
    }
    expect((await ask("POST", `/v1/imports/${record.id}/pause`, { key: world.key })).status).toBe(409);
    const { created_count } = (await ask("GET", `/v1/batch-operations/${record.batch_id}`, { key: world.key })).body;
    expect(created_count).toBe(record.rows.delivered);
    expect((await ask("DELETE", `/v1/imports/${record.id}`, { key: world.key })).status).toBe(204);
    expect((await ask("GET", `/v1/imports/${record.id}`, { key: world.key })).status).toBe(404);
  });

  test("tasks always add up", async () => {
    const world = await newImportWorld();
    for (let i = 0; i < 12; i++) await world.put(`${i}.ndjson`, ndjson(numbered(100, i * 100)));
    const begun = await world.begin({ settings: { input_aggregation: 16_384, input_concurrency: 3 } });
    const record = await world.ended(begun.body.id);
    const sum = Object.values(record.tasks.INDEX as Record<string, number>).reduce((a, b) => a + b, 0);
    expect(record.tasks).toMatchObject({ LIST: { DONE: 1 }, INDEX: { DONE: sum } });
    expect(record.files.total).toBe(record.files.done + record.files.failed + record.files.skipped);
  });
});
