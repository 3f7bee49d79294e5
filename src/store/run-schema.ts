import { sql } from "drizzle-orm";
import { index, integer, primaryKey, sqliteTable, text } from "drizzle-orm/sqlite-core";
import type { BatchStatus } from "../domain/batch.ts";
import type { RunStatus, TriggeredBy } from "../domain/run.ts";

/** The copies of what the coordinators decide, as `migrations/` makes them. Written by `store/projection` only. */

export const runs = sqliteTable(
  "runs",
  {
    project_id: text().notNull(),
    id: text().notNull(),
    job_id: text().notNull(),
    batch_id: text(),
    batch_index: integer(),
    status: text().$type<RunStatus>().notNull(),
    ver: integer().notNull(),
    triggered_by: text().$type<TriggeredBy>().notNull(),
    concurrency_key: text(),
    /** A JSON object of strings, or null for none. */
    tags: text(),
    /** Raw JSON as sent; null where the document's `payload_ref` names an R2 object. */
    payload: text(),
    /** JSON of a `RunRecord` without the columns. */
    doc: text().notNull(),
  },
  (t) => [
    primaryKey({ columns: [t.project_id, t.id] }),
    index("runs_by_job").on(t.job_id, t.id),
    index("runs_by_batch").on(t.batch_id, t.batch_index).where(sql`batch_id IS NOT NULL`),
    index("runs_dead").on(t.project_id, t.id).where(sql`status IN ('failed', 'timed_out', 'crashed')`),
  ],
);

export const batches = sqliteTable(
  "batches",
  {
    project_id: text().notNull(),
    id: text().notNull(),
    job_id: text().notNull(),
    status: text().$type<BatchStatus>().notNull(),
    ver: integer().notNull(),
    /** JSON of the whole `BatchRecord`. */
    doc: text().notNull(),
  },
  (t) => [primaryKey({ columns: [t.project_id, t.id] }), index("batches_by_job").on(t.job_id, t.id)],
);

/** Items that made no run; created items are the runs of the batch. */
export const batchItems = sqliteTable(
  "batch_items",
  {
    batch_id: text().notNull(),
    item_index: integer().notNull(),
    outcome: text().$type<"duplicate" | "rejected">().notNull(),
    /** The earlier run of a duplicate. */
    run_id: text(),
    /** JSON `{code, message, details}` of a reject. */
    error: text(),
  },
  (t) => [primaryKey({ columns: [t.batch_id, t.item_index] })],
);

/** Coordinators that may have work. */
export const busyLanes = sqliteTable(
  "busy_lanes",
  {
    job_id: text().notNull(),
    lane: integer().notNull(),
    since: integer().notNull(),
  },
  (t) => [primaryKey({ columns: [t.job_id, t.lane] })],
);
