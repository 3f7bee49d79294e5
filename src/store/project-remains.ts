/** What is left of deleted projects. Each statement removes a bounded number of rows. */

export interface DeletedProject {
  id: string;
  /** JSON list of the ids of its jobs. */
  jobs: string;
}

/** Those that were deleted before `before` (Unix ms) and may have something left. */
export async function listDeletedProjects(db: D1Database, before: number, limit: number): Promise<DeletedProject[]> {
  const { results } = await db
    .prepare(
      `SELECT id, jobs FROM deleted_projects AS d
       WHERE deleted_at < ? AND NOT EXISTS (SELECT 1 FROM projects AS p WHERE p.id = d.id) ORDER BY id LIMIT ?`,
    )
    .bind(before, limit)
    .all<DeletedProject>();
  return results;
}

/** Nothing is left of it. */
export async function forgetDeletedProject(db: D1Database, id: string): Promise<void> {
  await db.prepare("DELETE FROM deleted_projects WHERE id = ?").bind(id).run();
}

const SOME_BATCHES = "SELECT id FROM batches WHERE project_id = ?1 ORDER BY id LIMIT ?2";
const SOME_WORKFLOW_RUNS = "SELECT id FROM workflow_runs WHERE project_id = ?1 ORDER BY id LIMIT ?2";

/** Items before their batches, steps before their runs: by these they are found. */
const ITEMS = `DELETE FROM batch_items WHERE (batch_id, item_index) IN (
  SELECT i.batch_id, i.item_index FROM batches AS b CROSS JOIN batch_items AS i
  WHERE b.project_id = ?1 AND i.batch_id = b.id LIMIT ?2)`;
const HISTORY = `DELETE FROM import_history WHERE (job_id, origin, key, etag) IN (
  SELECT h.job_id, h.origin, h.key, h.etag FROM json_each(?1) AS j CROSS JOIN import_history AS h
  WHERE h.job_id = j.value LIMIT ?2)`;
const OF_PROJECT = [
  "DELETE FROM runs WHERE project_id = ?1 AND id IN (SELECT id FROM runs WHERE project_id = ?1 LIMIT ?2)",
  `DELETE FROM webhook_deliveries WHERE project_id = ?1
     AND id IN (SELECT id FROM webhook_deliveries WHERE project_id = ?1 LIMIT ?2)`,
  `DELETE FROM webhook_receivers WHERE project_id = ?1
     AND url IN (SELECT url FROM webhook_receivers WHERE project_id = ?1 LIMIT ?2)`,
  "DELETE FROM ingest_jobs WHERE import_id IN (SELECT import_id FROM ingest_jobs WHERE project_id = ?1 LIMIT ?2)",
  `DELETE FROM workflow_run_steps WHERE workflow_run_id IN (${SOME_WORKFLOW_RUNS})`,
  `DELETE FROM workflow_runs WHERE id IN (${SOME_WORKFLOW_RUNS})`,
];
const OF_BATCHES = [
  `DELETE FROM batch_archives WHERE batch_id IN (${SOME_BATCHES})`,
  `DELETE FROM replay_sweeps WHERE batch_id IN (${SOME_BATCHES})`,
  `DELETE FROM batches WHERE id IN (${SOME_BATCHES}) AND project_id = ?1`,
];
const OF_JOBS = ["busy_lanes", "job_stats"].map(
  (table) => `DELETE FROM ${table} WHERE job_id IN (SELECT value FROM json_each(?1))`,
);

/** Removes up to `limit` rows of each kind; imports are not among them. @returns whether there may be more. */
export async function removeRows(db: D1Database, { id, jobs }: DeletedProject, limit: number): Promise<boolean> {
  const [items] = await db.batch([
    db.prepare(ITEMS).bind(id, limit),
    db.prepare(HISTORY).bind(jobs, limit),
    ...OF_PROJECT.map((statement) => db.prepare(statement).bind(id, limit)),
    ...OF_JOBS.map((statement) => db.prepare(statement).bind(jobs)),
  ]);
  if (items !== undefined && items.meta.changes > 0) return true;
  await db.batch(OF_BATCHES.map((statement) => db.prepare(statement).bind(id, limit)));
  return hasRows(db, id, jobs);
}

async function hasRows(db: D1Database, id: string, jobs: string): Promise<boolean> {
  const tables = ["runs", "batches", "webhook_deliveries", "webhook_receivers", "ingest_jobs", "workflow_runs"];
  const found = await db
    .prepare(
      `SELECT ${tables.map((table) => `EXISTS (SELECT 1 FROM ${table} WHERE project_id = ?1)`).join(" OR ")}
         OR EXISTS (SELECT 1 FROM json_each(?2) AS j CROSS JOIN import_history AS h WHERE h.job_id = j.value) AS more`,
    )
    .bind(id, jobs)
    .first<{ more: number }>();
  return found?.more === 1;
}
