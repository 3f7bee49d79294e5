import { setTimeout as sleep } from "node:timers/promises";
import { type Sluice, until } from "../e2e/harness.ts";
import { type BenchContext, type Benchmark, itemLines, newJob } from "./context.ts";
import { type Figure, figure, quantile, target } from "./figure.ts";

const TRIGGERS = 300;
const LOAD_ITEMS = 60_000;
const now = () => performance.timeOrigin + performance.now();

export interface Latencies {
  p50: number;
  p99: number;
}

/** Fires items one after the other; each waits until its call has arrived. Milliseconds from the trigger to the arrival. */
export async function fire(
  context: BenchContext,
  count: number,
  send: (n: number) => Promise<unknown>,
): Promise<Latencies> {
  await context.target.reset();
  const sentAt: number[] = [];
  for (let n = 0; n < count; n++) {
    sentAt.push(now());
    await send(n);
    await until(async () => (await context.target.brief()).calls > n);
    await sleep(5);
  }
  const { arrivals } = await context.target.stats();
  const latencies = arrivals.map(([n, at]) => at - (sentAt[n] ?? Number.NaN));
  return { p50: quantile(latencies, 0.5), p99: quantile(latencies, 0.99) };
}

/** The same while the load's calls also arrive: items of the probe are told by their number. */
const PROBE_FROM = 10_000_000;

async function fireUnderLoad(
  context: BenchContext,
  count: number,
  send: (n: number) => Promise<unknown>,
): Promise<Latencies> {
  const sentAt = new Map<number, number>();
  for (let i = 0; i < count; i++) {
    const n = PROBE_FROM + i;
    sentAt.set(n, now());
    await send(n);
    await sleep(15);
  }
  await sleep(500);
  const { arrivals } = await context.target.stats();
  const latencies = arrivals.flatMap(([n, at]) => (sentAt.has(n) ? [at - (sentAt.get(n) ?? 0)] : []));
  if (latencies.length !== count) throw new Error(`${latencies.length} of ${count} calls arrived under load`);
  return { p50: quantile(latencies, 0.5), p99: quantile(latencies, 0.99) };
}

const trigger = (sluice: Sluice, slug: string) => (n: number) =>
  sluice.api.post(`/v1/jobs/${slug}/trigger`, { payload: { n } });

async function idle(context: BenchContext, sluice: Sluice): Promise<Figure[]> {
  const count = Math.ceil(TRIGGERS / context.divisor);
  const aim = `${context.target.url}/ok`;
  const slug = await newJob(sluice, { endpoint_url: aim });
  const bareSend = (n: number) =>
    fetch(`${context.ceiling.url}/run?${new URLSearchParams({ count: "1", url: aim, first: String(n) })}`, {
      method: "POST",
    }).then((response) => response.arrayBuffer());
  await fire(context, 20, trigger(sluice, slug));
  await fire(context, 20, bareSend);
  const ours: Latencies[] = [];
  const bare: Latencies[] = [];
  for (let i = 0; i < context.rounds; i++) {
    context.note(`W2 idle round ${i + 1} of ${context.rounds}`);
    bare.push(await fire(context, count, bareSend));
    ours.push(await fire(context, count, trigger(sluice, slug)));
  }
  return [
    figure(
      "W2",
      "trigger to call, idle, p50",
      "ms",
      ours.map((l) => l.p50),
      {
        ceilings: bare.map((l) => l.p50),
        judge: (value) => target("≤ 5", value <= 5),
      },
    ),
    figure(
      "W2",
      "trigger to call, idle, p99",
      "ms",
      ours.map((l) => l.p99),
      {
        ceilings: bare.map((l) => l.p99),
        judge: (value) => target("≤ 15", value <= 15),
      },
    ),
  ];
}

async function loaded(context: BenchContext, sluice: Sluice): Promise<Figure[]> {
  const probe = await newJob(sluice, { endpoint_url: `${context.target.url}/ok` });
  const busy = await newJob(sluice, { endpoint_url: `${context.target.url}/ok`, max_concurrency: 50 });
  await context.target.reset();
  context.note("W2 under load");
  const count = Math.ceil(TRIGGERS / context.divisor);
  await sluice.api.send(`/v1/jobs/${busy}/trigger-bulk`, itemLines(LOAD_ITEMS), "application/x-ndjson");
  const seen = await fireUnderLoad(context, count, trigger(sluice, probe));
  const { calls } = await context.target.brief();
  if (calls >= LOAD_ITEMS + count)
    context.note("W2 under load: the load ended before the probe; its figures are too good");
  return [
    figure("W2", "trigger to call, another job at full speed, p50", "ms", [seen.p50]),
    figure("W2", "trigger to call, another job at full speed, p99", "ms", [seen.p99]),
  ];
}

/** W2: from the trigger to the call's arrival. */
export const latency: Benchmark = {
  names: ["W2"],
  run: (context) =>
    context.withSluice({}, async (sluice) => [...(await idle(context, sluice)), ...(await loaded(context, sluice))]),
};
