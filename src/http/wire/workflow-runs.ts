import { z } from "@hono/zod-openapi";
import { invalid } from "../../domain/error.ts";
import { MAX_PAYLOAD_DEPTH } from "../../domain/item.ts";
import { textOf } from "../../domain/json-cut.ts";
import { strictObject } from "../../domain/strict.ts";
import { SKIP_REASONS, STEP_STATUSES, WORKFLOW_RUN_STATUSES } from "../../domain/workflow.ts";
import type { ShownWorkflowRun } from "../../operations/workflow-runs.ts";
import { instant, iso, isoOrNull, listOf, listParams, projectParam, strictQuery, uuid } from "./common.ts";
import { queryAnyOf, queryUuid } from "./query.ts";
import { rawOrNull } from "./raw-json.ts";
import { membersOf } from "./triggers.ts";

/** Runs of workflows on the wire (contract 7). */

const status = z.enum(WORKFLOW_RUN_STATUSES).openapi("WorkflowRunStatus");

const step = z
  .object({
    step_ref: z.string(),
    status: z.enum(STEP_STATUSES),
    skip_reason: z
      .enum(SKIP_REASONS)
      .nullable()
      .openapi({
        description:
          "`condition`: its own is false. `dependencies_skipped`: all that it depends on. `dependency_failed`: something " +
          "before it, with `skip_dependents`. `workflow_failed`: something, with `fail_workflow`.",
      }),
    run_id: uuid().nullable(),
    result: z.unknown().openapi({
      description:
        "What its run answered; its run has it too. In lists null beyond 4 KiB, and where many are large together.",
    }),
    error: z.object({ class: z.string(), message: z.string(), http_status: z.int().nullable() }).nullable().openapi({
      description:
        "Of its run; or `condition`, `payload` or `trigger` where no run was made, `canceled` or `expired` where it never ended.",
    }),
  })
  .openapi("WorkflowRunStep");

export const workflowRun = z
  .object({
    id: uuid(),
    project_id: uuid(),
    workflow_id: uuid()
      .nullable()
      .openapi({ description: "Null where a completed run named a workflow that is no more." }),
    status,
    payload: z.unknown().openapi({ description: "In lists null beyond 32 KiB." }),
    steps: z.array(step),
    error: z
      .object({ code: z.string(), message: z.string() })
      .nullable()
      .openapi({ description: "Why it failed where no step did." }),
    source_run_id: uuid().nullable().openapi({ description: "The completed run that started it." }),
    depth: z.int().openapi({ description: "Its place in a chain of workflows that start each other, from 1 to 10." }),
    created_by: z.string(),
    created_at: instant(),
    started_at: instant().nullable(),
    finished_at: instant().nullable(),
  })
  .openapi("WorkflowRun");

export const workflowRunList = listOf(workflowRun).openapi("WorkflowRunList");

export const workflowRunsQuery = strictQuery({
  ...listParams,
  workflow_id: queryUuid("Of this workflow.").optional(),
  status: queryAnyOf(WORKFLOW_RUN_STATUSES, "Of any of these statuses.").optional(),
});

export const triggerWorkflowBody = strictObject({
  payload: z.unknown().optional().openapi({ description: "Any JSON; `{}` when absent." }),
  project_id: projectParam,
}).openapi("TriggerWorkflow");

/**
 * The payload of a trigger as it was sent, byte for byte; the body has been checked.
 *
 * @throws ApiError `bad_request` for a field that stands twice; `validation_failed` for one that is too deep.
 */
export function payloadOf(body: string): string {
  if (body.trim() === "") return "{}";
  const bytes = new TextEncoder().encode(body);
  const payload = membersOf(bytes).get("payload");
  if (!payload) return "{}";
  if (payload.depth > MAX_PAYLOAD_DEPTH) {
    throw invalid([{ path: "payload", message: `is nested deeper than ${MAX_PAYLOAD_DEPTH} levels` }]);
  }
  return textOf(bytes, payload.from, payload.to);
}

/** A workflow run; raw JSON stands in it. */
export const workflowRunToWire = ({ run, steps }: ShownWorkflowRun): z.infer<typeof workflowRun> => ({
  id: run.id,
  project_id: run.project_id,
  workflow_id: run.workflow_id,
  status: run.status,
  payload: rawOrNull(run.payload),
  steps: steps.map((s) => ({
    step_ref: s.step_ref,
    status: s.status,
    skip_reason: s.skip_reason,
    run_id: s.run_id,
    result: rawOrNull(s.result),
    error: s.error,
  })),
  error: run.error,
  source_run_id: run.source_run_id,
  depth: run.depth,
  created_by: run.created_by,
  created_at: iso(run.created_at),
  started_at: isoOrNull(run.started_at),
  finished_at: isoOrNull(run.finished_at),
});
