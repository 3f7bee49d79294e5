import { type SQL, sql } from "drizzle-orm";
import type { Env } from "../env.ts";
import { type Page, SCAN_BOUNDS, type ScanPlan, scan } from "./scan.ts";

/** A page that begins so many rows behind the newest one. */
export interface OffsetPage<R> {
  rows: R[];
  hasMore: boolean;
}

/** Scans that one request makes at most; each of them looks at a bounded number of rows (see `scan`). */
const MAX_SCANS = 40;

/** What is passed over is read by its key alone. */
const KEYS_ONLY: SQL = sql`SELECT found.key AS scan_key, found.hit AS scan_hit FROM found`;

/**
 * Reads a list at an offset, for clients that know no cursors: keys are walked from the newest one, step by step, by the
 * list's own index.
 *
 * @returns null where so many rows had to be looked at that the search was given up.
 */
export async function pageAt<R extends object, K extends string | number>(
  env: Env,
  plan: ScanPlan<K>,
  offset: number,
  limit: number,
): Promise<OffsetPage<R> | null> {
  let scans = 0;
  let after: K | null = null;
  for (let left = offset; left > 0; ) {
    if (++scans > MAX_SCANS) return null;
    const keys = { ...plan, rows: KEYS_ONLY };
    const page: Page<object, K> = await scan(env, keys, after, Math.min(left, SCAN_BOUNDS.stepRows - 1));
    if (page.next === null) return { rows: [], hasMore: false };
    left -= page.rows.length;
    after = page.next;
  }
  const rows: R[] = [];
  for (;;) {
    if (++scans > MAX_SCANS) return null;
    const page: Page<R, K> = await scan(env, plan, after, limit + 1 - rows.length);
    rows.push(...page.rows);
    if (rows.length > limit || page.next === null) return { rows: rows.slice(0, limit), hasMore: rows.length > limit };
    after = page.next;
  }
}
