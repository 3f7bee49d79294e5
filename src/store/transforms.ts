import { and, desc, eq, lt, ne } from "drizzle-orm";
import { drizzle } from "drizzle-orm/d1";
import { transforms } from "./import-schema.ts";

export type TransformRow = typeof transforms.$inferSelect;

/** Nothing happens where the name is taken, or the id: a repeated request made it. */
export async function insertTransform(db: D1Database, row: TransformRow): Promise<void> {
  await drizzle(db).insert(transforms).values(row).onConflictDoNothing();
}

const named = (projectId: string, name: string) => and(eq(transforms.project_id, projectId), eq(transforms.name, name));

export async function selectTransform(db: D1Database, projectId: string, name: string): Promise<TransformRow | null> {
  return (await drizzle(db).select().from(transforms).where(named(projectId, name)).get()) ?? null;
}

/** Newest first, one row more than `limit` where there are more. */
export function listTransforms(
  db: D1Database,
  projectId: string,
  page: { limit: number; before: string | null },
): Promise<TransformRow[]> {
  const after = page.before === null ? undefined : lt(transforms.id, page.before);
  return drizzle(db)
    .select()
    .from(transforms)
    .where(and(eq(transforms.project_id, projectId), after))
    .orderBy(desc(transforms.id))
    .limit(page.limit + 1);
}

/** Null where there is none of this name. */
export async function updateTransform(
  db: D1Database,
  projectId: string,
  name: string,
  change: Pick<TransformRow, "type" | "settings" | "updated_at"> & Partial<Pick<TransformRow, "description">>,
): Promise<TransformRow | null> {
  const rows = await drizzle(db).update(transforms).set(change).where(named(projectId, name)).returning();
  return rows[0] ?? null;
}

/** Makes one, or none, what a client means that names no transform. */
export async function setDefaultTransform(
  db: D1Database,
  projectId: string,
  name: string,
  isDefault: boolean,
): Promise<void> {
  const others = and(eq(transforms.project_id, projectId), ne(transforms.name, name), eq(transforms.is_default, true));
  const set = drizzle(db).update(transforms);
  await drizzle(db).batch([
    set.set({ is_default: isDefault }).where(named(projectId, name)),
    ...(isDefault ? [drizzle(db).update(transforms).set({ is_default: false }).where(others)] : []),
  ]);
}

/** False where there is none of this name. */
export async function deleteTransform(db: D1Database, projectId: string, name: string): Promise<boolean> {
  const rows = await drizzle(db).delete(transforms).where(named(projectId, name)).returning({ id: transforms.id });
  return rows.length > 0;
}
