import { MAX_BODY_BYTES } from "../domain/run.ts";
import type { RunDoc } from "../domain/run-doc.ts";
import type { Trace } from "../domain/traceparent.ts";
import {
  hasStepEnded,
  type StepRecord,
  stepVersion,
  type WorkflowRunRecord,
  type WorkflowRunStatus,
  type WorkflowStep,
} from "../domain/workflow.ts";

/** Workflow runs and where their steps stand. Every write is guarded: any order and any number of repeats end alike. */

/** A run of a workflow with what only its own driving needs. */
export interface WorkflowRunRow extends WorkflowRunRecord {
  /** Of the job whose completed run started it. */
  mapping: Record<string, string> | null;
  /** That the runs of its steps belong to; null in those of before it was kept. */
  trace: Trace | null;
}

type RawRun = Omit<WorkflowRunRow, "mapping" | "error"> & { mapping: string | null; error: string | null };

export const RUN_COLUMNS = `w.id, w.project_id, w.workflow_id, w.revision, w.status, w.depth, w.source_run_id, w.mapping, w.trace,
  w.created_by, w.payload, w.payload_ref, w.error, w.created_at, w.started_at, w.finished_at`;

export const toRun = (row: RawRun): WorkflowRunRow => ({
  ...row,
  mapping: row.mapping === null ? null : (JSON.parse(row.mapping) as Record<string, string>),
  error: row.error === null ? null : (JSON.parse(row.error) as WorkflowRunRow["error"]),
});

type RawStep = Omit<StepRecord, "error" | "step_ref"> & { error: string | null };

export const STEP_COLUMNS =
  's.step_index AS "index", s.status, s.skip_reason, s.run_id, s.due_at, s.result_ref, s.result_size, s.error';

/** Where a step stands that is not pending any more, by its index alone. */
export type StepRow = Omit<StepRecord, "step_ref">;

export const toStep = (row: RawStep): StepRow => ({
  ...row,
  error: row.error === null ? null : (JSON.parse(row.error) as StepRecord["error"]),
});

const IS_ALIVE = "w.status IN ('queued', 'running')";

/** A run that somebody asked for. A repeat with the same id changes nothing; nor does one of a workflow that has changed. */
export async function insertWorkflowRun(
  db: D1Database,
  run: Pick<WorkflowRunRow, "id" | "depth" | "created_by" | "payload" | "payload_ref" | "created_at" | "trace"> & {
    workflow_id: string;
    revision: number;
    due_at: number;
  },
): Promise<void> {
  await db
    .prepare(
      `INSERT INTO workflow_runs
         (id, project_id, workflow_id, revision, status, depth, created_by, payload, payload_ref, created_at, due_at, trace)
       SELECT ?1, project_id, id, ?3, 'queued', ?4, ?5, ?6, ?7, ?8, ?9, ?10 FROM workflows WHERE id = ?2 AND revision = ?3
       ON CONFLICT (id) DO NOTHING`,
    )
    .bind(
      ...[run.id, run.workflow_id, run.revision, run.depth, run.created_by, run.payload, run.payload_ref],
      ...[run.created_at, run.due_at, run.trace],
    )
    .run();
}

export async function selectWorkflowRun(db: D1Database, id: string): Promise<WorkflowRunRow | null> {
  const row = await db.prepare(`SELECT ${RUN_COLUMNS} FROM workflow_runs AS w WHERE w.id = ?`).bind(id).first<RawRun>();
  return row && toRun(row);
}

export async function selectSteps(db: D1Database, workflowId: string, revision: number): Promise<WorkflowStep[]> {
  const row = await db
    .prepare("SELECT steps FROM workflow_revisions WHERE workflow_id = ? AND revision = ?")
    .bind(workflowId, revision)
    .first<{ steps: string }>();
  if (row === null) throw new Error(`revision ${revision} of the workflow ${workflowId} is gone`);
  return JSON.parse(row.steps) as WorkflowStep[];
}

