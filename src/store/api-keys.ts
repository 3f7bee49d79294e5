import { and, desc, eq, gt, isNull, lt, or } from "drizzle-orm";
import { drizzle } from "drizzle-orm/d1";
import { apiKeys } from "./schema.ts";

/** Times are Unix milliseconds. `key_hash` is the SHA-256 of the key in hex. */
export type ApiKeyRow = typeof apiKeys.$inferSelect;

/** Where the id is taken, a repeated request made it: only its secret, which nobody has received, is replaced. */
export async function insertApiKey(db: D1Database, row: ApiKeyRow): Promise<void> {
  await drizzle(db)
    .insert(apiKeys)
    .values(row)
    .onConflictDoUpdate({ target: apiKeys.id, set: { key_hash: row.key_hash, key_prefix: row.key_prefix } });
}

export async function selectApiKey(db: D1Database, id: string): Promise<ApiKeyRow | null> {
  return (await drizzle(db).select().from(apiKeys).where(eq(apiKeys.id, id)).get()) ?? null;
}

export async function selectApiKeyByHash(db: D1Database, hash: string): Promise<ApiKeyRow | null> {
  return (await drizzle(db).select().from(apiKeys).where(eq(apiKeys.key_hash, hash)).get()) ?? null;
}

/** Newest first, one row more than `limit` where there are more. */
export function listApiKeys(
  db: D1Database,
  projectId: string,
  page: { limit: number; before: string | null },
): Promise<ApiKeyRow[]> {
  return drizzle(db)
    .select()
    .from(apiKeys)
    .where(and(eq(apiKeys.project_id, projectId), page.before === null ? undefined : lt(apiKeys.id, page.before)))
    .orderBy(desc(apiKeys.id))
    .limit(page.limit + 1);
}

/** Revokes a key at a time; an earlier revocation stands. */
export async function revokeApiKey(db: D1Database, id: string, at: number): Promise<void> {
  await drizzle(db)
    .update(apiKeys)
    .set({ revoked_at: at })
    .where(and(eq(apiKeys.id, id), or(isNull(apiKeys.revoked_at), gt(apiKeys.revoked_at, at))));
}
