import { sql } from "drizzle-orm";
import { drizzle } from "drizzle-orm/d1";
import type { BatchRecord } from "../domain/batch.ts";
import { firstIdAt } from "../domain/id.ts";
import type { RunStatus } from "../domain/run.ts";
import type { RunDoc } from "../domain/run-doc.ts";
import type { Env } from "../env.ts";
import type { ArchiveState } from "./batch-archives.ts";

/** Where the walk over what is old stands: jobs by number, within a job by id. */
export interface WalkPosition {
  job: number;
  after: string;
}

/** The walks: over batches, over runs that belong to none, and over runs of workflows, which belong to no job. */
export interface Walks {
  batches: WalkPosition;
  runs: WalkPosition;
  workflowRuns: WalkPosition;
}

export const WALK_BEGIN: WalkPosition = { job: 0, after: "" };

/**
 * Takes the walks until `until`, unless somebody has them.
 *
 * @returns where they stand; null where they are taken.
 */
export async function claimWalks(env: Env, now: number, until: number): Promise<Walks | null> {
  const begin: Walks = { batches: WALK_BEGIN, runs: WALK_BEGIN, workflowRuns: WALK_BEGIN };
  const rows = await drizzle(env.DB).all<{ doc: string }>(sql`INSERT INTO retention (id, claimed_until, doc)
    VALUES (1, ${until}, ${JSON.stringify(begin)})
    ON CONFLICT (id) DO UPDATE SET claimed_until = excluded.claimed_until WHERE retention.claimed_until <= ${now}
    RETURNING doc`);
  // What was written by an older deployment may know fewer walks.
  return rows[0] ? { ...begin, ...(JSON.parse(rows[0].doc) as Partial<Walks>) } : null;
}

/** Says how far they have come, and lets go of them. */
export async function releaseWalks(env: Env, walks: Walks): Promise<void> {
  await drizzle(env.DB).run(sql`UPDATE retention SET claimed_until = 0, doc = ${JSON.stringify(walks)} WHERE id = 1`);
}

/** A step of a walk: what it found, and where the next one goes on; null at the end. */
export interface WalkStep<T> {
  found: T[];
  next: WalkPosition | null;
}

/** Jobs that one step looks at: each costs a look into an index. */
const JOBS_A_STEP = 2_000;

/** A batch with what has become of its results. */
export interface OldBatch {
  batch: BatchRecord;
  archive: ArchiveState | null;
}

/**
 * Batches created before `runsBefore` that still have runs, and those created before `batchesBefore`. Unix ms. `size`: rows
 * that are looked at; most of them are done with, for as long as the batch outlives its runs.
 */
export async function walkBatches(
  env: Env,
  at: WalkPosition,
  { runsBefore, batchesBefore }: { runsBefore: number; batchesBefore: number },
  size: number,
): Promise<WalkStep<OldBatch>> {
  const isToDo = sql`(b.id < ${firstIdAt(runsBefore)} AND a.state IS NOT 'purged') OR b.id < ${firstIdAt(batchesBefore)}`;
  const rows = await drizzle(env.DB).all<{
    number: number;
    id: string;
    doc: string | null;
    state: ArchiveState | null;
  }>(sql`
    SELECT j.number, b.id, CASE WHEN ${isToDo} THEN b.doc END AS doc, a.state
    FROM jobs AS j CROSS JOIN batches AS b INDEXED BY batches_by_job
    LEFT JOIN batch_archives AS a ON a.batch_id = b.id
    WHERE j.number >= ${at.job} AND j.number < ${at.job + JOBS_A_STEP} AND b.job_id = j.id
      AND b.id > CASE WHEN j.number = ${at.job} THEN ${at.after} ELSE '' END
      AND b.id < ${firstIdAt(Math.max(runsBefore, batchesBefore))}
    ORDER BY j.number, b.id LIMIT ${size}`);
  const found = rows.flatMap(({ doc, state }) =>
    doc === null ? [] : [{ batch: JSON.parse(doc) as BatchRecord, archive: state }],
  );
  return { found, next: await nextPosition(env, at, rows.length === size ? rows.at(-1) : undefined) };
}

/** A run that has ended and belongs to no batch. */
export interface OldRun extends RunBodies {
  project_id: string;
  finished_at: number;
}

/** A run's id, and the R2 objects that hold its bodies. */
export interface RunBodies {
  id: string;
  keys: string[];
}

