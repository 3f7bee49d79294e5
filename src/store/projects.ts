import { and, desc, eq, lt } from "drizzle-orm";
import { drizzle } from "drizzle-orm/d1";
import { projects } from "./schema.ts";

/** Times are Unix milliseconds. */
export type ProjectRow = typeof projects.$inferSelect;

/** Nothing happens where the slug is taken, or the id: a repeated request made it. */
export async function insertProject(db: D1Database, row: ProjectRow): Promise<void> {
  await drizzle(db).insert(projects).values(row).onConflictDoNothing();
}

export async function selectProject(db: D1Database, id: string): Promise<ProjectRow | null> {
  return (await drizzle(db).select().from(projects).where(eq(projects.id, id)).get()) ?? null;
}

export async function selectProjectBySlug(db: D1Database, slug: string): Promise<ProjectRow | null> {
  return (await drizzle(db).select().from(projects).where(eq(projects.slug, slug)).get()) ?? null;
}

/** Newest first, one row more than `limit` where there are more. `only`: the one project that a key may see. */
export function listProjects(
  db: D1Database,
  page: { limit: number; before: string | null; only: string | null },
): Promise<ProjectRow[]> {
  return drizzle(db)
    .select()
    .from(projects)
    .where(
      and(
        page.before === null ? undefined : lt(projects.id, page.before),
        page.only === null ? undefined : eq(projects.id, page.only),
      ),
    )
    .orderBy(desc(projects.id))
    .limit(page.limit + 1);
}

export async function updateProject(
  db: D1Database,
  id: string,
  change: Partial<Pick<ProjectRow, "name" | "slug" | "max_concurrent_invocations">>,
): Promise<ProjectRow | null> {
  const rows = await drizzle(db).update(projects).set(change).where(eq(projects.id, id)).returning();
  return rows[0] ?? null;
}

/**
 * Deletes a project with its keys, environments, groups, workflows and deleted jobs, and notes that what is left of it (its
 * runs and batches, its imports, its webhooks) is to be removed; see `project-remains`.
 *
 * @param at Unix milliseconds.
 * @returns false where jobs that are not deleted, or whose deletion the coordinator has not heard of, stand in the way.
 */
export async function deleteProject(db: D1Database, id: string, at: number): Promise<boolean> {
  const inTheWay = await db
    .prepare("SELECT 1 FROM jobs WHERE project_id = ?1 AND (deleted_at IS NULL OR told_revision < revision) LIMIT 1")
    .bind(id)
    .first();
  if (inTheWay) return false;
  try {
    await db.batch([
      db
        .prepare("INSERT INTO deleted_projects SELECT ?1, json_group_array(id), ?2 FROM jobs WHERE project_id = ?1")
        .bind(id, at),
      db.prepare("DELETE FROM job_versions WHERE job_id IN (SELECT id FROM jobs WHERE project_id = ?1)").bind(id),
      db.prepare("DELETE FROM jobs WHERE project_id = ?1 AND deleted_at IS NOT NULL").bind(id),
      db.prepare("DELETE FROM environments WHERE project_id = ?1").bind(id),
      db.prepare("DELETE FROM job_groups WHERE project_id = ?1").bind(id),
      db
        .prepare("DELETE FROM workflow_revisions WHERE workflow_id IN (SELECT id FROM workflows WHERE project_id = ?1)")
        .bind(id),
      db.prepare("DELETE FROM workflows WHERE project_id = ?1").bind(id),
      db.prepare("DELETE FROM credentials WHERE project_id = ?1").bind(id),
      db.prepare("DELETE FROM transforms WHERE project_id = ?1").bind(id),
      db.prepare("UPDATE imports SET next_at = NULL WHERE project_id = ?1").bind(id),
      db.prepare("DELETE FROM api_keys WHERE project_id = ?1").bind(id),
      db.prepare("DELETE FROM projects WHERE id = ?1").bind(id),
    ]);
  } catch (error) {
    // A job was created in between: its foreign key kept the project.
    if (error instanceof Error && error.message.includes("FOREIGN KEY constraint failed")) return false;
    throw error;
  }
  return true;
}