/** Ends taken over in one look. */
const SETTLED_A_LOOK = 200;

/** Takes over what the runs of its steps have come to, where the copy shows them ended: no result leaves the database. */
const SETTLE_STEPS = `UPDATE workflow_run_steps AS s SET ver = 3,
    status = iif(r.status = 'completed', 'completed', 'failed'),
    result = iif(r.status = 'completed', r.doc ->> '$.result', NULL),
    result_ref = iif(r.status = 'completed', r.doc ->> '$.result_ref', NULL),
    result_size = iif(r.status <> 'completed', 0,
      coalesce(length(CAST(r.doc ->> '$.result' AS BLOB)), iif(r.doc ->> '$.result_ref' IS NULL, 0, ${MAX_BODY_BYTES}))),
    error = CASE WHEN r.status = 'completed' THEN NULL
      WHEN r.status IN ('canceled', 'expired') OR r.doc -> '$.error' IS NULL
        THEN json_object('class', r.status, 'message', 'the run is ' || r.status, 'http_status', NULL)
      ELSE r.doc -> '$.error' END
  FROM (SELECT b.step_index, r.status, r.doc
    FROM workflow_runs AS w CROSS JOIN workflow_run_steps AS b CROSS JOIN runs AS r
    WHERE w.id = ?1 AND ${IS_ALIVE} AND b.workflow_run_id = ?1 AND b.status = 'running'
      AND r.project_id = w.project_id AND r.id = b.run_id
      AND r.status IN ('completed', 'failed', 'timed_out', 'crashed', 'canceled', 'expired')
    LIMIT ${SETTLED_A_LOOK}) AS r
  WHERE s.workflow_run_id = ?1 AND s.step_index = r.step_index AND s.status = 'running'`;

/** A run and where its steps stand, after taking over what has ended. Results are left out. */
export async function takeStock(
  db: D1Database,
  id: string,
): Promise<{ run: WorkflowRunRow; steps: StepRow[]; settled: number; mayHaveMore: boolean } | null> {
  const [settled, runs, steps] = await db.batch([
    db.prepare(SETTLE_STEPS).bind(id),
    db.prepare(`SELECT ${RUN_COLUMNS} FROM workflow_runs AS w WHERE w.id = ?`).bind(id),
    db
      .prepare(`SELECT ${STEP_COLUMNS}, NULL AS result FROM workflow_run_steps AS s WHERE s.workflow_run_id = ?`)
      .bind(id),
  ]);
  const [run] = (runs as D1Result<RawRun>).results;
  if (!run) return null;
  const changes = settled?.meta.changes ?? 0;
  return {
    run: toRun(run),
    steps: (steps as D1Result<RawStep>).results.map(toStep),
    settled: changes,
    mayHaveMore: changes >= SETTLED_A_LOOK,
  };
}

/** Some steps with what they left. */
export async function selectStepResults(db: D1Database, id: string, indexes: readonly number[]): Promise<StepRow[]> {
  if (indexes.length === 0) return [];
  const { results } = await db
    .prepare(
      `SELECT ${STEP_COLUMNS}, s.result FROM json_each(?2) AS asked CROSS JOIN workflow_run_steps AS s
       WHERE s.workflow_run_id = ?1 AND s.step_index = asked.value`,
    )
    .bind(id, JSON.stringify(indexes))
    .all<RawStep>();
  return results.map(toStep);
}

/** Where a step that never had a result goes to. */
export type StepMove = Pick<StepRow, "index" | "status"> &
  Partial<Pick<StepRow, "skip_reason" | "run_id" | "due_at" | "error">>;

