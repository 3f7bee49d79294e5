import type { Sluice } from "../e2e/harness.ts";
import { type BenchContext, type Benchmark, itemLines, newJob, runtimePids } from "./context.ts";
import { type Figure, figure, target } from "./figure.ts";
import { pssMiB, watchMemory } from "./memory.ts";

const JSON_ITEMS = 10_000;
const NDJSON_ITEMS = 200_000;
/** What an isolate may hold in production, in MiB. */
const ISOLATE_MIB = 128;

interface Round {
  perSecond: number;
  /** Peak above what the runtime held before, in MiB. */
  growthMiB: number;
}

async function accept(sluice: Sluice, slug: string, body: string, type: string, count: number): Promise<Round> {
  const pids = runtimePids(sluice);
  const before = pssMiB(pids);
  const memory = watchMemory(pids);
  const startedAt = performance.now();
  const answer = await sluice.api.send<{ created: number }>(`/v1/jobs/${slug}/trigger-bulk`, body, type);
  const ms = performance.now() - startedAt;
  const growthMiB = memory.stop() - before;
  if (answer.created !== count) throw new Error(`${answer.created} of ${count} items were created`);
  return { perSecond: (count * 1000) / ms, growthMiB };
}

async function enqueueBare(context: BenchContext, body: string, count: number): Promise<number> {
  const startedAt = performance.now();
  await (await fetch(`${context.ceiling.url}/enqueue`, { method: "POST", body })).arrayBuffer();
  return (count * 1000) / (performance.now() - startedAt);
}

/** A job that takes everything in and starts nothing: what is measured is the accepting alone. */
async function pausedJob(context: BenchContext, sluice: Sluice): Promise<string> {
  const slug = await newJob(sluice, { endpoint_url: `${context.target.url}/ok` });
  await sluice.api.post(`/v1/jobs/${slug}/pause`);
  return slug;
}

async function form(context: BenchContext, sluice: Sluice, name: string, full: number): Promise<Figure[]> {
  const count = Math.ceil(full / context.divisor);
  const lines = itemLines(count);
  const isJson = name === "JSON";
  const body = isJson ? `{"items":[${lines.trimEnd().replaceAll("\n", ",")}]}` : lines;
  const type = isJson ? "application/json" : "application/x-ndjson";
  const ours: Round[] = [];
  const bare: number[] = [];
  for (let i = 0; i < context.rounds; i++) {
    context.note(`accept ${name} round ${i + 1} of ${context.rounds}`);
    bare.push(await enqueueBare(context, lines, count));
    ours.push(await accept(sluice, await pausedJob(context, sluice), body, type, count));
  }
  const what = `${count.toLocaleString("en")} items, ${name}`;
  return [
    figure(
      "accept",
      what,
      "items/s",
      ours.map((round) => round.perSecond),
      {
        ceilings: bare,
        judge: (value) => target("≥ 30,000", value >= 30_000),
      },
    ),
    figure(
      "accept",
      `${what}: memory above rest`,
      "MiB PSS",
      ours.map((round) => round.growthMiB),
      {
        judge: isJson ? undefined : (value) => target(`< ${ISOLATE_MIB}`, value < ISOLATE_MIB),
      },
    ),
  ];
}

/** Items a second from the request to its 201, and the runtime's memory meanwhile. */
export const accepting: Benchmark = {
  names: ["accept"],
  run: (context) =>
    context.withSluice({}, async (sluice) => {
      await accept(sluice, await pausedJob(context, sluice), itemLines(5_000), "application/x-ndjson", 5_000);
      return [
        ...(await form(context, sluice, "JSON", JSON_ITEMS)),
        ...(await form(context, sluice, "NDJSON", NDJSON_ITEMS / 10)),
        ...(await form(context, sluice, "NDJSON", NDJSON_ITEMS)),
      ];
    }),
};
