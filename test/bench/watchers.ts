import { Agent, get } from "node:http";
import { finishedBatch, type Sluice } from "../e2e/harness.ts";
import { type BenchContext, type Benchmark, itemLines, newJob } from "./context.ts";
import { type Figure, figure, target } from "./figure.ts";

const WATCHERS = 500;
const COUNT = 6_000;
const CONCURRENCY = 50;
const CALL_MS = 20;

interface Round {
  runsPerSec: number;
  /** When the last watcher had seen the end, after the batch finished. */
  lateMs: number;
}

/** Reads a stream to its end; resolves with when that came. What it says is looked at only there. */
function watchToEnd(url: string, key: string, agent: Agent): { open: Promise<void>; end: Promise<number> } {
  const { promise: open, resolve: opened, reject: failed } = Promise.withResolvers<void>();
  const { promise: end, resolve: ended, reject: broken } = Promise.withResolvers<number>();
  const fail = (error: Error) => {
    failed(error);
    broken(error);
  };
  const request = get(url, { agent, headers: { authorization: `Bearer ${key}` } }, (response) => {
    let last = Buffer.alloc(0);
    response.on("data", (chunk: Buffer) => {
      last = chunk;
      opened();
    });
    response.on("error", fail);
    response.on("end", () => {
      if (last.includes('"status":"succeeded"')) ended(Date.now());
      else fail(new Error(`a stream ended with ${last.subarray(-200)}`));
    });
  });
  request.on("error", fail);
  return { open, end };
}

async function round({ target: aim, divisor }: BenchContext, sluice: Sluice, watchers: number): Promise<Round> {
  const count = Math.ceil(COUNT / divisor);
  const slug = await newJob(sluice, { max_concurrency: CONCURRENCY, endpoint_url: `${aim.url}/ok?ms=${CALL_MS}` });
  await sluice.api.post(`/v1/jobs/${slug}/pause`, {});
  const accepted = await sluice.api.send<{ batch_id: string }>(
    ...([`/v1/jobs/${slug}/trigger-bulk`, itemLines(count), "application/x-ndjson"] as const),
  );
  const agent = new Agent({ maxSockets: watchers });
  const url = `${sluice.url}/v1/batch-operations/${accepted.batch_id}/events`;
  const streams = Array.from({ length: watchers }, () => watchToEnd(url, sluice.apiKey, agent));
  await Promise.all(streams.map((stream) => stream.open));
  const startedAt = Date.now();
  await sluice.api.post(`/v1/jobs/${slug}/resume`, {});
  const ends = await Promise.all(streams.map((stream) => stream.end));
  const batch = await finishedBatch(sluice, accepted.batch_id);
  const finishedAt = Date.parse(batch.finished_at ?? "");
  agent.destroy();
  return { runsPerSec: (count * 1000) / (finishedAt - startedAt), lateMs: Math.max(0, ...ends) - finishedAt };
}

/** A batch with five hundred watchers, against one with none. */
export const watching: Benchmark = {
  names: ["watchers"],
  run: (context) =>
    context.withSluice({}, async (sluice) => {
      await round(context, sluice, 1);
      const alone: Round[] = [];
      const watched: Round[] = [];
      for (let i = 0; i < context.rounds; i++) {
        context.note(`watchers round ${i + 1} of ${context.rounds}`);
        alone.push(await round(context, sluice, 0));
        watched.push(await round(context, sluice, WATCHERS));
      }
      const rates = (rounds: Round[]) => rounds.map((r) => r.runsPerSec);
      const figures: Figure[] = [
        figure("watchers", `a batch that ${WATCHERS} watch`, "runs/s", rates(watched), {
          ceilings: rates(alone),
          judge: (value, unwatched) => target("≥ 0.9 of an unwatched one", value >= 0.9 * unwatched),
        }),
        figure(
          ...(["watchers", "the last one sees the end after", "ms"] as const),
          watched.map((r) => r.lateMs),
          { judge: (value) => target("≤ 1,000", value <= 1_000) },
        ),
      ];
      return figures;
    }),
};
