import { isTerminal, RUN_STATUSES, type RunStatus } from "./run.ts";

/** One run of the time that a job's health looks back on. Times are Unix milliseconds. */
export interface RecentRun {
  status: RunStatus;
  started_at: number | null;
  finished_at: number | null;
}

export interface RecentHealth {
  by_status: Record<RunStatus, number>;
  /** Completed ones among the terminal, 0..1; null where none is terminal. */
  success_rate: number | null;
  /** From the first attempt's start to the end. Null where no run has ended after a start. */
  duration_ms: { p50: number | null; p95: number | null; p99: number | null };
}

export function recentHealth(runs: readonly RecentRun[]): RecentHealth {
  const byStatus = Object.fromEntries(RUN_STATUSES.map((status) => [status, 0])) as Record<RunStatus, number>;
  const durations: number[] = [];
  let terminal = 0;
  for (const run of runs) {
    byStatus[run.status]++;
    if (!isTerminal(run.status)) continue;
    terminal++;
    if (run.started_at !== null && run.finished_at !== null) durations.push(run.finished_at - run.started_at);
  }
  durations.sort((a, b) => a - b);
  return {
    by_status: byStatus,
    success_rate: terminal === 0 ? null : byStatus.completed / terminal,
    duration_ms: { p50: percentile(durations, 50), p95: percentile(durations, 95), p99: percentile(durations, 99) },
  };
}

/** The nearest rank: the smallest value that so many per cent do not exceed. */
const percentile = (sorted: readonly number[], percent: number): number | null =>
  sorted[Math.ceil((percent / 100) * sorted.length) - 1] ?? null;
