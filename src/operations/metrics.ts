import { DURATION_BOUNDS, WAIT_BOUNDS } from "../domain/job-stats.ts";
import { Metric } from "../domain/prometheus.ts";
import type { Env } from "../env.ts";
import { type JobStatsRow, listJobStats } from "../store/job-stats.ts";

/** Every job's numbers, from the copy in D1: no coordinator is woken. They are some ten seconds old. */
export async function metricsText(env: Env, now: number): Promise<string> {
  const rows = await listJobStats(env.DB);
  return [
    gauge("sluice_runs_waiting", "Runs that wait: queued or delayed.", rows, (row) => row.waiting),
    gauge("sluice_runs_executing", "Runs that a consumer has: dequeued or executing.", rows, (row) => row.executing),
    gauge("sluice_job_numbers_age_seconds", "How old a job's numbers are, while it has work.", rows, (row) =>
      row.isBusy ? Math.max(0, now - row.at) / 1000 : 0,
    ),
    started(rows),
    finished(rows),
    waits(rows),
    durations(rows),
  ].join("");
}

const labelsOf = ({ project, job }: JobStatsRow) => ({ project, job });

function gauge(name: string, help: string, rows: JobStatsRow[], of: (row: JobStatsRow) => number): Metric {
  const metric = new Metric(name, "gauge", help);
  for (const row of rows) metric.sample(labelsOf(row), of(row));
  return metric;
}

function started(rows: JobStatsRow[]): Metric {
  const metric = new Metric("sluice_calls_started_total", "counter", "Calls begun, retries and fallbacks included.");
  for (const row of rows) metric.sample(labelsOf(row), row.stats.started);
  return metric;
}

function finished(rows: JobStatsRow[]): Metric {
  const metric = new Metric("sluice_runs_finished_total", "counter", "Runs that ended, by the status they ended in.");
  for (const row of rows) {
    for (const [status, count] of Object.entries(row.stats.finished))
      metric.sample({ ...labelsOf(row), status }, count);
  }
  return metric;
}

function waits(rows: JobStatsRow[]): Metric {
  const metric = new Metric(
    "sluice_run_wait_seconds",
    "histogram",
    "From when a run might first go to its first call.",
  );
  for (const row of rows) metric.histogram(labelsOf(row), WAIT_BOUNDS, row.stats.wait);
  return metric;
}

function durations(rows: JobStatsRow[]): Metric {
  const metric = new Metric(
    "sluice_call_duration_seconds",
    "histogram",
    "Of each call, from its start to its outcome.",
  );
  for (const row of rows) metric.histogram(labelsOf(row), DURATION_BOUNDS, row.stats.duration);
  return metric;
}
