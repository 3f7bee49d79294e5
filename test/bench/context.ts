import { type Sluice, startSluice } from "../e2e/harness.ts";
import type { Ceiling } from "./ceiling.ts";
import type { Figure } from "./figure.ts";
import type { Target } from "./target.ts";

/** What every benchmark gets. */
export interface BenchContext {
  target: Target;
  ceiling: Ceiling;
  rounds: number;
  /** Counts and durations are divided by this: 1, or 10 with `--quick`. */
  divisor: number;
  /** Starts a Sluice on a fresh state, hands it to `use`, and ends it. */
  withSluice<T>(env: Record<string, string>, use: (sluice: Sluice) => Promise<T>): Promise<T>;
  /** Says on standard error what goes on. */
  note(text: string): void;
}

export interface Benchmark {
  /** The names that `--only` knows it by. */
  names: string[];
  run(context: BenchContext, only: (name: string) => boolean): Promise<Figure[]>;
}

export async function withSluice<T>(env: Record<string, string>, use: (sluice: Sluice) => Promise<T>): Promise<T> {
  const sluice = await startSluice({ env });
  try {
    return await use(sluice);
  } finally {
    await sluice.signalGroup("SIGKILL");
  }
}

/** The counters that a Worker in development shows; null where it shows none. */
export interface Counters {
  ledger_rows_written: number;
  d1_rows_written: number;
  tickets_sent: number;
  coordinator_calls: number;
  runs_finished: number;
}

export async function readCounters(sluice: Sluice): Promise<Counters | null> {
  const response = await fetch(`${sluice.url}/__dev/counters`, {
    headers: { authorization: `Bearer ${sluice.apiKey}` },
  });
  if (!response.ok) {
    await response.arrayBuffer();
    return null;
  }
  return (await response.json()) as Counters;
}

export const runtimePids = (sluice: Sluice): number[] =>
  sluice
    .processes()
    .filter(({ command }) => command.includes("workerd serve"))
    .map(({ pid }) => pid);

let made = 0;

/** Creates a job with a slug of its own. */
export async function newJob(sluice: Sluice, fields: Record<string, unknown>): Promise<string> {
  const slug = `bench-${++made}`;
  await sluice.api.post("/v1/jobs", {
    name: slug,
    slug,
    max_attempts: 3,
    retry_jitter: 0,
    timeout_secs: 30,
    ...fields,
  });
  return slug;
}

/** NDJSON of `count` items `{"n":0}`; with keys, also as the items' concurrency keys. */
export function itemLines(count: number, keys = 0): string {
  const lines: string[] = [];
  for (let n = 0; n < count; n++) {
    const key = keys > 0 ? `k${n % keys}` : null;
    lines.push(
      key === null ? `{"payload":{"n":${n}}}\n` : `{"payload":{"n":${n},"key":"${key}"},"concurrency_key":"${key}"}\n`,
    );
  }
  return lines.join("");
}
