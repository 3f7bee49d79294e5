import { execFile } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { finishedBatch, root, type Sluice, until } from "../e2e/harness.ts";
import { type BenchContext, type Benchmark, newJob, runtimePids } from "./context.ts";
import { type Figure, figure } from "./figure.ts";
import { pssMiB, watchMemory } from "./memory.ts";
import { csv, ndjsonGz, type RowsObject } from "./object-rows.ts";

/** By partition of 1,000 rows, and by row: a call for each. */
const PARTITIONED_ROWS = 1_000_000;
const SINGLE_ROWS = 50_000;

interface Import {
  id: string;
  status: string;
  batch_id: string;
  finished_at: string | null;
  errors: string[];
  files: { total: number };
  rows: { delivered: number; rejected: number };
}

const ended = (sluice: Sluice, id: string): Promise<Import> =>
  until(async () => {
    const record = await sluice.api.get<Import>(`/v1/imports/${id}`);
    return record.finished_at === null ? null : record;
  }, 100);

/** Into the bucket that `npm run dev` brings. */
async function put(sluice: Sluice, object: RowsObject): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "sluice-bench-"));
  const file = join(folder, object.name);
  await writeFile(file, object.body);
  const to = `sluice-data/${folderOf(object)}/${object.name}`;
  const place = ["--local", "--persist-to", sluice.stateDir];
  await promisify(execFile)(
    join(root, "node_modules/.bin/wrangler"),
    ["r2", "object", "put", to, "--file", file, ...place],
    { cwd: root, env: { ...process.env, CI: "true" } },
  );
  await rm(folder, { recursive: true });
}

const folderOf = ({ name, count }: RowsObject): string => `${name}-${count}`;

interface Round {
  readPerSecond: number;
  endToEndPerSecond: number;
  growthMiB: number;
}

async function load(
  context: BenchContext,
  sluice: Sluice,
  object: RowsObject,
  delivery: "row" | "partition",
): Promise<Round> {
  const endpoint = { endpoint_url: `${context.target.url}/ok`, max_concurrency: 50 };
  const job = await newJob(sluice, endpoint);
  const pids = runtimePids(sluice);
  const before = pssMiB(pids);
  const memory = watchMemory(pids);
  const startedAt = performance.now();
  const begun = await sluice.api.post<Import>("/v1/imports", {
    ...{ job, delivery, source: { url: `r2://DATA/${folderOf(object)}/` } },
    settings: { max_rows_per_partition: 1000 },
  });
  const record = await ended(sluice, begun.id);
  const readMs = performance.now() - startedAt;
  const batch = await finishedBatch(sluice, record.batch_id);
  const wholeMs = performance.now() - startedAt;
  const growthMiB = memory.stop() - before;
  if (record.status !== "done" || record.rows.delivered !== object.count || batch.status !== "succeeded") {
    throw new Error(`${JSON.stringify(record)}\n${JSON.stringify(batch)}`);
  }
  const perSecond = (ms: number): number => (object.count * 1000) / ms;
  return { readPerSecond: perSecond(readMs), endToEndPerSecond: perSecond(wholeMs), growthMiB };
}

async function form(
  context: BenchContext,
  sluice: Sluice,
  object: RowsObject,
  delivery: "row" | "partition",
): Promise<Figure[]> {
  const rounds: Round[] = [];
  for (let i = 0; i < context.rounds; i++) {
    context.note(`import ${object.name} of ${object.count} by ${delivery}, round ${i + 1} of ${context.rounds}`);
    rounds.push(await load(context, sluice, object, delivery));
  }
  const what = `${object.count.toLocaleString("en")} rows, ${object.name} by ${delivery}`;
  const of = (name: keyof Round): number[] => rounds.map((round) => round[name]);
  return [
    figure("import", `${what}: until every run has ended`, "rows/s", of("endToEndPerSecond")),
    figure("import", `${what}: until it is read and handed over`, "rows/s", of("readPerSecond")),
    // Of the whole runtime: reader, job and import, the bucket and the database, and the calls that are under way.
    figure("import", `${what}: peak of the runtime's memory above rest`, "MiB PSS", of("growthMiB")),
  ];
}