const UPSERT_STEPS = `INSERT INTO workflow_run_steps
    (workflow_run_id, step_index, status, ver, skip_reason, run_id, due_at, error)
  SELECT ?1, value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6
  FROM json_each(?2) WHERE EXISTS (SELECT 1 FROM workflow_runs AS w WHERE w.id = ?1 AND w.status IN (?3, ?4))
  ON CONFLICT (workflow_run_id, step_index) DO UPDATE SET status = excluded.status, ver = excluded.ver,
    skip_reason = excluded.skip_reason, run_id = coalesce(excluded.run_id, run_id), due_at = excluded.due_at,
    error = excluded.error
  WHERE excluded.ver > workflow_run_steps.ver`;

const stepsOf = (moves: readonly StepMove[]): string =>
  JSON.stringify(
    moves.map((m) => [
      ...[m.index, m.status, stepVersion(m.status), m.skip_reason ?? null, m.run_id ?? null, m.due_at ?? null],
      m.error ? JSON.stringify(m.error) : null,
    ]),
  );

/** What one look at a run has come to. */
export interface Progress {
  moves: readonly StepMove[];
  /** Unix milliseconds. */
  at: number;
  /** When the sweeper is to ask after it. */
  due_at: number;
  /** Set where the run ends. */
  end?: { status: "completed" | "failed"; error?: { code: string; message: string } };
}

/**
 * Writes progress, all or nothing.
 *
 * @returns whether the run is still alive (else it has ended meanwhile, or was canceled), and the runs that its steps have
 *   now: one that a move names and that is not among them came too late.
 */
export async function saveProgress(
  db: D1Database,
  id: string,
  { moves, at, due_at, end }: Progress,
): Promise<{ isAlive: boolean; kept: ReadonlySet<string> }> {
  const started = moves.flatMap((move) => move.run_id ?? []);
  const [, updated, kept] = await db.batch<{ run_id: string }>([
    db.prepare(UPSERT_STEPS).bind(id, stepsOf(moves), "queued", "running"),
    db
      .prepare(
        `UPDATE workflow_runs AS w SET status = coalesce(?2, 'running'), started_at = coalesce(started_at, ?3),
           finished_at = iif(?2 IS NULL, NULL, ?3), error = ?4, due_at = iif(?2 IS NULL, ?5, NULL)
         WHERE w.id = ?1 AND ${IS_ALIVE}`,
      )
      .bind(id, end?.status ?? null, at, end?.error ? JSON.stringify(end.error) : null, due_at),
    db
      .prepare(
        `SELECT run_id FROM workflow_run_steps
         WHERE workflow_run_id = ? AND run_id IN (SELECT value FROM json_each(?)) AND status <> 'skipped'`,
      )
      .bind(id, JSON.stringify(started)),
  ]);
  return {
    isAlive: (updated?.meta.changes ?? 0) > 0,
    kept: new Set((kept?.results ?? []).map((row) => row.run_id)),
  };
}

/** What the completed run that started a workflow has left. */
export interface SourceRun {
  payload: string | null;
  payload_ref: string | null;
  result: string | null;
  result_ref: string | null;
  metadata: unknown;
  /** Its plain facts, as a mapping's `run` reads them. */
  run: Record<string, unknown>;
}

export async function selectSourceRun(db: D1Database, projectId: string, id: string): Promise<SourceRun | null> {
  const row = await db
    .prepare(
      "SELECT job_id, batch_id, batch_index, status, triggered_by, concurrency_key, tags, payload, doc FROM runs WHERE project_id = ? AND id = ?",
    )
    .bind(projectId, id)
    .first<{ payload: string | null; tags: string | null; doc: string } & Record<string, unknown>>();
  if (row === null) return null;
  const { payload, tags, doc, ...columns } = row;
  const { attempts: _attempts, ...rest } = JSON.parse(doc) as RunDoc;
  const { payload_ref = null, result = null, result_ref = null, metadata = {}, ...facts } = rest;
  const plain = {
    id,
    project_id: projectId,
    ...columns,
    ...facts,
    tags: tags === null ? {} : (JSON.parse(tags) as unknown),
  };
  return { payload, payload_ref, result, result_ref, metadata, run: withWireTimes(plain) };
}

