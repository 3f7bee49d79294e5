import { sql } from "drizzle-orm";
import { drizzle } from "drizzle-orm/d1";
import type { CronClock } from "../domain/cron-clock.ts";
import { type StoredJob, toJob } from "./jobs.ts";
import { jobs } from "./schema.ts";

/** Where a walk over the due crons stands: it never sees a job twice. */
export interface CronCursor {
  next_cron_at: number;
  number: number;
}

const START: CronCursor = { next_cron_at: 0, number: 0 };

/** Jobs whose cron is due at `now`, longest due first, by the partial index and nothing else. */
export async function listDueCrons(
  db: D1Database,
  now: number,
  after: CronCursor | null,
  limit: number,
): Promise<StoredJob[]> {
  const { next_cron_at, number } = after ?? START;
  const rows = await drizzle(db)
    .select()
    .from(jobs)
    .where(
      // As the partial index has it, so that it is used.
      sql`next_cron_at <= ${now} AND (next_cron_at, number) > (${next_cron_at}, ${number}) AND paused = 0 AND enabled = 1`,
    )
    .orderBy(sql`next_cron_at, number`)
    .limit(limit);
  return rows.map(toJob);
}

/** A clock for a job that is still at this revision: a later change has set its own. */
export interface ClockUpdate extends CronClock {
  id: string;
  revision: number;
}

/** Sets the clocks of many jobs in one statement; none goes backwards. */
export async function setCronClocks(db: D1Database, updates: ClockUpdate[]): Promise<void> {
  if (updates.length === 0) return;
  await db
    .prepare(
      `UPDATE jobs SET cron_since = j.value ->> 'cron_since', next_cron_at = j.value ->> 'next_cron_at'
       FROM json_each(?1) j
       WHERE jobs.id = j.value ->> 'id' AND jobs.revision = j.value ->> 'revision'
         AND jobs.next_cron_at < coalesce(j.value ->> 'next_cron_at', 9e15)`,
    )
    .bind(JSON.stringify(updates))
    .run();
}
