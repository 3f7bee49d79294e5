import { and, eq, isNull, lt, lte } from "drizzle-orm";
import { drizzle } from "drizzle-orm/d1";
import { idempotentRequests } from "./schema.ts";

/** Names one request: the key, and where it is valid. */
export interface RequestName {
  project_id: string;
  route: string;
  key: string;
}

/** While `status` is null the request is running, and `body` holds the id of what it will create. */
export type IdempotentRow = typeof idempotentRequests.$inferSelect;

const named = (name: RequestName) =>
  and(
    eq(idempotentRequests.project_id, name.project_id),
    eq(idempotentRequests.route, name.route),
    eq(idempotentRequests.key, name.key),
  );

/**
 * Claims a key for a request, unless one that is still to be believed holds it.
 *
 * @param row `creation_id` names what the request will create; the request keeps it even where it dies and is repeated.
 * @param now Unix milliseconds.
 * @param crashedBefore an unfinished claim from before this time belongs to a request that died.
 * @param forgottenBefore a request from before this time is no longer remembered.
 */
export async function claimRequest(
  db: D1Database,
  row: RequestName & { fingerprint: string; creation_id: string },
  now: number,
  crashedBefore: number,
  forgottenBefore: number,
): Promise<{ claimed: true; creation_id: string } | { claimed: false; earlier: IdempotentRow }> {
  const orm = drizzle(db);
  const { creation_id, ...name } = row;
  const first = await orm
    .insert(idempotentRequests)
    .values({ ...name, status: null, body: creation_id, created_at: now })
    .onConflictDoUpdate({
      target: [idempotentRequests.project_id, idempotentRequests.route, idempotentRequests.key],
      set: { fingerprint: row.fingerprint, status: null, body: creation_id, created_at: now },
      setWhere: lt(idempotentRequests.created_at, forgottenBefore),
    })
    .returning();
  if (first.length > 0) return { claimed: true, creation_id };
  const [taken] = await orm
    .update(idempotentRequests)
    .set({ created_at: now })
    .where(
      and(
        named(row),
        isNull(idempotentRequests.status),
        lte(idempotentRequests.created_at, crashedBefore),
        eq(idempotentRequests.fingerprint, row.fingerprint),
      ),
    )
    .returning();
  if (taken) return { claimed: true, creation_id: taken.body ?? creation_id };
  const earlier = await orm.select().from(idempotentRequests).where(named(row)).get();
  // Released between the two statements: the caller's repeat will claim it.
  if (!earlier) return claimRequest(db, row, now, crashedBefore, forgottenBefore);
  return { claimed: false, earlier };
}

/** Keeps the answer for repeats. */
export async function keepAnswer(db: D1Database, name: RequestName, status: number, body: string): Promise<void> {
  await drizzle(db).update(idempotentRequests).set({ status, body }).where(named(name));
}

/** Forgets a claim whose request changed nothing: a repeat is a first request again. */
export async function releaseClaim(db: D1Database, name: RequestName): Promise<void> {
  await drizzle(db)
    .delete(idempotentRequests)
    .where(and(named(name), isNull(idempotentRequests.status)));
}

/** Lets the next request with this key go on where this one failed, at once and with the same creation id. */
export async function lapseClaim(db: D1Database, name: RequestName, at: number): Promise<void> {
  await drizzle(db)
    .update(idempotentRequests)
    .set({ created_at: at })
    .where(and(named(name), isNull(idempotentRequests.status)));
}

/** Deletes up to `limit` requests older than `before`. */
export async function purgeRequests(db: D1Database, before: number, limit: number): Promise<void> {
  await db
    .prepare(
      `DELETE FROM idempotent_requests WHERE (project_id, route, key) IN
         (SELECT project_id, route, key FROM idempotent_requests WHERE created_at < ?1 ORDER BY created_at LIMIT ?2)`,
    )
    .bind(before, limit)
    .run();
}
