import { SlidingWindow } from "../../src/domain/rate-window.ts";
import { type Sluice, until } from "../e2e/harness.ts";
import { type BenchContext, type Benchmark, newJob } from "./context.ts";
import { type Figure, figure, quantile, target } from "./figure.ts";
import { restOf } from "./growth.ts";
import { fire, type Latencies } from "./latency.ts";
import { CONCURRENCY } from "./workloads.ts";

const WAITING = 200_000;
const PART = 100_000;
const TRIGGERS = 300;
/** Calls whose rate is measured. */
const SAMPLE = 3_000;

const keyed = (count: number, key: (n: number) => string): string =>
  Array.from({ length: count }, (_, n) => {
    const name = key(n);
    return `{"payload":{"n":${n},"key":"${name}"},"concurrency_key":"${name}"}\n`;
  }).join("");

const send = (sluice: Sluice, slug: string, lines: string) =>
  sluice.api.send(`/v1/jobs/${slug}/trigger-bulk`, lines, "application/x-ndjson");

const newKeyed = (context: BenchContext, sluice: Sluice) =>
  newJob(sluice, {
    endpoint_url: `${context.target.url}/ok?hang=full`,
    ...{ max_concurrency: CONCURRENCY, max_concurrency_per_key: 1, timeout_secs: 780 },
  });

/** From the trigger of a run of another key to its call, on an idle job and behind a full key's backlog, by turns. */
export const fullKey: Benchmark = {
  names: ["full-key"],
  run: (context) =>
    context.withSluice({}, async (sluice) => {
      const waiting = Math.ceil(WAITING / context.divisor);
      const [idle, busy] = [await newKeyed(context, sluice), await newKeyed(context, sluice)];
      for (let sent = 0; sent < waiting; sent += PART) {
        await send(
          sluice,
          busy,
          keyed(Math.min(PART, waiting - sent), () => "full"),
        );
      }
      await restOf(sluice, busy);
      await until(async () => (await context.target.brief()).calls >= 1);
      const count = Math.ceil(TRIGGERS / context.divisor);
      const trigger = (slug: string) => (n: number) =>
        sluice.api.post(`/v1/jobs/${slug}/trigger`, { payload: { n }, concurrency_key: `k${n % 50}` });
      const seen = { idle: [] as Latencies[], busy: [] as Latencies[] };
      for (const slug of [idle, busy]) await fire(context, 20, trigger(slug));
      for (let i = 0; i < context.rounds; i++) {
        context.note(`full-key round ${i + 1} of ${context.rounds}`);
        seen.idle.push(await fire(context, count, trigger(idle)));
        seen.busy.push(await fire(context, count, trigger(busy)));
      }
      const what = `trigger to call, ${waiting.toLocaleString("en")} behind a full key`;
      return (["p50", "p99"] as const).map((q) =>
        figure(
          "full-key",
          `${what}, ${q}`,
          "ms",
          seen.busy.map((l) => l[q]),
          {
            ceilings: seen.idle.map((l) => l[q]),
            judge: q === "p99" ? (v, c) => target("≤ 2 × an idle job", v <= 2 * c) : undefined,
          },
        ),
      );
    }),
};

/** Every limit that a job can have, none of which is ever reached. */
const ALL_LIMITS = {
  max_concurrency_per_key: 1_000,
  ...{ rate_limit_max: 1_000_000, rate_limit_window_secs: 10 },
  rate_limit_keys: ["vendor", "region", "tenant"].map((name) => ({ name, max: 1_000_000, window_secs: 10 })),
  execution_window_cron: "* * * * *",
  hold_on_retry_after: true,
  adaptive_concurrency: { min: CONCURRENCY, max: 1_000 },
  circuit_breaker: { failures: 1_000, window_secs: 60, open_secs: 1 },
};

