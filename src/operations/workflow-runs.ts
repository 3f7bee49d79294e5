import { CONNECTIONS, mapBounded } from "../domain/bounded.ts";
import { ApiError, type ErrorDetail, notFound } from "../domain/error.ts";
import { isUuid, timeOf } from "../domain/id.ts";
import type { Trace } from "../domain/traceparent.ts";
import { BEGINS_WITHIN_MS, stepProblem } from "../domain/workflow.ts";
import type { Env } from "../env.ts";
import { logError } from "../log.ts";
import type { Page } from "../store/scan.ts";
import * as lists from "../store/workflow-run-lists.ts";
import * as store from "../store/workflow-runs.ts";
import { createInstance, reviveInstance, wakeInstance } from "../workflows/client.ts";
import { bodyOf, keepPayload } from "../workflows/run-payload.ts";
import { type Caller, projectScope } from "./authorize.ts";
import { workflowPorts } from "./workflow-steps.ts";
import { jobsOf, type Workflow } from "./workflows.ts";

export type ShownWorkflowRun = lists.ShownWorkflowRun;
export type WorkflowRunFilter = lists.WorkflowRunFilter;

/**
 * Starts a workflow. It is durable once this is answered, whether or not its instance could be created at once.
 *
 * @param id of the new run; a repeat with the same id finds what the first one made.
 * @param payload raw JSON.
 * @throws ApiError `conflict` where a step's job is no more, or the workflow was changed or deleted at the same time.
 */
export async function triggerWorkflow(
  env: Env,
  caller: Caller,
  workflow: Workflow,
  payload: string,
  id: string,
  trace: Trace,
): Promise<ShownWorkflowRun> {
  await refuseMissingJobs(env, workflow);
  const { text, ref } = await keepPayload(env, workflow.project_id, id, payload);
  const at = timeOf(id);
  await store.insertWorkflowRun(env.DB, {
    ...{ id, workflow_id: workflow.id, revision: workflow.revision, depth: 1, created_by: caller.actorId },
    ...{ payload: text, payload_ref: ref, created_at: at, due_at: Date.now() + BEGINS_WITHIN_MS, trace },
  });
  const run = await store.selectWorkflowRun(env.DB, id);
  if (!run) throw new ApiError("conflict", "the workflow was changed or deleted at the same time; try again");
  try {
    await createInstance(env, id);
  } catch (error) {
    complain("workflow_run_not_begun", id, error);
  }
  return shown(env, run);
}

/** What could not be done now: the sweeper does it. */
const complain = (event: string, id: string, error: unknown): void => logError(event, { workflow_run_id: id }, error);

/** Better nothing than half of it. */
async function refuseMissingJobs(env: Env, workflow: Workflow): Promise<void> {
  const jobOf = await jobsOf(env, workflow.project_id, workflow.steps);
  const details = workflow.steps.flatMap((step, i): ErrorDetail[] =>
    jobOf(step.job_id) || jobOf(step.job) ? [] : [stepProblem(i, "job", `job ${step.job} is deleted`)],
  );
  if (details.length === 0) return;
  throw new ApiError("conflict", `the workflow cannot run: ${details[0]?.path}: ${details[0]?.message}`, { details });
}

/** @throws ApiError `not_found`. */
async function findRun(env: Env, caller: Caller, id: string, project?: string): Promise<store.WorkflowRunRow> {
  const scope = projectScope(caller, project);
  const run = isUuid(id) ? await store.selectWorkflowRun(env.DB, id) : null;
  if (!run || (scope !== null && run.project_id !== scope)) throw notFound("workflow run");
  return run;
}

/** @throws ApiError `not_found`. */
export async function getWorkflowRun(
  env: Env,
  caller: Caller,
  id: string,
  project?: string,
): Promise<ShownWorkflowRun> {
  return shown(env, await findRun(env, caller, id, project));
}

/** Bytes of results from R2 that one answer holds; the runs of the steps have the others. */
const SHOWN_BYTES = 8 * 1024 * 1024;

/** With what is kept in R2, as far as it fits an answer. */
async function shown(env: Env, run: store.WorkflowRunRow): Promise<ShownWorkflowRun> {
  const whole = await lists.showWorkflowRun(env, run);
  let bytes = 0;
  const steps = [];
  for (const step of whole.steps) {
    const result = bytes < SHOWN_BYTES ? await bodyOf(env, step.result, step.result_ref) : step.result;
    if (step.result_ref !== null) bytes += result?.length ?? 0;
    steps.push({ ...step, result });
  }
  return { run: { ...run, payload: await bodyOf(env, run.payload, run.payload_ref) }, steps };
}

/** A page of workflow runs, newest first. */
export const pageOfWorkflowRuns = (
  env: Env,
  filter: WorkflowRunFilter,
  after: string | null,
  limit: number,
): Promise<Page<ShownWorkflowRun>> => lists.listWorkflowRuns(env, filter, after, limit);

/**
 * Cancels a workflow run: it is `canceled` at once, nothing new begins, and the runs of its steps are canceled.
 *
 * @throws ApiError `not_found`; `conflict` once it has ended.
 */
export async function cancelWorkflowRun(
  env: Env,
  caller: Caller,
  id: string,
  now: number,
  project?: string,
): Promise<ShownWorkflowRun> {
  const run = await findRun(env, caller, id, project);
  if (!(await store.markCanceled(env.DB, id, now))) {
    const { status } = await findRun(env, caller, id, project);
    throw new ApiError("conflict", `the workflow run is already ${status}`);
  }
  const runIds = await store.selectStepRuns(env.DB, id);
  try {
    if (runIds.length > 0) await workflowPorts.cancelRuns(env, run.project_id, runIds);
    // What it is just beginning it clears away by itself.
    await wakeInstance(env, id);
  } catch (error) {
    complain("workflow_run_not_cleared", id, error);
  }
  return getWorkflowRun(env, caller, id, project);
}

/** Workflow runs asked after in one minute. */
const OVERDUE_PER_MINUTE = 500;
/** One that is overdue is asked after no more often than this. */
const PUT_OFF_MS = 60_000;

/** The safety net: instances that should have moved and did not are woken, created or started anew. */
export async function sweepWorkflowRuns(env: Env, now: number): Promise<void> {
  const overdue = await store.listOverdue(env.DB, now, OVERDUE_PER_MINUTE);
  if (overdue.length === 0) return;
  await store.putOff(
    env.DB,
    overdue.map(({ id }) => id),
    now + PUT_OFF_MS,
  );
  await mapBounded(overdue, CONNECTIONS, ({ id }) =>
    reviveInstance(env, id).catch((error) => complain("workflow_run_not_revived", id, error)),
  );
}
