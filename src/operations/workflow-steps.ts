import { coordinatorOf } from "../coordinator/client.ts";
import { ApiError } from "../domain/error.ts";
import type { Job } from "../domain/job.ts";
import { newTraceparent } from "../domain/traceparent.ts";
import type { Env } from "../env.ts";
import { logError } from "../log.ts";
import type { StepRequest, StepStart, WorkflowPorts } from "../workflows/ports.ts";
import { stepIdentity } from "../workflows/protocol.ts";
import type { Caller } from "./authorize.ts";
import { findJob } from "./jobs.ts";
import { cancelRuns } from "./run-steering.ts";
import { sha256 } from "./secrets.ts";
import { triggerRun } from "./triggers.ts";

/** The use cases that workflows are given: their runs are ordinary runs. */

const ACTOR = "system:workflow";

/** The tags by which the runs of a workflow run are found. */
const stepTags = (request: Pick<StepRequest, "workflow_run_id" | "step_ref">) => ({
  workflow_run: request.workflow_run_id,
  workflow_step: request.step_ref,
});

/** The job of a step, by its id; a deleted one's slug may have a new job. */
async function jobOf(env: Env, step: Pick<StepRequest, "project_id" | "job" | "job_id">): Promise<Job | null> {
  for (const ref of new Set([step.job_id, step.job])) {
    try {
      return await findJob(env, step.project_id, ref);
    } catch (error) {
      if (!(error instanceof ApiError && error.code === "not_found")) throw error;
    }
  }
  return null;
}

/** Triggers the run of a step. The same step asked for again is the same run. */
async function startStep(env: Env, request: StepRequest): Promise<StepStart> {
  try {
    const job = await jobOf(env, request);
    if (job === null) return refused(`job ${request.job} is deleted`);
    const tags = JSON.stringify(stepTags(request));
    const run = await triggerRun(env, job, {
      bytes: new TextEncoder().encode(`{"tags":${tags},"payload":${request.payload}}`),
      from: 0,
      others: [],
      idempotencyKey: null,
      identity: stepIdentity(request.workflow_run_id, request.step_ref),
      origin: {
        triggered_by: "workflow",
        created_by: ACTOR,
        // One trace for the whole workflow run.
        traceparent: request.trace ?? newTraceparent(await sha256(request.workflow_run_id)),
        workflow: { run_id: request.workflow_run_id, depth: request.depth },
      },
      dryRun: false,
    });
    if (run.id === null) throw new Error("a trigger was answered without a run");
    return { kind: "started", run_id: run.id };
  } catch (error) {
    if (error instanceof ApiError && error.status < 500) return refused(error.message);
    logError("step_not_started", { workflow_run_id: request.workflow_run_id }, error);
    return { kind: "unavailable" };
  }
}

const refused = (message: string): StepStart => ({
  kind: "refused",
  error: { class: "trigger", message, http_status: null },
});

async function findStepRun(env: Env, step: Omit<StepRequest, "payload" | "depth" | "trace">): Promise<string | null> {
  const job = await jobOf(env, step);
  return job && coordinatorOf(env, job.id).runOf(stepIdentity(step.workflow_run_id, step.step_ref));
}

const asSystem = (projectId: string): Caller => ({ kind: "key", projectId, scopes: ["*"], actorId: ACTOR });

async function cancelStepRuns(env: Env, projectId: string, runIds: string[]): Promise<void> {
  await cancelRuns(env, asSystem(projectId), runIds);
}

export const workflowPorts: WorkflowPorts = { startStep, findStepRun, cancelRuns: cancelStepRuns };