/** Times as the API shows them. */
const withWireTimes = (facts: Record<string, unknown>): Record<string, unknown> =>
  Object.fromEntries(
    Object.entries(facts).map(([name, value]) => [
      name,
      name.endsWith("_at") && typeof value === "number" ? new Date(value).toISOString() : value,
    ]),
  );

/** The payload that was made for a run which another run's end has started. */
export async function savePayload(
  db: D1Database,
  id: string,
  payload: { text: string | null; ref: string | null },
): Promise<void> {
  await db
    .prepare("UPDATE workflow_runs SET payload = ?2, payload_ref = ?3 WHERE id = ?1 AND payload IS NULL")
    .bind(id, payload.text, payload.ref)
    .run();
}

/** Cancels a run that has not ended; false where it has. What it has begun is still to be cleared away. */
export async function markCanceled(db: D1Database, id: string, at: number): Promise<boolean> {
  const { meta } = await db
    .prepare(
      `UPDATE workflow_runs AS w SET status = 'canceled', finished_at = ?2, due_at = ?2 WHERE w.id = ?1 AND ${IS_ALIVE}`,
    )
    .bind(id, at)
    .run();
  return meta.changes > 0;
}

/** Writes what became of a canceled run's steps; nothing is left to do then. */
export async function saveCanceled(db: D1Database, id: string, moves: readonly StepMove[]): Promise<void> {
  await db.batch([
    db.prepare(UPSERT_STEPS).bind(id, stepsOf(moves), "canceled", "canceled"),
    db.prepare("UPDATE workflow_runs SET due_at = NULL WHERE id = ? AND status = 'canceled'").bind(id),
  ]);
}

/** Runs of steps that were triggered and have not ended, as far as is known. */
export async function selectStepRuns(db: D1Database, id: string): Promise<string[]> {
  const { results } = await db
    .prepare(
      "SELECT run_id FROM workflow_run_steps WHERE workflow_run_id = ? AND status = 'running' AND run_id IS NOT NULL",
    )
    .bind(id)
    .all<{ run_id: string }>();
  return results.map((row) => row.run_id);
}

/** Runs that should have moved by now; the longest overdue first. */
export async function listOverdue(db: D1Database, now: number, limit: number): Promise<{ id: string }[]> {
  const { results } = await db
    .prepare("SELECT id FROM workflow_runs WHERE due_at <= ? ORDER BY due_at LIMIT ?")
    .bind(now, limit)
    .all<{ id: string }>();
  return results;
}

/** The sweeper has asked after them: not again before this time. */
export async function putOff(db: D1Database, ids: readonly string[], until: number): Promise<void> {
  await db
    .prepare(
      "UPDATE workflow_runs SET due_at = ?2 WHERE id IN (SELECT value FROM json_each(?1)) AND due_at IS NOT NULL",
    )
    .bind(JSON.stringify(ids), until)
    .run();
}

/** All steps of a run in their order, those included that nothing has happened to yet. */
export function wholeSteps(refs: readonly string[], rows: readonly StepRow[], status: WorkflowRunStatus): StepRecord[] {
  const byIndex = new Map(rows.map((row) => [row.index, row]));
  return refs.map((step_ref, index): StepRecord => {
    const row = byIndex.get(index) ?? {
      ...{ index, status: "pending" as const, skip_reason: null, run_id: null, due_at: null },
      ...{ result: null, result_ref: null, result_size: 0, error: null },
    };
    return { ...row, step_ref, ...(hasStepEnded(row.status) ? {} : unendedIn(status)) };
  });
}

/** How a step shows that has not ended though its workflow run has: it is being cleared away, or never came to begin. */
function unendedIn(status: WorkflowRunStatus): Partial<StepRecord> {
  if (status === "canceled") return { status: "canceled" };
  return status === "failed" ? { status: "skipped", skip_reason: "workflow_failed" } : {};
}
