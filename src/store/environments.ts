import { and, desc, eq, lt } from "drizzle-orm";
import { drizzle } from "drizzle-orm/d1";
import { deleteUnlessUsed, type JobUsers } from "./job-users.ts";
import { environments } from "./schema.ts";

/** Times are Unix milliseconds; variables stand in it sealed. */
export type EnvironmentRow = typeof environments.$inferSelect;

/** Nothing happens where the slug is taken, or the id: a repeated request made it. */
export async function insertEnvironment(db: D1Database, row: EnvironmentRow): Promise<void> {
  await drizzle(db).insert(environments).values(row).onConflictDoNothing();
}

export async function selectEnvironment(db: D1Database, id: string): Promise<EnvironmentRow | null> {
  return (await drizzle(db).select().from(environments).where(eq(environments.id, id)).get()) ?? null;
}

export async function selectEnvironmentBySlug(
  db: D1Database,
  projectId: string,
  slug: string,
): Promise<EnvironmentRow | null> {
  const named = and(eq(environments.project_id, projectId), eq(environments.slug, slug));
  return (await drizzle(db).select().from(environments).where(named).get()) ?? null;
}

/** Newest first, one row more than `limit` where there are more. */
export function listEnvironments(
  db: D1Database,
  projectId: string,
  page: { limit: number; before: string | null },
): Promise<EnvironmentRow[]> {
  const after = page.before === null ? undefined : lt(environments.id, page.before);
  return drizzle(db)
    .select()
    .from(environments)
    .where(and(eq(environments.project_id, projectId), after))
    .orderBy(desc(environments.id))
    .limit(page.limit + 1);
}

/**
 * Changes an environment that is still at `row.revision`.
 *
 * @returns the row as it is then, or null where somebody else was first.
 * @throws what the database throws for a slug that is taken; see `isUniqueViolation`.
 */
export async function updateEnvironment(
  db: D1Database,
  row: Pick<EnvironmentRow, "id" | "revision">,
  change: Pick<EnvironmentRow, "name" | "slug" | "variables" | "updated_at">,
): Promise<EnvironmentRow | null> {
  const rows = await drizzle(db)
    .update(environments)
    .set({ ...change, revision: row.revision + 1 })
    .where(and(eq(environments.id, row.id), eq(environments.revision, row.revision)))
    .returning();
  return rows[0] ?? null;
}

/** Deletes an environment that no job uses; answers the jobs that do. */
export const deleteEnvironment = (db: D1Database, id: string): Promise<JobUsers> =>
  deleteUnlessUsed(db, "environments", id);
