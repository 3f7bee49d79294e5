import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { beforeAll, describe, expect, inject, test } from "vitest";
import { S3Source } from "../../src/imports/source.ts";
import { ask, bindings } from "../http/ask.ts";
import { type ImportWorld, ndjson, newImportWorld, numbered } from "./world.ts";

/** Imports from a store over S3's protocol that fails as stores do. */

let world: ImportWorld;
let credentials: Record<"good" | "bad", string>;
let buckets = 0;

const SECRETS = { good: "correct-horse-battery-staple", bad: "wrong-horse-battery-staple" };

beforeAll(async () => {
  world = await newImportWorld();
  const keep = async (id: "good" | "bad"): Promise<string> => {
    const details = { access_key_id: id, secret_access_key: SECRETS[id] };
    const made = await ask("POST", "/v1/credentials", {
      key: world.key,
      body: { name: id, type: "aws s3", details },
    });
    expect(made.status).toBe(201);
    return made.body.id;
  };
  credentials = { good: await keep("good"), bad: await keep("bad") };
});

async function bucketOf(objects: Record<string, string | Uint8Array>, name = `bucket-${buckets++}`): Promise<string> {
  for (const [key, body] of Object.entries(objects)) {
    const path = key.split("/").map(encodeURIComponent).join("/");
    const put = await fetch(`${inject("s3Url")}/${name}/${path}`, { method: "PUT", body: body as BodyInit });
    await put.arrayBuffer();
  }
  return name;
}

const sourceOf = (url: string, credential: "good" | "bad" | null = "good") => ({
  url,
  endpoint: inject("s3Url"),
  region: "eu-central-1",
  credential_id: credential === null ? null : credentials[credential],
});

const numbersOf = async (record: unknown): Promise<number[]> =>
  (await world.payloads(record)).map((payload) => Number(payload.n)).sort((a, b) => a - b);

describe("a bucket", () => {
  test("is listed page by page, and its odd keys are read", async () => {
    const names = ["a b", "a+b", "a%20b", "é", "it's (1)*!", "x=y&z", "dir/🙂"];
    const bucket = await bucketOf(Object.fromEntries(names.map((name, n) => [name, ndjson([{ n }])])));
    const record = await world.run({ source: sourceOf(`s3://${bucket}`) });
    expect(record).toMatchObject({ status: "done", files: { total: 7, done: 7 }, rows: { delivered: 7 } });
    expect((await world.files(record.id)).map((file) => file.key).sort()).toEqual([...names].sort());
    expect(await numbersOf(record)).toEqual([0, 1, 2, 3, 4, 5, 6]);
    const directory = await world.run({ source: sourceOf(`s3://${bucket}/dir/`), force: true });
    expect(directory.files.total).toBe(1);
    const one = await world.run({ source: sourceOf(`s3://${bucket}/a+b`), force: true });
    expect(await numbersOf(one)).toEqual([1]);
  });

  test.each(["slow-list", "cut-list"])("that is slow to list, or breaks off, is listed all the same", async (name) => {
    const bucket = await bucketOf({ "a.ndjson": ndjson(numbered(2)) }, name);
    expect(await world.run({ source: sourceOf(`s3://${bucket}`) })).toMatchObject({
      status: "done",
      rows: { delivered: 2 },
    });
  });

  test.each([
    ["s3://missing", "good", "NoSuchBucket: said the store"],
    ["s3://denied/dir/", "good", "AccessDenied: said the store"],
    ["s3://unmet", "good", "PreconditionFailed: said the store"],
    ["s3://endless", "good", "UnreadableListing: the store's answer is no listing of a bucket"],
    ["s3://bucket-x", "bad", "InvalidAccessKeyId: said the store"],
    ["s3://bucket-x", null, "InvalidAccessKeyId: said the store"],
    ["s3://bucket-x/no-such-key", "good", "NoSuchKey: there is no object s3://bucket-x/no-such-key"],
  ] as const)("%s with the %s credential: the import fails, and says why", async (url, credential, error) => {
    const record = await world.run({ source: sourceOf(url, credential) });
    expect(record).toMatchObject({ status: "failed", errors: [error], tasks: { LIST: { ERROR: 1 } } });
    expect(record.percent_complete).toBeLessThan(1);
    const batch = (await ask("GET", `/v1/batch-operations/${record.batch_id}`, { key: world.key })).body;
    expect(batch).toMatchObject({ status: "succeeded", item_count: 0 });
  });
});

