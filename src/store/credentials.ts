import { and, desc, eq, lt } from "drizzle-orm";
import { drizzle } from "drizzle-orm/d1";
import { credentials } from "./import-schema.ts";

/** The secrets stand in it sealed. */
export type CredentialRow = typeof credentials.$inferSelect;

/** Nothing happens where the id is taken: a repeated request made it. */
export async function insertCredential(db: D1Database, row: CredentialRow): Promise<void> {
  await drizzle(db).insert(credentials).values(row).onConflictDoNothing();
}

export async function selectCredential(db: D1Database, id: string): Promise<CredentialRow | null> {
  return (await drizzle(db).select().from(credentials).where(eq(credentials.id, id)).get()) ?? null;
}

/** Newest first, one row more than `limit` where there are more. */
export function listCredentials(
  db: D1Database,
  projectId: string,
  page: { limit: number; before: string | null },
): Promise<CredentialRow[]> {
  const after = page.before === null ? undefined : lt(credentials.id, page.before);
  return drizzle(db)
    .select()
    .from(credentials)
    .where(and(eq(credentials.project_id, projectId), after))
    .orderBy(desc(credentials.id))
    .limit(page.limit + 1);
}

/** @returns the imports that use it and have not ended or will repeat; it is deleted where there are none. */
export async function deleteCredential(db: D1Database, id: string): Promise<string[]> {
  const { results } = await db
    .prepare("SELECT id FROM imports WHERE credential_id = ? AND (is_open = 1 OR next_at IS NOT NULL) LIMIT 5")
    .bind(id)
    .all<{ id: string }>();
  if (results.length > 0) return results.map((row) => row.id);
  await drizzle(db).delete(credentials).where(eq(credentials.id, id));
  return [];
}
