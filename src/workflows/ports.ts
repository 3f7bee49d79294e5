import type { Trace } from "../domain/traceparent.ts";
import type { StepError } from "../domain/workflow.ts";
import type { Env } from "../env.ts";

/** A run that a step asks for. */
export interface StepRequest {
  project_id: string;
  workflow_run_id: string;
  /** The workflow run's place in its chain; its runs carry it on. */
  depth: number;
  trace: Trace | null;
  step_ref: string;
  job: string;
  job_id: string;
  /** Raw JSON. */
  payload: string;
}

export type StepStart =
  | { kind: "started"; run_id: string }
  /** It would be refused again: the step fails. */
  | { kind: "refused"; error: StepError }
  /** Later, perhaps. */
  | { kind: "unavailable" };

/** What driving a workflow needs of the rest: use cases, given by `index`. */
export interface WorkflowPorts {
  /** Asked again for the same step it gives the same run. */
  startStep(env: Env, request: StepRequest): Promise<StepStart>;
  /** The run that a step was given before, though nobody wrote it down; null where there is none. */
  findStepRun(env: Env, request: Omit<StepRequest, "payload" | "depth" | "trace">): Promise<string | null>;
  /** Runs that have ended are let be. */
  cancelRuns(env: Env, projectId: string, runIds: string[]): Promise<void>;
}