/** Calls a second over the first `sample` calls after the job is let go. */
async function dispatchRate(context: BenchContext, sluice: Sluice, fields: object, sample: number): Promise<number> {
  const endpoint_url = `${context.target.url}/ok`;
  const slug = await newJob(sluice, { endpoint_url, max_concurrency: CONCURRENCY, ...fields });
  await sluice.api.post(`/v1/jobs/${slug}/pause`);
  await send(
    sluice,
    `${slug}`,
    keyed(2 * sample, (n) => `k${n % 50}`),
  );
  await restOf(sluice, slug);
  await context.target.reset();
  await sluice.api.post(`/v1/jobs/${slug}/resume`);
  await until(async () => (await context.target.brief()).calls >= sample);
  const { arrivals } = await context.target.stats();
  await sluice.api.post(`/v1/jobs/${slug}/pause`);
  await until(async () => (await context.target.brief()).in_flight === 0);
  return ((sample - 1) * 1000) / ((arrivals[sample - 1]?.[1] ?? Number.NaN) - (arrivals[0]?.[1] ?? Number.NaN));
}

/** The same keyed items, dispatched by a job with all limits set and by one with none but its permits. */
export const allLimits: Benchmark = {
  names: ["all-limits"],
  run: (context) =>
    context.withSluice({}, async (sluice) => {
      const sample = Math.ceil(SAMPLE / context.divisor);
      const rates = { none: [] as number[], all: [] as number[] };
      for (const fields of [{}, ALL_LIMITS]) await dispatchRate(context, sluice, fields, sample);
      for (let i = 0; i < context.rounds; i++) {
        context.note(`all-limits round ${i + 1} of ${context.rounds}`);
        rates.none.push(await dispatchRate(context, sluice, {}, sample));
        rates.all.push(await dispatchRate(context, sluice, ALL_LIMITS, sample));
      }
      return [
        figure("all-limits", "dispatch, all limits set", "calls/s", rates.all, {
          ceilings: rates.none,
          judge: (v, c) => target("≥ 0.8 of no limits", v >= 0.8 * c),
        }),
      ];
    }),
};

const WINDOW_STARTS = [100, 10_000, 100_000];
const MEASURED_STARTS = 100_000;
const STEP_MS = 3;

/** Nanoseconds of the CPU a start in a full window that holds `max`, and its state as the ledger would keep it. */
function windowCost(max: number): { ns: number; bytes: number } {
  const window = new SlidingWindow();
  const windowMs = max * STEP_MS;
  let now = 1_000_000;
  const start = (): void => {
    now = Math.max(now + STEP_MS, window.roomAt(now + STEP_MS, windowMs, max));
    window.settle(window.add(now + 1_000), now + 1);
  };
  for (let i = 0; i < max; i++) start();
  const before = process.cpuUsage();
  for (let i = 0; i < MEASURED_STARTS; i++) start();
  const { user, system } = process.cpuUsage(before);
  const ns = ((user + system) * 1_000) / MEASURED_STARTS;
  return { ns, bytes: JSON.stringify(window.snapshot()).length };
}

/** What a start costs in sliding windows of ever more starts. */
export const slidingWindow: Benchmark = {
  names: ["window"],
  run: async (context) => {
    const seen = new Map<number, { ns: number; bytes: number }[]>();
    windowCost(1_000);
    for (let i = 0; i < context.rounds; i++) {
      for (const max of WINDOW_STARTS) seen.set(max, [...(seen.get(max) ?? []), windowCost(max)]);
    }
    const few = (seen.get(WINDOW_STARTS[0] ?? 0) ?? []).map(({ ns }) => ns);
    return [...seen].flatMap(([max, rounds]): Figure[] => [
      figure(
        "window",
        `a start in a window of ${max.toLocaleString("en")}`,
        "ns",
        rounds.map(({ ns }) => ns),
        {
          ceilings: few,
          judge: max === WINDOW_STARTS.at(-1) ? (v, c) => target("≤ that of 100, +10 %", v <= 1.1 * c) : undefined,
        },
      ),
      figure("window", "its state", "bytes a start", [
        quantile(
          rounds.map(({ bytes }) => bytes / max),
          0.5,
        ),
      ]),
    ]);
  },
};
