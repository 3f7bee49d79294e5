import { createRoute } from "@hono/zod-openapi";
import { resolveProject } from "../../operations/authorize.ts";
import { cancelWorkflowRun, getWorkflowRun, pageOfWorkflowRuns } from "../../operations/workflow-runs.ts";
import { secured } from "../auth.ts";
import type { App } from "../context.ts";
import { pageRequest } from "../list.ts";
import { scannedAnswer } from "../scanned-list.ts";
import { errors, idParam, json, projectQuery } from "../wire/common.ts";
import { rawJson } from "../wire/raw-json.ts";
import { workflowRun, workflowRunList, workflowRunsQuery, workflowRunToWire } from "../wire/workflow-runs.ts";

const tags = ["Workflow runs"];
const request = { params: idParam("workflow run"), query: projectQuery };

const list = createRoute({
  method: "get",
  path: "/v1/workflow-runs",
  tags,
  summary: "List workflow runs",
  description: "A page may be short, or empty, and still have a successor.",
  ...secured("runs:read"),
  request: { query: workflowRunsQuery },
  responses: { 200: json(workflowRunList, "Workflow runs, newest first"), ...errors(400, 404, 422) },
});

const get = createRoute({
  method: "get",
  path: "/v1/workflow-runs/{id}",
  tags,
  summary: "Get a workflow run",
  description: "With every step, in the order of the workflow.",
  ...secured("runs:read"),
  request,
  responses: { 200: json(workflowRun, "The workflow run"), ...errors(404, 422) },
});

const cancel = createRoute({
  method: "post",
  path: "/v1/workflow-runs/{id}/cancel",
  tags,
  summary: "Cancel a workflow run",
  description: "`canceled` at once; nothing new begins, and the runs of its steps are canceled. 409 once it has ended.",
  ...secured("runs:write"),
  request,
  responses: { 200: json(workflowRun, "The workflow run"), ...errors(404, 409, 422) },
});

/** For the typed client. */
export type WorkflowRunRoutes = typeof list | typeof get | typeof cancel;

export function registerWorkflowRuns(app: App): void {
  app.openapi(list, async (c) => {
    const asOf = Date.now();
    const { limit, cursor, project_id, status, workflow_id } = c.req.valid("query");
    const filter = { workflow_id, statuses: status, project_id: resolveProject(c.var.caller, project_id) };
    const binding = { list: "workflow-runs", ...filter };
    const page = pageRequest({ limit, cursor }, binding);
    const runs = await pageOfWorkflowRuns(c.env, filter, page.before, page.limit);
    return rawJson(c, scannedAnswer(runs, binding, asOf, workflowRunToWire), 200);
  });

  app.openapi(get, async (c) => {
    const { id } = c.req.valid("param");
    const run = await getWorkflowRun(c.env, c.var.caller, id, c.req.valid("query").project_id);
    return rawJson(c, workflowRunToWire(run), 200);
  });

  app.openapi(cancel, async (c) => {
    const { id } = c.req.valid("param");
    const run = await cancelWorkflowRun(c.env, c.var.caller, id, Date.now(), c.req.valid("query").project_id);
    return rawJson(c, workflowRunToWire(run), 200);
  });
}
