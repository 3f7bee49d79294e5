import { observe } from "../domain/histogram.ts";
import { DURATION_BOUNDS, WAIT_BOUNDS } from "../domain/job-stats.ts";
import type { TerminalStatus } from "../domain/run.ts";
import type { StatsRow } from "../store/projection.ts";
import type { Lane } from "./lane.ts";
import type { LedgerRun } from "./ledger.ts";

/** The copy of a job's numbers may be so old: one row then costs nothing beside the runs'. */
const STATS_AFTER_MS = 10_000;

export function countStart(lane: Lane): void {
  lane.state.stats.started += 1;
}

/** The run's first call began. Before its time it did not wait. */
export function countWait(lane: Lane, run: LedgerRun, startedAt: number): void {
  const from = Math.max(run.at, run.doc.scheduled ?? 0);
  observe(lane.state.stats.wait, WAIT_BOUNDS, Math.max(0, startedAt - from) / 1000);
}

export function countAttempt(lane: Lane, startedAt: number | null, finishedAt: number): void {
  if (startedAt !== null)
    observe(lane.state.stats.duration, DURATION_BOUNDS, Math.max(0, finishedAt - startedAt) / 1000);
}

export function countEnd(lane: Lane, status: TerminalStatus): void {
  lane.state.stats.finished[status] += 1;
}

/** Tells one state of the numbers from another. */
function mark(lane: Lane): string {
  const { counts, stats } = lane.state;
  const ends = Object.values(stats.finished).reduce((sum, n) => sum + n, 0);
  return [...Object.values(counts), stats.started, ends].join();
}

/** When D1 is to be told of the numbers; null: it knows them. */
export function statsDueAt(lane: Lane): number | null {
  return mark(lane) === lane.state.statsTold.mark ? null : lane.state.statsTold.at + STATS_AFTER_MS;
}

/** The row for D1, where it is due, with what `statsTold` says once it has arrived. */
export function gatherStats(lane: Lane, now: number): { row: StatsRow; told: StatsTold } | null {
  const due = statsDueAt(lane);
  if (due === null || due > now) return null;
  const { counts, stats, ver } = lane.state;
  const waiting = counts.delayed + counts.queued;
  const executing = counts.dequeued + counts.executing;
  return { row: { at: now, ver, waiting, executing, doc: JSON.stringify(stats) }, told: { at: now, mark: mark(lane) } };
}

export interface StatsTold {
  at: number;
  mark: string;
}