/** Runs without a batch that were created before `before` (Unix ms) and have ended. `size`: rows that are looked at. */
export async function walkRuns(env: Env, at: WalkPosition, before: number, size: number): Promise<WalkStep<OldRun>> {
  const rows = await drizzle(env.DB).all<{
    number: number;
    id: string;
    project_id: string;
    batch_id: string | null;
    status: RunStatus;
    doc: string | null;
  }>(sql`
    SELECT c.number, c.id, r.project_id, r.batch_id, r.status, CASE WHEN r.batch_id IS NULL THEN r.doc END AS doc
    FROM (
      SELECT j.number, j.project_id, r.id FROM jobs AS j CROSS JOIN runs AS r INDEXED BY runs_by_job
      WHERE j.number >= ${at.job} AND j.number < ${at.job + JOBS_A_STEP} AND r.job_id = j.id
        AND r.id > CASE WHEN j.number = ${at.job} THEN ${at.after} ELSE '' END AND r.id < ${firstIdAt(before)}
      ORDER BY j.number, r.id LIMIT ${size}
    ) AS c JOIN runs AS r ON r.project_id = c.project_id AND r.id = c.id
    ORDER BY c.number, c.id`);
  const found = rows.flatMap(({ id, project_id, doc }) => {
    const run = doc === null ? null : (JSON.parse(doc) as RunDoc);
    const finishedAt = run?.finished_at ?? null;
    return run === null || finishedAt === null ? [] : [{ id, project_id, finished_at: finishedAt, keys: keysOf(run) }];
  });
  return { found, next: await nextPosition(env, at, rows.length === size ? rows.at(-1) : undefined) };
}

/** Behind the last row of a full step; else at the next jobs, if there are more. */
async function nextPosition(
  env: Env,
  at: WalkPosition,
  last: { number: number; id: string } | undefined,
): Promise<WalkPosition | null> {
  if (last !== undefined) return { job: last.number, after: last.id };
  const job = at.job + JOBS_A_STEP;
  const more = await drizzle(env.DB).all(sql`SELECT 1 FROM jobs WHERE number >= ${job} LIMIT 1`);
  return more.length > 0 ? { job, after: "" } : null;
}

const keysOf = ({ payload_ref, result_ref }: RunDoc): string[] => [payload_ref, result_ref].flatMap((key) => key ?? []);

/** A workflow run with nothing left to do, and the R2 object that holds its payload. */
export interface OldWorkflowRun extends RunBodies {
  finished_at: number;
}

/** Workflow runs that were created before `before` (Unix ms) and have ended. `size`: rows that are looked at. */
export async function walkWorkflowRuns(
  env: Env,
  at: WalkPosition,
  before: number,
  size: number,
): Promise<WalkStep<OldWorkflowRun>> {
  const rows = await drizzle(env.DB).all<{ id: string; payload_ref: string | null; finished_at: number | null }>(sql`
    SELECT id, payload_ref, iif(due_at IS NULL, finished_at, NULL) AS finished_at FROM workflow_runs
    WHERE id > ${at.after} AND id < ${firstIdAt(before)} ORDER BY id LIMIT ${size}`);
  const found = rows.flatMap(({ id, payload_ref, finished_at }) =>
    finished_at === null ? [] : [{ id, finished_at, keys: payload_ref === null ? [] : [payload_ref] }],
  );
  const last = rows.length === size ? rows.at(-1) : undefined;
  return { found, next: last === undefined ? null : { job: at.job, after: last.id } };
}

/** With their steps; the results of these are their runs'. */
export async function deleteWorkflowRuns(env: Env, ids: readonly string[]): Promise<void> {
  const list = JSON.stringify(ids);
  await env.DB.batch([
    env.DB.prepare("DELETE FROM workflow_run_steps WHERE workflow_run_id IN (SELECT value FROM json_each(?))").bind(
      list,
    ),
    env.DB.prepare("DELETE FROM workflow_runs WHERE id IN (SELECT value FROM json_each(?))").bind(list),
  ]);
}

/** Some of a batch's runs. */
export async function someRunsOf(env: Env, batchId: string, limit: number): Promise<RunBodies[]> {
  const rows = await drizzle(env.DB).all<{ id: string; doc: string }>(
    sql`SELECT id, doc FROM runs INDEXED BY runs_by_batch WHERE batch_id = ${batchId} LIMIT ${limit}`,
  );
  return rows.map(({ id, doc }) => ({ id, keys: keysOf(JSON.parse(doc) as RunDoc) }));
}

export async function deleteRuns(env: Env, projectId: string, ids: readonly string[]): Promise<void> {
  await drizzle(env.DB).run(sql`DELETE FROM runs WHERE project_id = ${projectId}
    AND id IN (SELECT value FROM json_each(${JSON.stringify(ids)}))`);
}

/** @returns whether there may be more. */
export async function deleteSomeItems(env: Env, batchId: string, limit: number): Promise<boolean> {
  const result = await drizzle(env.DB).run(sql`DELETE FROM batch_items WHERE batch_id = ${batchId} AND item_index IN (
    SELECT item_index FROM batch_items WHERE batch_id = ${batchId} ORDER BY item_index LIMIT ${limit})`);
  return result.meta.changes === limit;
}

export async function deleteBatch(env: Env, projectId: string, batchId: string): Promise<void> {
  await drizzle(env.DB).run(sql`DELETE FROM batches WHERE project_id = ${projectId} AND id = ${batchId}`);
}
