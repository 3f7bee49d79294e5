import { coordinatorOf } from "../coordinator/client.ts";
import type { LaneHealth } from "../coordinator/protocol.ts";
import { nextFirings } from "../domain/firings.ts";
import { firstIdAt } from "../domain/id.ts";
import type { Job } from "../domain/job.ts";
import { type RecentHealth, type RecentRun, recentHealth } from "../domain/job-health.ts";
import type { Env } from "../env.ts";
import { listRecentRuns } from "../store/jobs.ts";

const DAY_MS = 24 * 60 * 60 * 1000;
/** Health looks at so many of the newest runs at most. */
export const MAX_RECENT_RUNS = 10_000;

/** The first id of the time that health looks back on. */
export const recentSince = (now: number): string => firstIdAt(now - DAY_MS);

export interface JobHealth extends LaneHealth {
  last_24h: RecentHealth;
}

/** What is going on now, from the coordinator, and how the last 24 hours went, from the copy in D1. */
export async function jobHealth(env: Env, job: Job, now: number): Promise<JobHealth> {
  const [live, recent] = await Promise.all([
    coordinatorOf(env, job.id).health(),
    listRecentRuns(env.DB, job.id, recentSince(now), MAX_RECENT_RUNS),
  ]);
  return { ...live, last_24h: recentHealth(recent as RecentRun[]) };
}

/** The next times at which the job's cron will fire, after `now`; none without a cron. All in Unix milliseconds. */
export function jobSchedule(job: Job, now: number, count: number): number[] {
  const { cron, timezone } = job.current.spec;
  return cron === null ? [] : nextFirings(cron, timezone, now, count);
}
