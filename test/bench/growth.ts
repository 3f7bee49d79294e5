import { type Sluice, until } from "../e2e/harness.ts";
import { type BenchContext, type Benchmark, itemLines, newJob } from "./context.ts";
import { figure, target } from "./figure.ts";
import { CONCURRENCY } from "./workloads.ts";

const WAITING = [1_000, 30_000, 300_000];
/** Calls whose rate is measured, the same however many wait. */
const SAMPLE = 1_000;
const PART = 100_000;

/** Calls a second over the first `SAMPLE` calls after the job is let go with `waiting` runs behind it. */
async function dispatchRate(context: BenchContext, sluice: Sluice, waiting: number): Promise<number> {
  const slug = await newJob(sluice, { endpoint_url: `${context.target.url}/ok`, max_concurrency: CONCURRENCY });
  await sluice.api.post(`/v1/jobs/${slug}/pause`);
  for (let sent = 0; sent < waiting; sent += PART) {
    const lines = itemLines(Math.min(PART, waiting - sent));
    await sluice.api.send(`/v1/jobs/${slug}/trigger-bulk`, lines, "application/x-ndjson");
  }
  await restOf(sluice, slug);
  await context.target.reset();
  await sluice.api.post(`/v1/jobs/${slug}/resume`);
  await until(async () => (await context.target.brief()).calls >= SAMPLE);
  await sluice.api.post(`/v1/jobs/${slug}/pause`);
  const { arrivals } = await context.target.stats();
  const first = arrivals[0]?.[1] ?? Number.NaN;
  const last = arrivals[SAMPLE - 1]?.[1] ?? Number.NaN;
  return ((SAMPLE - 1) * 1000) / (last - first);
}

/** What was accepted is still being written behind: a rate beside that would measure both. */
export async function restOf(sluice: Sluice, slug: string): Promise<void> {
  const accepted = Date.now();
  const path = `/v1/jobs/${slug}/runs?limit=1`;
  await until(async () => Date.parse((await sluice.api.get<{ as_of: string }>(path)).as_of) >= accepted);
}

/** The dispatch rate with 1,000, 30,000 and 300,000 runs waiting. */
export const growth: Benchmark = {
  names: ["growth"],
  run: async (context) => {
    const rates = new Map<number, number[]>();
    await context.withSluice({}, async (sluice) => {
      await dispatchRate(context, sluice, SAMPLE);
      for (let i = 0; i < context.rounds; i++) {
        for (const full of WAITING) {
          const waiting = Math.max(SAMPLE, Math.ceil(full / context.divisor));
          context.note(`growth: ${waiting} waiting, round ${i + 1} of ${context.rounds}`);
          rates.set(full, [...(rates.get(full) ?? []), await dispatchRate(context, sluice, waiting)]);
        }
      }
    });
    const few = rates.get(WAITING[0] ?? 0) ?? [];
    return [...rates].map(([waiting, rounds]) =>
      figure("growth", `${waiting.toLocaleString("en")} waiting`, "calls/s", rounds, {
        ceilings: few,
        judge: waiting === WAITING.at(-1) ? (v, c) => target("≥ 0.8 of 1,000 waiting", v >= 0.8 * c) : undefined,
      }),
    );
  },
};
