import { type SQL, sql } from "drizzle-orm";
import { drizzle } from "drizzle-orm/d1";
import type { Env } from "../env.ts";

/**
 * Reading a list by keyset with filters that no index serves. Candidates are read in steps of bounded size; a request
 * takes a bounded number of steps and hands back where it stopped, so that a rare status among millions of rows costs a
 * request no more than a common one. A page may therefore be short, or empty, and still have a successor.
 */
export interface ScanPlan<K extends string | number> {
  /** `desc`: newest first, `asc`: in index order. */
  order: "desc" | "asc";
  /** `SELECT … AS key, … AS id, <filters> AS hit`, ordered by key, beyond `after`, at most `size` rows. */
  candidates(after: K | null, size: number): SQL;
  /** `SELECT found.key AS scan_key, found.hit AS scan_hit, … FROM found LEFT JOIN … ON … AND found.hit`. */
  rows: SQL;
}

export interface ScanBounds {
  /** Candidate rows of one statement. */
  stepRows: number;
  /** Statements of one request. */
  steps: number;
}

export const SCAN_BOUNDS: ScanBounds = { stepRows: 5_000, steps: 10 };

/** `next`: the key to go on after; null at the end of the list. */
export interface Page<R, K extends string | number = string> {
  rows: R[];
  next: K | null;
}

/** Steps begin at the page's own size and grow: a list whose rows all match reads no more than it shows. */
const STEP_GROWTH = 8;

type Scanned<R, K> = R & { scan_key: K; scan_hit: 0 | 1 };

/** At most `limit` matching rows after `after`. */
export async function scan<R extends object, K extends string | number>(
  env: Env,
  plan: ScanPlan<K>,
  after: K | null,
  limit: number,
  bounds: ScanBounds = SCAN_BOUNDS,
): Promise<Page<R, K>> {
  const db = drizzle(env.DB);
  const hits: Scanned<R, K>[] = [];
  let edge = after;
  let size = Math.min(limit + 1, bounds.stepRows);
  for (let step = 0; step < bounds.steps; step++) {
    const wanted = limit + 1 - hits.length;
    const read = await db.all<Scanned<R, K>>(stepQuery(plan, edge, size, wanted));
    const last = sorted(read, plan.order).at(-1);
    if (!last) return { rows: hits, next: null };
    hits.push(...read.filter((row) => row.scan_hit === 1));
    if (hits.length > limit) {
      const rows = hits.slice(0, limit);
      return { rows, next: rows.at(-1)?.scan_key ?? null };
    }
    edge = last.scan_key;
    size = Math.min(size * STEP_GROWTH, bounds.stepRows);
  }
  return { rows: hits, next: edge };
}

/**
 * The matching candidates of one step, and its last candidate whether it matches or not: from there the next step goes on.
 */
function stepQuery<K extends string | number>(plan: ScanPlan<K>, after: K | null, size: number, wanted: number): SQL {
  const last = plan.order === "desc" ? sql.raw("min(key)") : sql.raw("max(key)");
  return sql`WITH candidates AS MATERIALIZED (${plan.candidates(after, size)}),
    found AS MATERIALIZED (
      SELECT key, id, hit FROM candidates WHERE hit OR key = (SELECT ${last} FROM candidates)
      ORDER BY key ${sql.raw(plan.order)} LIMIT ${wanted + 1})
    ${plan.rows}`;
}

function sorted<R, K extends string | number>(rows: Scanned<R, K>[], order: "desc" | "asc"): Scanned<R, K>[] {
  const sign = order === "asc" ? 1 : -1;
  return rows.sort((a, b) => (a.scan_key < b.scan_key ? -sign : sign));
}
