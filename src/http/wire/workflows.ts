import { z } from "@hono/zod-openapi";
import { strictObject } from "../../domain/strict.ts";
import { ON_FAILURE } from "../../domain/workflow.ts";
import { workflowShape } from "../../domain/workflow-fields.ts";
import type { Workflow } from "../../operations/workflows.ts";
import { instant, iso, listOf, listParams, projectParam, strictQuery, uuid } from "./common.ts";

/** Workflows on the wire (contract 7). */

const READ_ONLY = ["id", "created_by", "updated_by", "created_at", "updated_at"];

export const createWorkflowBody = strictObject(
  { project_id: projectParam, ...workflowShape, slug: workflowShape.slug.optional() },
  READ_ONLY,
).openapi("CreateWorkflow");

export const updateWorkflowBody = strictObject(
  {
    project_id: projectParam,
    name: workflowShape.name.optional(),
    slug: workflowShape.slug.optional(),
    steps: workflowShape.steps.optional(),
  },
  READ_ONLY,
).openapi("UpdateWorkflow", {
  description: "A field that is absent stays as it is. Runs that have begun go on as they were.",
});

const step = z
  .object({
    step_ref: z.string(),
    job: z.string(),
    depends_on: z.array(z.string()),
    payload: z.unknown(),
    condition: z.string().nullable(),
    on_failure: z.enum(ON_FAILURE),
    sleep_secs: z.int(),
  })
  .openapi("WorkflowStep");

export const workflowWire = z
  .object({
    id: uuid(),
    project_id: uuid(),
    name: z.string(),
    slug: z.string(),
    steps: z.array(step),
    created_by: z.string(),
    updated_by: z.string(),
    created_at: instant(),
    updated_at: instant(),
  })
  .openapi("Workflow");

export const workflowList = listOf(workflowWire).openapi("WorkflowList");

export const workflowsQuery = strictQuery(listParams);

export const toWorkflowWire = (workflow: Workflow): z.infer<typeof workflowWire> => ({
  id: workflow.id,
  project_id: workflow.project_id,
  name: workflow.name,
  slug: workflow.slug,
  steps: workflow.steps.map(({ job_id: _, ...shown }) => shown),
  created_by: workflow.created_by,
  updated_by: workflow.updated_by,
  created_at: iso(workflow.created_at),
  updated_at: iso(workflow.updated_at),
});