/** Rows a second from an object in R2 to the end of its batch. */
export const importing: Benchmark = {
  names: ["import"],
  run: (context) =>
    context.withSluice({}, async (sluice) => {
      const figures: Figure[] = [];
      const warm = ndjsonGz(5_000);
      await put(sluice, warm);
      await load(context, sluice, warm, "partition");
      for (const [rows, delivery] of [
        [PARTITIONED_ROWS, "partition"],
        [SINGLE_ROWS, "row"],
      ] as const) {
        for (const make of [ndjsonGz, csv]) {
          const object = make(Math.ceil(rows / context.divisor));
          await put(sluice, object);
          figures.push(...(await form(context, sluice, object, delivery)));
        }
      }
      return figures;
    }),
};

const KEYS = 100_000;
const PAGE = 1_000;
const keyOf = (n: number): string => `logs/${String(n % 31).padStart(2, "0")}/${String(n).padStart(6, "0")}.ndjson.gz`;

/** A store that has nothing but names. */
async function startListing(count: number): Promise<{ url: string; stop: () => void }> {
  const keys = Array.from({ length: count }, (_, n) => keyOf(n)).sort();
  const place = new Map(keys.map((key, i) => [key, i]));
  const server = createServer((request, response) => {
    const after = new URL(request.url ?? "/", "http://s3").searchParams.get("start-after");
    const from = after === null ? 0 : (place.get(after) ?? count) + 1;
    const contents = keys
      .slice(from, from + PAGE)
      .map((key) => `<Contents><Key>${key}</Key><ETag>"0123456789abcdef"</ETag><Size>1000</Size></Contents>`);
    response.end(
      `<ListBucketResult><IsTruncated>${from + PAGE < count}</IsTruncated>${contents.join("")}</ListBucketResult>`,
    );
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    stop: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}

/** Keys a second, listed and filtered by RE2; beside a loop that asks the same store for the same pages and keeps nothing. */
export const listing: Benchmark = {
  names: ["list"],
  run: async (context) => {
    const count = Math.ceil(KEYS / context.divisor);
    const store = await startListing(count);
    const ours: number[] = [];
    const bare: number[] = [];
    try {
      await context.withSluice({}, async (sluice) => {
        const job = await newJob(sluice, { endpoint_url: `${context.target.url}/ok` });
        for (let i = 0; i < context.rounds; i++) {
          context.note(`list round ${i + 1} of ${context.rounds}`);
          bare.push(await listBare(store.url, count));
          const startedAt = performance.now();
          const begun = await sluice.api.post<Import>("/v1/imports", {
            ...{ job, delivery: "file", regex_filter: "/07/.*[02468]\\.ndjson\\.gz$" },
            source: { url: "s3://logs/", endpoint: store.url },
            settings: { dry_run: true },
          });
          const record = await ended(sluice, begun.id);
          ours.push((count * 1000) / (performance.now() - startedAt));
          const wanted = Array.from({ length: count }, (_, n) => n).filter((n) => n % 31 === 7 && n % 2 === 0).length;
          if (record.files.total !== wanted) throw new Error(`${record.files.total} of ${wanted}: ${record.errors}`);
        }
      });
    } finally {
      store.stop();
    }
    return [figure("list", `${count.toLocaleString("en")} keys, filtered`, "keys/s", ours, { ceilings: bare })];
  },
};

async function listBare(url: string, count: number): Promise<number> {
  const startedAt = performance.now();
  for (let seen = 0, after = ""; seen < count; ) {
    const text = await (await fetch(`${url}/logs${after && `?start-after=${encodeURIComponent(after)}`}`)).text();
    const keys = [...text.matchAll(/<Key>([^<]*)/g)].map(([, key]) => key ?? "");
    seen += keys.length;
    after = keys.at(-1) ?? "";
  }
  return (count * 1000) / (performance.now() - startedAt);
}
