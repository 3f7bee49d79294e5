import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type EndpointZoo, start as startZoo } from "../fixtures/endpoint/server.ts";
import { type Swift, startSwift } from "../fixtures/s3/swift.ts";
import { airports, finishedBatch, ndjson, type Sluice, startSluice, until } from "./harness.ts";

/** Imports from a real S3 store that verifies signatures, through kill -9. */

let swift: Swift;
let zoo: EndpointZoo;
let sluice: Sluice;

beforeAll(async () => {
  [swift, zoo, sluice] = await Promise.all([startSwift(), startZoo(), startSluice()]);
});

afterAll(async () => {
  await Promise.all([sluice?.signalGroup("SIGINT"), zoo?.stop(), swift?.stop()]);
});

interface Import {
  id: string;
  status: string;
  batch_id: string;
  errors: string[];
  finished_at: string | null;
  files: { total: number; done: number };
  rows: { read: number; delivered: number; rejected: number };
}

const ended = (id: string): Promise<Import> =>
  until(async () => {
    const record = await sluice.api.get<Import>(`/v1/imports/${id}`);
    return record.finished_at === null ? null : record;
  });

const credential = async (secret: string): Promise<string> => {
  const details = { ...swift.keys, secret_access_key: secret };
  return (await sluice.api.post<{ id: string }>("/v1/credentials", { name: "s3", type: "aws s3", details })).id;
};

const sourceOf = (url: string, credentialId: string) => ({
  url,
  endpoint: swift.endpoint,
  region: "us-east-1",
  credential_id: credentialId,
});

const rowsSent = <Row>(): Row[] => zoo.log.flatMap((call) => (JSON.parse(call.body) as { rows: Row[] }).rows);

test("the airports of a real bucket, every row once through kill -9 in the middle", async () => {
  await swift.put("airports");
  const copies = 16;
  const rows = Array.from({ length: copies }, (_, copy) => airports.map((airport) => ({ ...airport, copy }))).flat();
  await swift.put("airports/all/a%20%2B%20b.ndjson.gz", new Uint8Array(gzipSync(ndjson(rows), { level: 1 })));
  const line = (cells: unknown[]): string => cells.map((cell) => `"${String(cell).replaceAll('"', '""')}"`).join(",");
  const csv = airports.map(({ id, name, country, icao }) => line([id, name, country, icao]));
  await swift.put("airports/csv/airports.csv", `id,name,country,icao\r\n${csv.join("\r\n")}\r\n`);
  const good = await credential(swift.keys.secret_access_key);

  const job = await sluice.api.post<{ id: string }>("/v1/jobs", { name: "Airports", endpoint_url: `${zoo.url}/ok` });
  const wrong = await credential("wrong");
  const refused = await sluice.api.post<Import>("/v1/imports", {
    job: job.id,
    source: sourceOf("s3://airports", wrong),
  });
  const failed = await ended(refused.id);
  expect(failed.status).toBe("failed");
  expect(failed.errors[0]).toMatch(/^SignatureDoesNotMatch/);

  // No call is under way when all is killed: each is made once.
  await sluice.api.post("/v1/jobs/airports/pause");
  const begun = await sluice.api.post<Import>("/v1/imports", {
    ...{ job: "airports", delivery: "partition" },
    source: sourceOf("s3://airports/all/", good),
    settings: { max_rows_per_partition: 50 },
  });
  await until(async () => (await sluice.api.get<Import>(`/v1/imports/${begun.id}`)).rows.delivered > rows.length / 8);
  await sluice.signalGroup("SIGKILL");
  await until(() => sluice.processes().length === 0);
  const before = sluice;
  sluice = await startSluice({ stateDir: before.stateDir, port: before.port });

  const record = await ended(begun.id);
  expect(record).toMatchObject({ status: "done", rows: { read: rows.length, delivered: rows.length, rejected: 0 } });
  await sluice.api.post("/v1/jobs/airports/resume");
  expect(await finishedBatch(sluice, record.batch_id)).toMatchObject({ status: "succeeded" });
  const nameOf = ({ copy, id }: { copy: number; id: number }): string => `${copy}/${id}`;
  expect(rowsSent<{ copy: number; id: number }>().map(nameOf).sort()).toEqual(rows.map(nameOf).sort());

  const columns = [
    { name: "id", datatype: { type: "int32" } },
    { name: "icao", datatype: { type: "string", source: { from_input_index: 3 } } },
  ];
  await sluice.api.post("/v1/transforms", {
    ...{ name: "icao", type: "csv" },
    settings: { format_details: { skip_head: 1 }, output_columns: columns },
  });
  zoo.reset();
  const table = await sluice.api.post<Import>("/v1/imports", {
    ...{ job: "airports", transform: "icao", delivery: "partition" },
    source: sourceOf("s3://airports/csv/airports.csv", good),
    settings: { max_rows_per_partition: 500 },
  });
  const done = await ended(table.id);
  expect(done).toMatchObject({ status: "done", rows: { delivered: airports.length } });
  await finishedBatch(sluice, done.batch_id);
  const sent = rowsSent<{ id: number; icao: string | null }>();
  expect(sent.map((row) => row.id).sort((a, b) => a - b)).toEqual(airports.map((a) => a.id).sort((a, b) => a - b));

  // Neither in what was printed or logged, nor in anything that is kept.
  expect(sluice.output()).not.toContain(swift.keys.secret_access_key);
  const kept = await readdir(sluice.stateDir, { recursive: true, withFileTypes: true });
  const files = kept.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  expect(files.some((file) => file.endsWith(".log"))).toBe(true);
  for (const file of files) expect((await readFile(file)).includes(swift.keys.secret_access_key), file).toBe(false);
});
