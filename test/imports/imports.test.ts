import { gzipSync, zstdCompressSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { ask } from "../http/ask.ts";
import { ndjson, newImportWorld, numbered } from "./world.ts";

const concat = (...parts: Uint8Array[]): Uint8Array => new Uint8Array(Buffer.concat(parts));

describe("by row", () => {
  test("every row of every format and packing becomes a run, once", async () => {
    const world = await newImportWorld();
    await world.put("a.ndjson", ndjson(numbered(3)));
    await world.put("b.json", JSON.stringify(numbered(3, 3)));
    await world.put("c.csv", "n\n6\n7\n8\n");
    await world.put("d.gz", concat(gzipSync(ndjson(numbered(2, 9))), gzipSync(ndjson(numbered(1, 11)))));
    await world.put("e.zst", zstdCompressSync(ndjson(numbered(3, 12))));
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
    const payloads = await world.payloads(record);
    expect(payloads.map((payload) => Number(payload.n))).toEqual(numbered(15).map(({ n }) => n));
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
  });
});
