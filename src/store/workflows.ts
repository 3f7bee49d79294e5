import { sql } from "drizzle-orm";
import { drizzle } from "drizzle-orm/d1";
import type { WorkflowStep } from "../domain/workflow.ts";

/** A workflow as it is now. Times are Unix milliseconds. */
export interface WorkflowRow {
  id: string;
  project_id: string;
  slug: string;
  name: string;
  revision: number;
  steps: WorkflowStep[];
  created_by: string;
  updated_by: string;
  created_at: number;
  updated_at: number;
}

type Raw = Omit<WorkflowRow, "steps"> & { steps: string };
const toRow = ({ steps, ...row }: Raw): WorkflowRow => ({ ...row, steps: JSON.parse(steps) as WorkflowStep[] });

const COLUMNS = `w.id, w.project_id, w.slug, w.name, w.revision, w.created_by, w.updated_by, w.created_at, w.updated_at,
  r.steps`;
const FROM = "workflows AS w JOIN workflow_revisions AS r ON r.workflow_id = w.id AND r.revision = w.revision";

/** The jobs of a workflow's project that start it; `w` is the workflow. */
const NAMED_BY = `jobs AS j WHERE j.project_id = w.project_id AND j.deleted_at IS NULL
  AND j.spec ->> '$.on_complete_trigger_workflow' IS NOT NULL
  AND j.spec ->> '$.on_complete_trigger_workflow' = w.slug`;
/** Its runs that have not ended. */
const RUN_BY = "workflow_runs AS a WHERE a.workflow_id = w.id AND a.due_at IS NOT NULL";

export async function selectWorkflow(db: D1Database, id: string): Promise<WorkflowRow | null> {
  const row = await db.prepare(`SELECT ${COLUMNS} FROM ${FROM} WHERE w.id = ?`).bind(id).first<Raw>();
  return row && toRow(row);
}

export async function selectWorkflowBySlug(
  db: D1Database,
  projectId: string,
  slug: string,
): Promise<WorkflowRow | null> {
  const row = await db
    .prepare(`SELECT ${COLUMNS} FROM ${FROM} WHERE w.project_id = ? AND w.slug = ?`)
    .bind(projectId, slug)
    .first<Raw>();
  return row && toRow(row);
}

export async function workflowExists(db: D1Database, projectId: string, slug: string): Promise<boolean> {
  const row = await db
    .prepare("SELECT 1 FROM workflows WHERE project_id = ? AND slug = ?")
    .bind(projectId, slug)
    .first();
  return row !== null;
}

/** The workflow with this id (which a repeated request finds as it is), or null where the slug is taken. */
export async function insertWorkflow(db: D1Database, row: WorkflowRow): Promise<WorkflowRow | null> {
  await db.batch([
    db
      .prepare(
        `INSERT INTO workflows (id, project_id, slug, name, revision, created_by, updated_by, created_at, updated_at)
         VALUES (?1, ?2, ?3, ?4, 1, ?5, ?5, ?6, ?6) ON CONFLICT DO NOTHING`,
      )
      .bind(row.id, row.project_id, row.slug, row.name, row.created_by, row.created_at),
    db
      .prepare(
        `INSERT INTO workflow_revisions (workflow_id, revision, steps, step_count)
         SELECT id, 1, ?2, json_array_length(?2) FROM workflows WHERE id = ?1 AND revision = 1 ON CONFLICT DO NOTHING`,
      )
      .bind(row.id, JSON.stringify(row.steps)),
  ]);
  return selectWorkflow(db, row.id);
}

/** What a change leaves of a workflow. */
export interface WorkflowUpdate {
  id: string;
  /** The change holds only where the workflow is still at this revision. */
  from_revision: number;
  slug: string;
  name: string;
  steps: WorkflowStep[];
  actor: string;
  at: number;
}

/**
 * Writes the next revision.
 *
 * @returns false where somebody else was first, or jobs name the slug that it would lose.
 * @throws what the database throws for a slug that is taken; see `isUniqueViolation`.
 */
