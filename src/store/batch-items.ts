import { type SQL, sql } from "drizzle-orm";
import { drizzle } from "drizzle-orm/d1";
import type { ErrorDetail } from "../domain/error.ts";
import type { RunStatus } from "../domain/run.ts";
import type { Env } from "../env.ts";
import { type Page, type ScanBounds, scan } from "./scan.ts";

export type ItemOutcomeKind = "created" | "duplicate" | "rejected";

/** What became of one item of a batch. */
export interface BatchItem {
  index: number;
  outcome: ItemOutcomeKind;
  /** The item's run; a duplicate's earlier run; null for a reject. */
  run_id: string | null;
  /** That run's status; null where the copy does not know the run (any more). */
  status: RunStatus | null;
  error: { code: string; message: string; details: ErrorDetail[] } | null;
}

interface ItemRow {
  item_index: number;
  outcome: ItemOutcomeKind;
  run_id: string | null;
  status: RunStatus | null;
  error: string | null;
}

const toItem = (row: ItemRow): BatchItem => ({
  index: row.item_index,
  outcome: row.outcome,
  run_id: row.run_id,
  status: row.status,
  error: row.error === null ? null : (JSON.parse(row.error) as BatchItem["error"]),
});

/** A page of a batch's items in index order, from beyond the index `after`. The caller has checked whose batch it is. */
export async function listBatchItems(
  env: Env,
  batch: { id: string; project_id: string },
  outcome: ItemOutcomeKind | null,
  after: number | null,
  limit: number,
  bounds?: ScanBounds,
): Promise<Page<BatchItem, number>> {
  switch (outcome) {
    case null: {
      const rows = await drizzle(env.DB).all<ItemRow>(sql`
        SELECT * FROM (${created(batch.id, after, limit + 1)})
        UNION ALL SELECT * FROM (${withoutRun(batch, after, limit + 1)})
        ORDER BY item_index LIMIT ${limit + 1}`);
      return cutItems(rows.map(toItem), limit);
    }
    case "created":
      return cutItems((await drizzle(env.DB).all<ItemRow>(created(batch.id, after, limit + 1))).map(toItem), limit);
    default: {
      const page = await scan<ItemRow, number>(env, outcomePlan(batch, outcome), after, limit, bounds);
      return { rows: page.rows.map(toItem), next: page.next };
    }
  }
}

/** Duplicates and rejects, in index order from beyond `after`. The caller has checked whose batch it is. */
export async function itemsWithoutRun(
  env: Env,
  batch: { id: string; project_id: string },
  after: number | null,
  size: number,
): Promise<BatchItem[]> {
  return (await drizzle(env.DB).all<ItemRow>(withoutRun(batch, after, size))).map(toItem);
}

/** A page of items of which there is one too many where another page follows. */
export function cutItems(items: readonly BatchItem[], limit: number): Page<BatchItem, number> {
  const rows = items.slice(0, limit);
  const last = rows.at(-1);
  return { rows, next: items.length > limit && last ? last.index : null };
}

/** The runs of a batch as items. */
const created = (batchId: string, after: number | null, size: number): SQL => sql`
  SELECT batch_index AS item_index, 'created' AS outcome, id AS run_id, status, NULL AS error
  FROM runs INDEXED BY runs_by_batch
  WHERE batch_id = ${batchId} AND batch_index > ${after ?? -1} ORDER BY batch_index LIMIT ${size}`;

/** Duplicates and rejects. */
const withoutRun = (batch: { id: string; project_id: string }, after: number | null, size: number): SQL => sql`
  SELECT i.item_index, i.outcome, i.run_id, r.status, i.error
  FROM batch_items AS i LEFT JOIN runs AS r ON r.project_id = ${batch.project_id} AND r.id = i.run_id
  WHERE i.batch_id = ${batch.id} AND i.item_index > ${after ?? -1} ORDER BY i.item_index LIMIT ${size}`;

/** Duplicates among rejects, or rejects among duplicates, may be rare. */
const outcomePlan = (batch: { id: string; project_id: string }, outcome: "duplicate" | "rejected") => ({
  order: "asc" as const,
  candidates: (after: number | null, size: number): SQL => sql`
    SELECT item_index AS key, NULL AS id, outcome = ${outcome} AS hit FROM batch_items
    WHERE batch_id = ${batch.id} AND item_index > ${after ?? -1} ORDER BY item_index LIMIT ${size}`,
  rows: sql`SELECT found.key AS scan_key, found.hit AS scan_hit, i.item_index, i.outcome, i.run_id, r.status, i.error
    FROM found LEFT JOIN batch_items AS i ON found.hit AND i.batch_id = ${batch.id} AND i.item_index = found.key
    LEFT JOIN runs AS r ON found.hit AND r.project_id = ${batch.project_id} AND r.id = i.run_id`,
});
