import { and, type SQL, sql } from "drizzle-orm";
import { drizzle } from "drizzle-orm/d1";
import type { StepRecord, WorkflowRunStatus } from "../domain/workflow.ts";
import type { Env } from "../env.ts";
import { type Page, type ScanPlan, scan } from "./scan.ts";
import {
  RUN_COLUMNS,
  STEP_COLUMNS,
  type StepRow,
  toRun,
  toStep,
  type WorkflowRunRow,
  wholeSteps,
} from "./workflow-runs.ts";

/** The runs of workflows as lists and single reads show them. */

export interface WorkflowRunFilter {
  project_id: string;
  workflow_id?: string;
  /** Any of these; empty or absent: every status. */
  statuses?: readonly WorkflowRunStatus[];
}

export interface ShownWorkflowRun {
  run: WorkflowRunRow;
  steps: StepRecord[];
}

/** Results beyond so many characters are left out of lists. */
const LISTED_RESULT_CHARS = 4_096;
/** Inline results beyond so many characters together are left out of a run's answer. */
const SHOWN_CHARS = 8_000_000;
/** A page ends early once it has so many steps. */
const PAGE_STEPS = 2_000;

type RawRun = Parameters<typeof toRun>[0];
type RawStep = Parameters<typeof toStep>[0];

/** A run with all of its steps and their results, as far as they fit an answer. */
export async function showWorkflowRun(env: Env, run: WorkflowRunRow): Promise<ShownWorkflowRun> {
  const { results } = await env.DB.prepare(
    `SELECT ${STEP_COLUMNS},
       iif(sum(coalesce(length(s.result), 0)) OVER (ORDER BY s.step_index) <= ${SHOWN_CHARS}, s.result, NULL) AS result
     FROM workflow_run_steps AS s WHERE s.workflow_run_id = ?`,
  )
    .bind(run.id)
    .all<RawStep>();
  const [refs] = await stepRefs(env, [run]);
  return { run, steps: wholeSteps(refs ?? [], results.map(toStep), run.status) };
}

/** A page of runs, newest first; the key of a page is an id. It may be short and still have a successor. */
export async function listWorkflowRuns(
  env: Env,
  filter: WorkflowRunFilter,
  after: string | null,
  limit: number,
): Promise<Page<ShownWorkflowRun>> {
  const page = await scan<RawRun & { step_count: number | null }, string>(env, plan(filter), after, limit);
  let total = 0;
  const fits = page.rows.filter(({ step_count }, i) => {
    total += step_count ?? 0;
    return i === 0 || total <= PAGE_STEPS;
  });
  const runs = fits.map(({ step_count: _, ...row }) => toRun(row));
  const [refs, steps] = await Promise.all([stepRefs(env, runs), listedSteps(env, runs)]);
  const rows = runs.map((run, i) => ({
    run,
    steps: wholeSteps(refs[i] ?? [], steps.get(run.id) ?? [], run.status),
  }));
  const isCut = fits.length < page.rows.length;
  return { rows, next: isCut ? (runs.at(-1)?.id ?? null) : page.next };
}

function plan({ project_id: project, workflow_id: workflow, statuses }: WorkflowRunFilter): ScanPlan<string> {
  const source =
    workflow === undefined
      ? sql`workflow_runs INDEXED BY workflow_runs_by_project WHERE project_id = ${project}`
      : sql`workflow_runs INDEXED BY workflow_runs_by_workflow WHERE workflow_id = ${workflow}`;
  const hit: SQL | undefined = and(
    workflow === undefined ? undefined : sql`project_id = ${project}`,
    statuses?.length ? sql`status IN (SELECT value FROM json_each(${JSON.stringify(statuses)}))` : undefined,
  );
  return {
    order: "desc",
    candidates: (after, size) =>
      sql`SELECT id AS key, id, (${hit ?? sql`1`}) AS hit FROM ${source}
        ${after === null ? sql`` : sql`AND id < ${after}`} ORDER BY id DESC LIMIT ${size}`,
    rows: sql`SELECT found.key AS scan_key, found.hit AS scan_hit, ${sql.raw(RUN_COLUMNS)}, v.step_count
      FROM found LEFT JOIN workflow_runs AS w ON found.hit AND w.id = found.id
      LEFT JOIN workflow_revisions AS v ON v.workflow_id = w.workflow_id AND v.revision = w.revision`,
  };
}

/** The names of each run's steps. */
async function stepRefs(env: Env, runs: readonly WorkflowRunRow[]): Promise<string[][]> {
  const nameOf = (r: { workflow_id: string | null; revision: number | null }) => `${r.workflow_id}/${r.revision}`;
  const asked = new Map(runs.map((run) => [nameOf(run), [run.workflow_id, run.revision]]));
  const rows = await drizzle(env.DB).all<{ workflow_id: string; revision: number; step_ref: string }>(
    sql`SELECT v.workflow_id, v.revision, step.value ->> '$.step_ref' AS step_ref
      FROM json_each(${JSON.stringify([...asked.values()])}) AS asked
      CROSS JOIN workflow_revisions AS v CROSS JOIN json_each(v.steps) AS step
      WHERE v.workflow_id = asked.value ->> 0 AND v.revision = asked.value ->> 1
      ORDER BY v.workflow_id, v.revision, step.key`,
  );
  const refs = Map.groupBy(rows, nameOf);
  return runs.map((run) => (refs.get(nameOf(run)) ?? []).map((row) => row.step_ref));
}

async function listedSteps(env: Env, runs: readonly WorkflowRunRow[]): Promise<Map<string, StepRow[]>> {
  const ids = JSON.stringify(runs.map((run) => run.id));
  const rows = await drizzle(env.DB).all<RawStep & { workflow_run_id: string }>(
    sql`SELECT s.workflow_run_id, ${sql.raw(STEP_COLUMNS)},
        iif(length(s.result) <= ${LISTED_RESULT_CHARS}, s.result, NULL) AS result
      FROM json_each(${ids}) AS asked CROSS JOIN workflow_run_steps AS s WHERE s.workflow_run_id = asked.value`,
  );
  const steps = new Map<string, StepRow[]>();
  for (const { workflow_run_id, ...row } of rows) {
    const theirs = steps.get(workflow_run_id) ?? [];
    theirs.push(toStep(row));
    steps.set(workflow_run_id, theirs);
  }
  return steps;
}
