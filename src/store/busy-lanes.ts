import { and, asc, eq, gt } from "drizzle-orm";
import { drizzle } from "drizzle-orm/d1";
import { busyLanes } from "./run-schema.ts";

export interface BusyLane {
  job_id: string;
  lane: number;
  /** When it became busy; guards the deletion against a lane that became busy again. */
  since: number;
}

/** Lanes that may have work, in order of job and lane, after `after`. */
export function listBusyLanes(d1: D1Database, after: string, limit: number): Promise<BusyLane[]> {
  return drizzle(d1)
    .select()
    .from(busyLanes)
    .where(gt(busyLanes.job_id, after))
    .orderBy(asc(busyLanes.job_id), asc(busyLanes.lane))
    .limit(limit);
}

/** Up to `limit` jobs of a project that have a busy lane. */
export async function listBusyJobs(d1: D1Database, projectId: string, limit: number): Promise<string[]> {
  const { results } = await d1
    .prepare(
      `SELECT DISTINCT b.job_id FROM busy_lanes AS b CROSS JOIN jobs AS j
       WHERE j.id = b.job_id AND j.project_id = ?1 LIMIT ?2`,
    )
    .bind(projectId, limit)
    .all<{ job_id: string }>();
  return results.map((row) => row.job_id);
}

/** The lane is idle: it is not asked again before it says so itself. */
export async function forgetBusyLane(d1: D1Database, lane: BusyLane): Promise<void> {
  await drizzle(d1)
    .delete(busyLanes)
    .where(and(eq(busyLanes.job_id, lane.job_id), eq(busyLanes.lane, lane.lane), eq(busyLanes.since, lane.since)));
}