export async function updateWorkflow(db: D1Database, change: WorkflowUpdate): Promise<boolean> {
  const revision = change.from_revision + 1;
  const [updated] = await db.batch([
    db
      .prepare(
        `UPDATE workflows AS w SET slug = ?3, name = ?4, updated_by = ?5, updated_at = ?6, revision = ?7
         WHERE w.id = ?1 AND w.revision = ?2 AND (w.slug = ?3 OR NOT EXISTS (SELECT 1 FROM ${NAMED_BY}))`,
      )
      .bind(change.id, change.from_revision, change.slug, change.name, change.actor, change.at, revision),
    db
      .prepare(
        `INSERT INTO workflow_revisions (workflow_id, revision, steps, step_count)
         SELECT id, revision, ?3, json_array_length(?3) FROM workflows WHERE id = ?1 AND revision = ?2 ON CONFLICT DO NOTHING`,
      )
      .bind(change.id, revision, JSON.stringify(change.steps)),
  ]);
  return (updated?.meta.changes ?? 0) > 0;
}

/** False where it is in use: see `usersOfWorkflow`. Its revisions stay, for its runs to be read by. */
export async function deleteWorkflow(db: D1Database, id: string): Promise<boolean> {
  const { meta } = await db
    .prepare(
      `DELETE FROM workflows AS w WHERE w.id = ? AND NOT EXISTS (SELECT 1 FROM ${NAMED_BY})
       AND NOT EXISTS (SELECT 1 FROM ${RUN_BY})`,
    )
    .bind(id)
    .run();
  return meta.changes > 0;
}

/** Who needs a workflow: slugs of jobs that start it, ids of its runs that have not ended; at most so many of each. */
export async function usersOfWorkflow(
  db: D1Database,
  id: string,
  limit: number,
): Promise<{ jobs: string[]; runs: string[] }> {
  const [jobs, runs] = await db.batch<{ name: string }>([
    db
      .prepare(`SELECT j.slug AS name FROM workflows AS w, ${NAMED_BY} AND w.id = ? ORDER BY j.slug LIMIT ?`)
      .bind(id, limit),
    db.prepare(`SELECT a.id AS name FROM workflows AS w, ${RUN_BY} AND w.id = ? ORDER BY a.id LIMIT ?`).bind(id, limit),
  ]);
  const names = (result: D1Result<{ name: string }> | undefined) => (result?.results ?? []).map((row) => row.name);
  return { jobs: names(jobs), runs: names(runs) };
}

/** A page ends early once its steps have so many characters. */
const PAGE_CHARS = 4_000_000;

/** Newest first. `next`: the id to go on before; null at the end. */
export async function listWorkflows(
  db: D1Database,
  projectId: string,
  page: { limit: number; before: string | null },
): Promise<{ rows: WorkflowRow[]; next: string | null }> {
  const before = page.before === null ? sql`` : sql`AND id < ${page.before}`;
  const results = await drizzle(db).all<Raw & { found: number; chars: number }>(
    sql`WITH candidates AS MATERIALIZED (
        SELECT * FROM workflows WHERE project_id = ${projectId} ${before} ORDER BY id DESC LIMIT ${page.limit + 1})
      SELECT * FROM (
        SELECT ${sql.raw(COLUMNS)}, count(*) OVER () AS found, sum(length(r.steps)) OVER (ORDER BY w.id DESC) AS chars
        FROM candidates AS w JOIN workflow_revisions AS r ON r.workflow_id = w.id AND r.revision = w.revision)
      WHERE chars - length(steps) < ${PAGE_CHARS} ORDER BY id DESC`,
  );
  const rows = results.slice(0, page.limit);
  const found = results[0]?.found ?? 0;
  const next = found > rows.length ? (rows.at(-1)?.id ?? null) : null;
  return { rows: rows.map(({ found: _f, chars: _c, ...row }) => toRow(row)), next };
}

/** Jobs of a project that are not deleted, by whichever of these ids and slugs they have. */
export async function jobsByRefs(
  db: D1Database,
  projectId: string,
  refs: readonly string[],
): Promise<{ id: string; slug: string }[]> {
  const { results } = await db
    .prepare(
      `SELECT id, slug FROM jobs WHERE project_id = ?1 AND deleted_at IS NULL AND id IN (SELECT value FROM json_each(?2))
       UNION SELECT id, slug FROM jobs INDEXED BY jobs_by_slug
         WHERE project_id = ?1 AND deleted_at IS NULL AND slug IN (SELECT value FROM json_each(?2))`,
    )
    .bind(projectId, JSON.stringify(refs))
    .all<{ id: string; slug: string }>();
  return results;
}
