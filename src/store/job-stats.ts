import type { JobStats } from "../domain/job-stats.ts";

/** A job's numbers, as its coordinator last wrote them. Times are Unix milliseconds. */
export interface JobStatsRow {
  project: string;
  job: string;
  at: number;
  waiting: number;
  executing: number;
  stats: JobStats;
  /** Its coordinator has work, or had some a minute ago. */
  isBusy: boolean;
}

interface Row extends Omit<JobStatsRow, "stats" | "isBusy"> {
  doc: string;
  busy: number;
}

/** Of all jobs that are not deleted and have ever been triggered, by project and job. */
export async function listJobStats(db: D1Database): Promise<JobStatsRow[]> {
  const { results } = await db
    .prepare(
      `SELECT p.slug AS project, j.slug AS job, s.at, s.waiting, s.executing, s.doc, b.job_id IS NOT NULL AS busy
      FROM job_stats s JOIN jobs j ON j.id = s.job_id JOIN projects p ON p.id = j.project_id
        LEFT JOIN busy_lanes b ON b.job_id = s.job_id AND b.lane = 0
      WHERE j.deleted_at IS NULL ORDER BY p.slug, j.slug`,
    )
    .all<Row>();
  return results.map(({ doc, busy, ...row }) => ({ ...row, stats: JSON.parse(doc) as JobStats, isBusy: busy === 1 }));
}

/** What waits and executes in all jobs of a group, as their coordinators last wrote it. */
export async function sumGroupStats(db: D1Database, groupId: string): Promise<{ waiting: number; executing: number }> {
  const sums = await db
    .prepare(
      `SELECT coalesce(sum(s.waiting), 0) AS waiting, coalesce(sum(s.executing), 0) AS executing
       FROM jobs j JOIN job_stats s ON s.job_id = j.id WHERE j.group_id = ?1 AND j.deleted_at IS NULL`,
    )
    .bind(groupId)
    .first<{ waiting: number; executing: number }>();
  return sums ?? { waiting: 0, executing: 0 };
}
