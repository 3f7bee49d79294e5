import { setTimeout as sleep } from "node:timers/promises";
import { finishedBatch, type Sluice, until } from "../e2e/harness.ts";
import type { Ceiling } from "./ceiling.ts";
import { type BenchContext, type Benchmark, itemLines, newJob, readCounters } from "./context.ts";
import { type Figure, figure, target } from "./figure.ts";
import type { Target } from "./target.ts";
import type { TargetStats } from "./target-server.ts";
import { CONCURRENCY, describeLoad, W1, W3, W4, W5, type Workload } from "./workloads.ts";

/** One round: from the first request to the last completion. */
export interface Round {
  ms: number;
  stats: TargetStats;
}

const now = () => performance.timeOrigin + performance.now();

export async function runSluice(sluice: Sluice, aim: Target, load: Workload, count: number): Promise<Round> {
  const slug = await newJob(sluice, { ...load.job, endpoint_url: aim.url + load.path });
  const body = itemLines(count, load.keys);
  await aim.reset();
  const startedAt = now();
  const accepted = await sluice.api.send<{ batch_id: string; created: number }>(
    `/v1/jobs/${slug}/trigger-bulk`,
    body,
    "application/x-ndjson",
  );
  if (accepted.created !== count) throw new Error(`${load.name}: ${accepted.created} of ${count} items were created`);
  const batch = await finishedBatch(sluice, accepted.batch_id);
  if (batch.status !== "succeeded") throw new Error(`${load.name}: the batch ended ${batch.status}`);
  return { ms: Date.parse(batch.finished_at ?? "") - startedAt, stats: await aim.brief() };
}

export async function runCeiling(ceiling: Ceiling, aim: Target, load: Workload, count: number): Promise<Round> {
  await aim.reset();
  const startedAt = now();
  const query = new URLSearchParams({ count: String(count), url: aim.url + load.path, keys: String(load.keys) });
  await (await fetch(`${ceiling.url}/run?${query}`, { method: "POST" })).arrayBuffer();
  const expected = load === W4 ? count + Math.ceil(count / 10) : count;
  const stats = await until(async () => {
    const seen = await aim.brief();
    return seen.calls >= expected && seen.in_flight === 0 ? seen : null;
  });
  return { ms: stats.last_ended_at - startedAt, stats };
}

const perSecond = (count: number) => (round: Round) => (count * 1000) / round.ms;

interface Rounds {
  ours: Round[];
  bare: Round[];
}

async function measure(context: BenchContext, sluice: Sluice, load: Workload, count: number): Promise<Rounds> {
  const rounds: Rounds = { ours: [], bare: [] };
  for (let i = 0; i < context.rounds; i++) {
    context.note(`${load.name} round ${i + 1} of ${context.rounds}`);
    rounds.bare.push(await runCeiling(context.ceiling, context.target, load, count));
    rounds.ours.push(await runSluice(sluice, context.target, load, count));
    await sleep(300); // What is written behind comes to rest.
  }
  return rounds;
}

function w1({ ours, bare }: Rounds, count: number): Figure[] {
  const rate = perSecond(count);
  return [
    figure("W1", describeLoad(W1, count), "runs/s", ours.map(rate), {
      ceilings: bare.map(rate),
      judge: (value, ceiling) => target("≥ 0.65 of the ceiling", value >= 0.65 * ceiling),
    }),
  ];
}

function w3({ ours, bare }: Rounds, count: number): Figure[] {
  const idealMs = (count / CONCURRENCY) * W3.callMs;
  const share = (round: Round) => idealMs / round.ms;
  return [
    figure("W3", describeLoad(W3, count), "of ideal", ours.map(share), {
      ceilings: bare.map(share),
      judge: (value) => target("≥ 0.93", value >= 0.93),
    }),
    figure(
      ...(["W3", "peak in flight", "calls"] as const),
      ours.map((round) => round.stats.peak),
      {
        judge: () =>
          target(
            "exactly 50",
            ours.every((round) => round.stats.peak === CONCURRENCY),
          ),
      },
    ),
  ];
}

function w4({ ours, bare }: Rounds, count: number): Figure[] {
  const exact = count + Math.ceil(count / 10);
  return [
    figure("W4", describeLoad(W4, count), "runs/s", ours.map(perSecond(count)), {
      ceilings: bare.map(perSecond(count)),
    }),
    figure(
      ...(["W4", "calls made", "calls"] as const),
      ours.map((round) => round.stats.calls),
      {
        judge: () =>
          target(
            `exactly ${exact}`,
            ours.every((round) => round.stats.calls === exact),
          ),
      },
    ),
  ];
}

function w5({ ours }: Rounds, count: number): Figure[] {
  return [
    figure(
      "W5",
      describeLoad(W5, count),
      "ms",
      ours.map((round) => round.ms),
      {
        judge: (value) => target("≤ 900", value <= 900),
      },
    ),
    figure(
      "W5",
      "peak of a key",
      "calls",
      ours.map((round) => round.stats.peak_of_a_key),
      {
        judge: () =>
          target(
            "exactly 1",
            ours.every((round) => round.stats.peak_of_a_key === 1),
          ),
      },
    ),
  ];
}

/** W1, W3, W4 and W5. */
export const endToEnd: Benchmark = {
  names: ["W1", "W3", "W4", "W5"],
  run: (context, only) =>
    context.withSluice({}, async (sluice) => {
      const figures: Figure[] = [];
      const chosen = (
        [
          [W1, w1],
          [W3, w3],
          [W4, w4],
          [W5, w5],
        ] as const
      ).filter(([load]) => only(load.name));
      await warmUp(context, sluice);
      for (const [load, judge] of chosen) {
        const count = Math.ceil(load.count / context.divisor);
        figures.push(...judge(await measure(context, sluice, load, count), count));
      }
      return figures;
    }),
};

/** Both sides once, uncounted: the first calls of a runtime pay for its compilers and connections. */
async function warmUp(context: BenchContext, sluice: Sluice): Promise<void> {
  await runCeiling(context.ceiling, context.target, W1, 2_000);
  await runSluice(sluice, context.target, W1, 2_000);
}

/** W1 at the pump width of production: rate, and coordinator calls per run. */
export const narrowPump: Benchmark = {
  names: ["W1-width-6"],
  run: (context) =>
    context.withSluice({ PUMP_WIDTH: "6" }, async (sluice) => {
      const count = Math.ceil(W1.count / context.divisor);
      await warmUp(context, sluice);
      const before = await readCounters(sluice);
      const { ours, bare } = await measure(context, sluice, W1, count);
      const after = await readCounters(sluice);
      const rate = perSecond(count);
      const figures = [
        figure("W1 at width 6", describeLoad(W1, count), "runs/s", ours.map(rate), { ceilings: bare.map(rate) }),
      ];
      if (before && after) {
        const runs = after.runs_finished - before.runs_finished;
        const calls = (after.coordinator_calls - before.coordinator_calls) / runs;
        figures.push(figure("W1 at width 6", "coordinator calls", "per run", [calls]));
      }
      return figures;
    }),
};
