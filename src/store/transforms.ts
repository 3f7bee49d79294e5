import { and, desc, eq, isNull, lt, ne, or } from "drizzle-orm";
import { drizzle } from "drizzle-orm/d1";
import { transforms } from "./import-schema.ts";

export type TransformRow = typeof transforms.$inferSelect;

/** Nothing happens where the name is taken, or the id: a repeated request made it. */
export async function insertTransform(db: D1Database, row: TransformRow): Promise<void> {
  await drizzle(db).insert(transforms).values(row).onConflictDoNothing();
}

export async function selectTransform(db: D1Database, id: string): Promise<TransformRow | null> {
  return (await drizzle(db).select().from(transforms).where(eq(transforms.id, id)).get()) ?? null;
}

/** Those of a name: of the project, and of its jobs. No more than `limit`. */
export function selectTransformsNamed(
  db: D1Database,
  projectId: string,
  name: string,
  limit: number,
): Promise<TransformRow[]> {
  return (
    drizzle(db)
      .select()
      .from(transforms)
      .where(and(eq(transforms.project_id, projectId), eq(transforms.name, name)))
      // The project's own is first, as an index has it.
      .orderBy(transforms.job_id)
      .limit(limit)
  );
}

/** What a name means for a job: its own transform, else the project's. */
export async function selectTransformFor(
  db: D1Database,
  { project_id, job_id }: { project_id: string; job_id: string },
  name: string,
): Promise<TransformRow | null> {
  const rows = await drizzle(db)
    .select()
    .from(transforms)
    .where(
      and(
        eq(transforms.project_id, project_id),
        eq(transforms.name, name),
        or(isNull(transforms.job_id), eq(transforms.job_id, job_id)),
      ),
    )
    .orderBy(desc(transforms.job_id))
    .limit(1);
  return rows[0] ?? null;
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

/** Null where there is none of this id any more. */
export async function updateTransform(
  db: D1Database,
  id: string,
  change: Pick<TransformRow, "type" | "settings" | "updated_at"> & Partial<Pick<TransformRow, "description">>,
): Promise<TransformRow | null> {
  const rows = await drizzle(db).update(transforms).set(change).where(eq(transforms.id, id)).returning();
  return rows[0] ?? null;
}

/** Makes one, or none, what a client means that names no transform: one of those that belong to the same job, or to none. */
export async function setDefaultTransform(
  db: D1Database,
  { id, project_id, job_id }: TransformRow,
  isDefault: boolean,
): Promise<void> {
  const others = and(
    eq(transforms.project_id, project_id),
    job_id === null ? isNull(transforms.job_id) : eq(transforms.job_id, job_id),
    ne(transforms.id, id),
    eq(transforms.is_default, true),
  );
  const update = () => drizzle(db).update(transforms);
  await drizzle(db).batch([
    update().set({ is_default: isDefault }).where(eq(transforms.id, id)),
    ...(isDefault ? [update().set({ is_default: false }).where(others)] : []),
  ]);
}

/** False where there is none of this id any more. */
export async function deleteTransform(db: D1Database, id: string): Promise<boolean> {
  const rows = await drizzle(db).delete(transforms).where(eq(transforms.id, id)).returning({ id: transforms.id });
  return rows.length > 0;
}
