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

/** The imports that need a credential; by their indexes, as there may be many imports that have ended. */
const USERS = `SELECT id FROM imports INDEXED BY imports_open WHERE is_open = 1 AND credential_id = ?1
  UNION SELECT id FROM imports INDEXED BY imports_due WHERE next_at IS NOT NULL AND credential_id = ?1`;

/** @returns the imports that use it and have not ended or will repeat; it is deleted where there are none. */
export async function deleteCredential(db: D1Database, id: string): Promise<string[]> {
  const [, users] = await db.batch<{ id: string }>([
    db.prepare(`DELETE FROM credentials WHERE id = ?1 AND NOT EXISTS (${USERS})`).bind(id),
    db.prepare(`${USERS} LIMIT 5`).bind(id),
  ]);
  return (users?.results ?? []).map((row) => row.id);
}
