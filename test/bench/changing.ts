import { type Sluice, until } from "../e2e/harness.ts";
import { type BenchContext, type Benchmark, itemLines, newJob } from "./context.ts";
import { figure, quantile, target } from "./figure.ts";
import { restOf } from "./growth.ts";
import { CONCURRENCY } from "./workloads.ts";

const WAITING = [1_000, 300_000];
const PART = 100_000;
const CHANGES = 40;
const LINES = 50;

/** What the limit is raised by: the job's own rate, or a named limit that every line waits for. */
const RATES = {
  "the job's rate": (max: number) => ({ rate_limit_max: max, rate_limit_window_secs: 86_400 }),
  "a named limit": (max: number) => ({ rate_limit_keys: [{ name: "vendor", max, window_secs: 86_400 }] }),
};
type Rate = keyof typeof RATES;

async function patch(sluice: Sluice, slug: string, fields: object): Promise<void> {
  const response = await fetch(`${sluice.url}/v1/jobs/${slug}`, {
    method: "PATCH",
    headers: { authorization: `Bearer ${sluice.apiKey}`, "content-type": "application/json" },
    body: JSON.stringify(fields),
  });
  if (!response.ok) throw new Error(`PATCH answered ${response.status}: ${await response.text()}`);
  await response.arrayBuffer();
}

/** A job of which so many runs wait behind a full rate. */
async function backlog(context: BenchContext, sluice: Sluice, rate: Rate, waiting: number): Promise<string> {
  const endpoint_url = `${context.target.url}/ok`;
  const slug = await newJob(sluice, { endpoint_url, max_concurrency: CONCURRENCY, ...RATES[rate](1) });
  const before = (await context.target.brief()).calls;
  for (let sent = 0; sent < waiting; sent += PART) {
    const lines = itemLines(Math.min(PART, waiting - sent), LINES);
    await sluice.api.send(`/v1/jobs/${slug}/trigger-bulk`, lines, "application/x-ndjson");
  }
  await restOf(sluice, slug);
  await until(async () => (await context.target.brief()).calls > before);
  return slug;
}

/** Raises the rate by one, again and again. Milliseconds from each change to the call that it lets go. */
async function raise(context: BenchContext, sluice: Sluice, slug: string, rate: Rate, from: number): Promise<number[]> {
  await context.target.reset();
  const changedAt: number[] = [];
  const count = Math.ceil(CHANGES / context.divisor);
  for (let i = 0; i < count; i++) {
    changedAt.push(performance.timeOrigin + performance.now());
    await patch(sluice, slug, RATES[rate](from + i));
    await until(async () => (await context.target.brief()).calls > i);
  }
  const { arrivals } = await context.target.stats();
  if (arrivals.length !== count) throw new Error(`${arrivals.length} calls after ${count} raises by one`);
  return arrivals.map(([, at], i) => at - (changedAt[i] ?? Number.NaN));
}

/** From a change of a full limit to the call that it lets go, with few and with many waiting, by turns. */
export const changing: Benchmark = {
  names: ["change"],
  run: (context) =>
    context.withSluice({}, async (sluice) => {
      const figures = [];
      for (const rate of Object.keys(RATES) as Rate[]) {
        const slugs = new Map<number, string>();
        const seen = new Map(WAITING.map((waiting) => [waiting, [] as number[]]));
        for (const waiting of WAITING) {
          slugs.set(
            waiting,
            await backlog(context, sluice, rate, Math.max(1_000, Math.ceil(waiting / context.divisor))),
          );
        }
        for (let i = 0; i <= context.rounds; i++) {
          context.note(`change of ${rate}: ${i === 0 ? "warming up" : `round ${i} of ${context.rounds}`}`);
          for (const [waiting, slug] of slugs) {
            const took = await raise(context, sluice, slug, rate, 2 + i * Math.ceil(CHANGES / context.divisor));
            if (i > 0) seen.get(waiting)?.push(quantile(took, 0.5));
          }
        }
        const few = seen.get(WAITING[0] ?? 0) ?? [];
        for (const [waiting, rounds] of seen) {
          figures.push(
            figure("change", `${rate} raised, ${waiting.toLocaleString("en")} waiting, p50 to the call`, "ms", rounds, {
              ceilings: few,
              judge: waiting === WAITING.at(-1) ? (v, c) => target("≤ 1.5 × with 1,000", v <= 1.5 * c) : undefined,
            }),
          );
        }
      }
      return figures;
    }),
};
