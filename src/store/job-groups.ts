import { and, desc, eq, lt } from "drizzle-orm";
import { drizzle } from "drizzle-orm/d1";
import { deleteUnlessUsed, type JobUsers } from "./job-users.ts";
import { jobGroups } from "./schema.ts";

/** Times are Unix milliseconds. */
export type JobGroupRow = typeof jobGroups.$inferSelect;

/** Nothing happens where the slug is taken, or the id: a repeated request made it. */
export async function insertGroup(db: D1Database, row: JobGroupRow): Promise<void> {
  await drizzle(db).insert(jobGroups).values(row).onConflictDoNothing();
}

export async function selectGroup(db: D1Database, id: string): Promise<JobGroupRow | null> {
  return (await drizzle(db).select().from(jobGroups).where(eq(jobGroups.id, id)).get()) ?? null;
}

export async function selectGroupBySlug(db: D1Database, projectId: string, slug: string): Promise<JobGroupRow | null> {
  const named = and(eq(jobGroups.project_id, projectId), eq(jobGroups.slug, slug));
  return (await drizzle(db).select().from(jobGroups).where(named).get()) ?? null;
}

/** Newest first, one row more than `limit` where there are more. */
export function listGroups(
  db: D1Database,
  projectId: string,
  page: { limit: number; before: string | null },
): Promise<JobGroupRow[]> {
  const after = page.before === null ? undefined : lt(jobGroups.id, page.before);
  return drizzle(db)
    .select()
    .from(jobGroups)
    .where(and(eq(jobGroups.project_id, projectId), after))
    .orderBy(desc(jobGroups.id))
    .limit(page.limit + 1);
}

/** @throws what the database throws for a slug that is taken; see `isUniqueViolation`. */
export async function updateGroup(
  db: D1Database,
  id: string,
  change: Partial<Pick<JobGroupRow, "name" | "slug" | "description">> & Pick<JobGroupRow, "updated_at">,
): Promise<JobGroupRow | null> {
  const rows = await drizzle(db).update(jobGroups).set(change).where(eq(jobGroups.id, id)).returning();
  return rows[0] ?? null;
}

/** Deletes a group that no job is in; answers the jobs that are. */
export const deleteGroup = (db: D1Database, id: string): Promise<JobUsers> => deleteUnlessUsed(db, "job_groups", id);

/** Pauses or resumes every job of a group that is not so already; their coordinators have to be told. Answers how many. */
export async function pauseGroup(
  db: D1Database,
  id: string,
  change: { paused: boolean; actor: string; at: number },
): Promise<number> {
  const { meta } = await db
    .prepare(
      `UPDATE jobs SET paused = ?2, revision = revision + 1, updated_by = ?3, updated_at = ?4
       WHERE group_id = ?1 AND paused <> ?2 AND deleted_at IS NULL`,
    )
    .bind(id, change.paused ? 1 : 0, change.actor, change.at)
    .run();
  return meta.changes;
}

/** The ids of a group's jobs, by id. */
export async function listGroupMembers(db: D1Database, id: string): Promise<string[]> {
  const { results } = await db
    .prepare("SELECT id FROM jobs WHERE group_id = ?1 AND deleted_at IS NULL ORDER BY id")
    .bind(id)
    .all<{ id: string }>();
  return results.map((row) => row.id);
}