test("a store that does not answer is given up, though it might yet", async () => {
  const keys = { access_key_id: "good", secret_access_key: SECRETS.good };
  const place = { endpoint: inject("s3Url"), region: "eu-central-1", bucket: "silent", keys };
  const tries: number[] = [];
  const patience = { headersMs: 20, requestMs: 50, pause: async (ms: number) => void tries.push(ms) };
  const failure = await new S3Source(place, patience).list("", null).catch((error: unknown) => error);
  expect(String(failure)).toContain("ConnectionFailed: the store does not answer");
  expect(tries.length).toBeGreaterThan(0);
});

test("a credential that the deployment cannot open any more fails the import, by name", async () => {
  const details = { access_key_id: "good", secret_access_key: "sealed-and-lost" };
  const made = await ask("POST", "/v1/credentials", {
    key: world.key,
    body: { name: "lost", type: "aws s3", details },
  });
  const { DB } = bindings;
  await DB.prepare("UPDATE credentials SET secret_access_key = 'v1.gone.AAAA.AAAA' WHERE id = ?")
    .bind(made.body.id)
    .run();
  const bucket = await bucketOf({ "a.ndjson": ndjson(numbered(1)) });
  const source = { ...sourceOf(`s3://${bucket}`), credential_id: made.body.id };
  const record = await world.run({ source });
  expect(record).toMatchObject({ status: "failed", errors: [expect.stringMatching(/^CredentialNotOpened: /)] });
});

describe("an object", () => {
  test("whose connection breaks off is read on where it was; one that is not given is a failed file", async () => {
    const rows = (from: number): string => ndjson(numbered(1000, from));
    const bucket = await bucketOf({
      "1-cut-2.gz": gzipSync(rows(0)),
      "2-slow-down-2.ndjson": rows(1000),
      "3-cut-1.ndjson": rows(2000),
      "4-cut-forbidden.ndjson": rows(3000),
      "5-forbidden.ndjson": rows(4000),
      "6-gone.ndjson": rows(5000),
      "7-changed.ndjson": rows(6000),
      "8-encoded.ndjson.gz": gzipSync(rows(7000)),
    });
    const record = await world.run({ source: sourceOf(`s3://${bucket}`) });
    expect(record).toMatchObject({ status: "done_with_errors", files: { total: 8, done: 4, failed: 4 } });
    const files = await world.files(record.id);
    expect(files.map((file) => [file.key[0], file.status, file.error])).toEqual([
      ["1", "done", null],
      ["2", "done", null],
      ["3", "done", null],
      ["4", "failed", "AccessDenied: said the store"],
      ["5", "failed", "AccessDenied: said the store"],
      ["6", "failed", "NoSuchKey: said the store"],
      ["7", "failed", "PreconditionFailed: 7-changed.ndjson has changed since it was listed"],
      ["8", "done", null],
    ]);
    const got = await numbersOf(record);
    for (const from of [0, 1000, 2000, 7000]) {
      expect(got.filter((n) => n >= from && n < from + 1000)).toEqual(numbered(1000, from).map(({ n }) => n));
    }
    // Half of it came before it was forbidden; a retry finds the rest forbidden still, and brings nothing twice.
    const half = got.filter((n) => n >= 3000 && n < 4000).length;
    expect(half).toBeGreaterThan(0);
    await ask("POST", `/v1/imports/${record.id}/retry`, { key: world.key });
    const retried = await world.ended(record.id);
    expect(retried).toMatchObject({ status: "done_with_errors", files: { done: 4, failed: 4 } });
    expect(await numbersOf(retried)).toEqual(got);
  });
});

test("credentials are shown nowhere", async () => {
  const bucket = await bucketOf({ "a.ndjson": "oops\n" });
  const record = await world.run({ source: sourceOf(`s3://${bucket}`), tolerated_failure_percent: 100 });
  const bad = await world.run({ source: sourceOf(`s3://${bucket}`, "bad") });
  const shown = await Promise.all(
    [
      ...["/v1/credentials", `/v1/credentials/${credentials.good}`, "/v1/imports", `/v1/imports/${record.id}`],
      ...[`/v1/imports/${bad.id}`, `/v1/imports/${record.id}/files`, `/v1/imports/${record.id}/rejects`],
      ...[`/v1/imports/${bad.id}/events`, `/v1/runs?batch_id=${record.batch_id}`],
    ].map(async (path) => JSON.stringify((await ask("GET", path, { key: world.key })).body)),
  );
  for (const text of shown) {
    for (const secret of [...Object.values(SECRETS), "access_key_id", "secret_access_key"])
      expect(text).not.toContain(secret);
  }
});

