import type { ErrorDetail } from "./error.ts";

/**
 * The workflow: a graph of steps, each of them a run of a job (contract 7). Field names are the contract's own, in
 * snake_case, because this document is what is stored as a revision and named in validation errors.
 */

export const ON_FAILURE = ["fail_workflow", "skip_dependents", "continue"] as const;
/**
 * What a step's failure means: `fail_workflow` nothing new starts and the workflow run fails; `skip_dependents` whatever
 * depends on it, however far, is skipped; `continue` its dependents run as though it had succeeded, with a null result.
 */
export type OnFailure = (typeof ON_FAILURE)[number];

export interface WorkflowStep {
  step_ref: string;
  /** Id or slug, as given. */
  job: string;
  /** What `job` meant when the workflow was saved. A deleted job is looked for by its slug again. */
  job_id: string;
  depends_on: string[];
  /** With templates in its strings; null: the workflow run's payload as it was sent. */
  payload: unknown;
  /** CEL over `payload` and `steps`; null: always. */
  condition: string | null;
  on_failure: OnFailure;
  sleep_secs: number;
}

export const MAX_STEPS = 1_000;
/** A completed run starts a workflow, whose runs start workflows: no further than this. */
export const MAX_CHAIN_DEPTH = 10;

/** A workflow run whose instance has not begun so long after it was made is asked after. */
export const BEGINS_WITHIN_MS = 10_000;

export const STEP_STATUSES = ["pending", "sleeping", "running", "completed", "failed", "skipped", "canceled"] as const;
export type StepStatus = (typeof STEP_STATUSES)[number];

const UNENDED: readonly StepStatus[] = ["pending", "sleeping", "running"];
export const hasStepEnded = (status: StepStatus): boolean => !UNENDED.includes(status);

/** Guards every write of a step: a later state is never overwritten by an earlier one. */
export const stepVersion = (status: StepStatus): number => (hasStepEnded(status) ? 3 : UNENDED.indexOf(status));

/**
 * Why a step was skipped. Dependents of a step that was skipped for its condition still run, unless all that they depend on
 * was skipped; those of one that was skipped for a failure are skipped too.
 */
export type SkipReason = "condition" | "dependencies_skipped" | "dependency_failed" | "workflow_failed";
export const SKIP_REASONS = [
  "condition",
  "dependencies_skipped",
  "dependency_failed",
  "workflow_failed",
] as const satisfies readonly SkipReason[];

/** Why a step failed: its run's own error class, or one of ours where no run was made or it never ran to an end. */
export interface StepError {
  class: string;
  message: string;
  http_status: number | null;
}

/** Where a step stands. Times are Unix milliseconds. */
export interface StepRecord {
  index: number;
  step_ref: string;
  status: StepStatus;
  skip_reason: SkipReason | null;
  run_id: string | null;
  /** When a sleeping step is due. */
  due_at: number | null;
  /** Raw JSON; null where there is none, or where `result_ref` names the R2 object that holds it. */
  result: string | null;
  result_ref: string | null;
  /** Characters of an inline result, bytes of one in R2. */
  result_size: number;
  error: StepError | null;
}

export const WORKFLOW_RUN_STATUSES = ["queued", "running", "completed", "failed", "canceled"] as const;
export type WorkflowRunStatus = (typeof WORKFLOW_RUN_STATUSES)[number];

export const hasRunEnded = (status: WorkflowRunStatus): boolean => status !== "queued" && status !== "running";

/** One execution of a workflow. Times are Unix milliseconds. */
export interface WorkflowRunRecord {
  id: string;
  project_id: string;
  workflow_id: string;
  /** The state of the workflow that it runs by. */
  revision: number;
  status: WorkflowRunStatus;
  /** Workflows and runs before it in its chain. */
  depth: number;
  /** The completed run that started it, or null. */
  source_run_id: string | null;
  created_by: string;
  /** Raw JSON; null where `payload_ref` names the R2 object that holds it. */
  payload: string | null;
  payload_ref: string | null;
  /** Why it failed where no step did. */
  error: { code: string; message: string } | null;
  created_at: number;
  started_at: number | null;
  finished_at: number | null;
}

/** What a problem with a step is called in errors: `steps[3].depends_on`. */
export const stepProblem = (index: number, field: string | null, message: string): ErrorDetail => ({
  path: field === null ? `steps[${index}]` : `steps[${index}].${field}`,
  message,
});
