import { createInterface } from "node:readline/promises";
import { Readable } from "node:stream";
import type { Sluice } from "../e2e/harness.ts";
import { type BenchContext, type Benchmark, newJob } from "./context.ts";
import { type Figure, figure, target } from "./figure.ts";
import { restOf } from "./growth.ts";

const COUNT = 300_000;
/** Runs that end before a threshold stops the others. */
const TOLERATED = 20;

interface Batch {
  status: string;
  created_count: number;
  failed_count: number;
  finished_at: string | null;
  counts: Record<string, number>;
}

/** What somebody who steers a large batch waits for, in milliseconds. */
interface Steps {
  /** The slowest answer while the batch was swept, by a client that asks without pause. */
  slowestMs: number;
  /** Until the batch was as it had been asked to be. */
  doneMs: number;
  /** Different counts that were seen on the way. */
  seen: number;
}

const elapsed = async (work: () => Promise<unknown>): Promise<number> => {
  const from = performance.now();
  await work();
  return performance.now() - from;
};

const path = (id: string) => `/v1/batch-operations/${id}`;

/** Asks for the batch again and again until it is as it should be. */
async function follow(sluice: Sluice, id: string, isDone: (batch: Batch) => boolean): Promise<Steps> {
  const from = performance.now();
  const seen = new Set<string>();
  let slowestMs = 0;
  for (;;) {
    let batch: Batch | undefined;
    slowestMs = Math.max(
      slowestMs,
      await elapsed(async () => {
        batch = await sluice.api.get<Batch>(path(id));
      }),
    );
    if (batch === undefined) throw new Error("no batch");
    seen.add(JSON.stringify(batch.counts));
    if (isDone(batch)) return { slowestMs, doneMs: performance.now() - from, seen: seen.size };
  }
}

const isOver = (batch: Batch): boolean => batch.finished_at !== null;

async function fill(sluice: Sluice, slug: string, count: number, item: object, options = ""): Promise<string> {
  const line = `${JSON.stringify({ payload: {}, ...item })}\n`;
  const bulk = `/v1/jobs/${slug}/trigger-bulk${options}`;
  return (await sluice.api.send<{ batch_id: string }>(bulk, line.repeat(count), "application/x-ndjson")).batch_id;
}

/** Reads all results; how long that took. */
async function readResults(sluice: Sluice, id: string, count: number): Promise<number> {
  const from = performance.now();
  const response = await fetch(`${sluice.url}${path(id)}/results`, {
    headers: { authorization: `Bearer ${sluice.apiKey}` },
  });
  if (!response.body) throw new Error("results without a body");
  let next = 0;
  for await (const line of createInterface({ input: Readable.fromWeb(response.body as never) })) {
    const { index } = JSON.parse(line) as { index: number };
    if (index !== next) throw new Error(`result ${index} came where ${next} was due`);
    next += 1;
  }
  if (next !== count) throw new Error(`${next} of ${count} results`);
  return performance.now() - from;
}

async function steer(context: BenchContext, sluice: Sluice, count: number): Promise<Figure[]> {
  const { url } = context.target;
  const post = (id: string, verb: string) => elapsed(() => sluice.api.post(`${path(id)}/${verb}`));
  const answers = (what: string, ms: number) =>
    figure("steering", `${what} is answered after`, "ms", [ms], { judge: (v) => target("≤ 1,000", v <= 1_000) });
  const swept = (what: string, { slowestMs, doneMs, seen }: Steps) => [
    figure("steering", `${what}: done after`, "ms", [doneMs]),
    figure("steering", `${what}: states seen on the way`, "", [seen]),
    figure("steering", `${what}: slowest answer meanwhile`, "ms", [slowestMs], {
      judge: (v) => target("≤ 1,000", v <= 1_000),
    }),
  ];

  const slug = await newJob(sluice, { endpoint_url: `${url}/ok?ms=20`, max_concurrency: 20 });
  const long = await fill(sluice, slug, count, {});
  const figures = [
    answers("pause", await post(long, "pause")),
    answers("resume", await post(long, "resume")),
    answers("cancel", await post(long, "cancel")),
    ...swept("cancel", await follow(sluice, long, isOver)),
  ];

  const failing = await newJob(sluice, { endpoint_url: `${url}/ok`, success_statuses: [201], max_concurrency: 20 });
  await sluice.api.post(`/v1/jobs/${failing}/pause`);
  const options = `?failure_threshold=${encodeURIComponent(`{"percent":50,"min_items":${TOLERATED}}`)}`;
  const stopped = await fill(sluice, failing, count, {}, options);
  await sluice.api.post(`/v1/jobs/${failing}/resume`);
  figures.push(...swept("failure_threshold", await follow(sluice, stopped, isOver)));

  const idle = await newJob(sluice, { endpoint_url: `${url}/ok`, max_concurrency: 20 });
  await sluice.api.post(`/v1/jobs/${idle}/pause`);
  const expired = await fill(sluice, idle, count, { ttl_secs: 1 });
  figures.push(...swept("expiry", await follow(sluice, expired, isOver)));
  // The runs that failed are read from the copy: until it has them, the answer is 503.
  await restOf(sluice, idle);
  let retry = "";
  const retried = await elapsed(async () => {
    const body = await sluice.api.post<{ batch_id: string }>(`${path(expired)}/retry-failed`);
    retry = body.batch_id;
  });
  figures.push(answers("retry-failed", retried));
  const all = (batch: Batch) => batch.created_count === count;
  figures.push(...swept("retry-failed", await follow(sluice, retry, all)));
  const results = await readResults(sluice, expired, count);
  figures.push(figure("steering", "results, in index order", "rows/s", [(count * 1000) / results]));
  return figures;
}

/** Steering a batch of three hundred thousand: answered at once, done in steps that hold nobody up. */
export const steering: Benchmark = {
  names: ["steering"],
  run: (context) => context.withSluice({}, (sluice) => steer(context, sluice, Math.ceil(COUNT / context.divisor))),
};