describe("what cannot be imported is refused by the names of its fields", () => {
  const BASE = { source: { url: "s3://bucket" } };
  test.each<[string, Record<string, unknown>, string[]]>([
    [
      "an endpoint inside",
      { source: { url: "s3://bucket", endpoint: "https://169.254.169.254/" } },
      ["source.endpoint"],
    ],
    ["plain http", { source: { url: "s3://bucket", endpoint: "http://s3.example.com" } }, ["source.endpoint"]],
    ["no such URL", { source: { url: "ftp://bucket/x" } }, ["source.url"]],
    ["a bucket that is not mapped", { source: { url: "r2://BLOBS/" } }, ["source.url"]],
    ["no regular expression", { ...BASE, regex_filter: "(" }, ["regex_filter"]],
    ["a look-ahead", { ...BASE, regex_filter: "(?=a)" }, ["regex_filter"]],
    ["a wrong cron", { ...BASE, cron: "* * *" }, ["cron"]],
    [
      "unknown names",
      {
        ...BASE,
        transform: "nope",
        source: { url: "s3://bucket", credential_id: "019c2f6e-7d80-7a3b-9c55-0000000002a1" },
      },
      ["transform", "source.credential_id"],
    ],
    [
      "unknown fields",
      { ...BASE, sauce: 1, settings: { max_row_per_partition: 1 } },
      ["settings.max_row_per_partition", "sauce"],
    ],
    [
      "wrong values",
      { ...BASE, delivery: "rows", settings: { input_concurrency: 0 }, on_error: "x" },
      ["delivery", "settings.input_concurrency", "on_error"],
    ],
  ])("%s", async (_, fields, paths) => {
    const { status, body } = await world.begin(fields);
    expect(status).toBe(422);
    const told = body.error.details.map((detail: { path: string }) => detail.path);
    expect(told.sort()).toEqual([...paths].sort());
  });

  test("transforms with what is computed", async () => {
    const column = { name: "a", datatype: { type: "string", script: "row['a']" } };
    const { status, body } = await ask("POST", "/v1/transforms", {
      key: world.key,
      body: { name: "t", type: "json", settings: { output_columns: [column], sql_transform: "select 1" } },
    });
    expect(status).toBe(422);
    expect(body.error.details).toEqual([
      {
        path: "settings.output_columns[0].datatype.script",
        message: "is not supported: columns are read, never computed",
      },
      { path: "settings.sql_transform", message: "is not supported" },
    ]);
  });

  test("a job that is another project's is not found, a disabled one is a conflict", async () => {
    const other = await newImportWorld({ enabled: false });
    expect((await world.begin({ ...BASE, job: other.job.id })).status).toBe(404);
    expect((await other.begin({})).status).toBe(409);
  });
});

test("lists of fields are tried as they stand, whatever quotes and escapes are", async () => {
  const field = fc.string({ unit: fc.constantFrom('"', "'", "\\", ",", "\n", "a") }).filter((text) => text !== "");
  const row = fc.tuple(field, field).map((fields) => [...fields]);
  const style = fc.record({ quote: fc.constantFrom('"', "'"), escape: fc.constantFrom('"', "'", "\\") });
  await fc.assert(
    fc.asyncProperty(fc.array(row, { minLength: 1, maxLength: 5 }), style, async (data, format_details) => {
      const columns = ["a", "b"].map((name) => ({ name, datatype: { type: "string" } }));
      const transform = { type: "csv", settings: { format_details, output_columns: columns } };
      const { body } = await ask("POST", "/v1/transforms/validate", { key: world.key, body: { transform, data } });
      expect(body).toEqual({ rows: data.map(([a, b]) => ({ a, b })), errors: [] });
    }),
    { numRuns: 30 },
  );
});

test("a transform is tried on rows before it is kept", async () => {
  const columns = [
    { name: "id", datatype: { type: "int64" } },
    { name: "at", datatype: { type: "datetime", format: "02/Jan/2006" } },
  ];
  const transform = { type: "csv", settings: { format_details: { skip_head: 1 }, output_columns: columns } };
  const tried = await ask("POST", "/v1/transforms/validate", {
    key: world.key,
    body: { transform, data: "id,at\n1,01/Jun/2026\nx,01/Jun/2026\n2\n" },
  });
  expect(tried.status).toBe(200);
  expect(tried.body).toEqual({
    rows: [{ id: 1, at: "2026-06-01T00:00:00.000Z" }],
    errors: [
      { index: 1, line: 3, message: 'column id: "x" is not an integer of 64 bits', raw: "x,01/Jun/2026" },
      { index: 2, line: 4, message: "has 1 fields where 2 are expected", raw: "2" },
    ],
  });
});
