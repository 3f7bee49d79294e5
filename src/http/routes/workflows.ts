import { createRoute } from "@hono/zod-openapi";
import { createMiddleware } from "hono/factory";
import { projectScope, resolveProject } from "../../operations/authorize.ts";
import { triggerWorkflow } from "../../operations/workflow-runs.ts";
import * as operations from "../../operations/workflows.ts";
import { creates, secured, writes } from "../auth.ts";
import type { App, AppEnv } from "../context.ts";
import { pageRequest } from "../list.ts";
import { traceOf } from "../request.ts";
import { scannedAnswer } from "../scanned-list.ts";
import { errors, json, jsonBody, projectQuery, refParam } from "../wire/common.ts";
import { rawJson } from "../wire/raw-json.ts";
import { payloadOf, triggerWorkflowBody, workflowRun, workflowRunToWire } from "../wire/workflow-runs.ts";
import {
  createWorkflowBody,
  toWorkflowWire,
  updateWorkflowBody,
  workflowList,
  workflowsQuery,
  workflowWire,
} from "../wire/workflows.ts";

const tags = ["Workflows"];
const request = { params: refParam("workflow"), query: projectQuery };

const create = createRoute({
  method: "post",
  path: "/v1/workflows",
  tags,
  summary: "Create a workflow",
  description:
    "One connected graph of at most 1,000 steps without cycles. Templates and conditions read only steps that come before.",
  ...creates("jobs:write"),
  request: { body: jsonBody(createWorkflowBody) },
  responses: { 201: json(workflowWire, "The workflow"), ...errors(400, 404, 409, 413, 415, 422) },
});

const list = createRoute({
  method: "get",
  path: "/v1/workflows",
  tags,
  summary: "List workflows",
  description: "A page may be short where workflows are large, and still have a successor.",
  ...secured("jobs:read"),
  request: { query: workflowsQuery },
  responses: { 200: json(workflowList, "Workflows, newest first"), ...errors(400, 404, 422) },
});

const get = createRoute({
  method: "get",
  path: "/v1/workflows/{id}",
  tags,
  summary: "Get a workflow",
  ...secured("jobs:read"),
  request,
  responses: { 200: json(workflowWire, "The workflow"), ...errors(404, 422) },
});

const update = createRoute({
  method: "patch",
  path: "/v1/workflows/{id}",
  tags,
  summary: "Change a workflow",
  description: "For the runs that start from now on. 409 for a new slug while jobs name the old one.",
  ...writes("jobs:write"),
  request: { ...request, body: jsonBody(updateWorkflowBody) },
  responses: { 200: json(workflowWire, "The workflow"), ...errors(400, 404, 409, 413, 415, 422) },
});

const remove = createRoute({
  method: "delete",
  path: "/v1/workflows/{id}",
  tags,
  summary: "Delete a workflow",
  description:
    "409 while jobs name it in `on_complete_trigger_workflow` or runs of it have not ended; it names them. Its runs stay readable.",
  ...secured("jobs:write"),
  request,
  responses: { 204: { description: "Deleted" }, ...errors(404, 409, 422) },
});

/** The body as text, before anything parses it: the payload goes on as it was sent. */
const keepsText = createMiddleware<AppEnv>(async (c, next) => {
  await c.req.text();
  await next();
});
const starts = creates("jobs:trigger");

const trigger = createRoute({
  method: "post",
  path: "/v1/workflows/{id}/trigger",
  tags,
  summary: "Start a workflow",
  description: "409 where the job of a step is deleted.",
  ...starts,
  middleware: [...starts.middleware, keepsText],
  request: { ...request, body: { ...jsonBody(triggerWorkflowBody), required: false } },
  responses: { 201: json(workflowRun, "The workflow run"), ...errors(400, 404, 409, 413, 415, 422) },
});

/** For the typed client. */
export type WorkflowRoutes = typeof create | typeof list | typeof get | typeof update | typeof remove | typeof trigger;

export function registerWorkflows(app: App): void {
  app.openapi(create, async (c) => {
    const { project_id, ...wanted } = c.req.valid("json");
    const projectId = resolveProject(c.var.caller, project_id);
    const workflow = await operations.createWorkflow(c.env, c.var.caller, projectId, wanted, c.var.creationId);
    return c.json(toWorkflowWire(workflow), 201);
  });

  app.openapi(list, async (c) => {
    const asOf = Date.now();
    const { limit, cursor, project_id } = c.req.valid("query");
    const projectId = resolveProject(c.var.caller, project_id);
    const binding = { list: "workflows", project: projectId };
    const page = pageRequest({ limit, cursor }, binding);
    return c.json(
      scannedAnswer(await operations.listWorkflows(c.env, projectId, page), binding, asOf, toWorkflowWire),
      200,
    );
  });

  app.openapi(get, async (c) => {
    const { project_id } = c.req.valid("query");
    const workflow = await operations.findWorkflow(c.env, c.var.caller, c.req.valid("param").id, project_id);
    return c.json(toWorkflowWire(workflow), 200);
  });

  app.openapi(update, async (c) => {
    const { project_id, ...change } = c.req.valid("json");
    projectScope(c.var.caller, project_id);
    const named = c.req.valid("query").project_id ?? project_id;
    const workflow = await operations.findWorkflow(c.env, c.var.caller, c.req.valid("param").id, named);
    const changed = await operations.updateWorkflow(c.env, c.var.caller, workflow, change, Date.now());
    return c.json(toWorkflowWire(changed), 200);
  });

  app.openapi(remove, async (c) => {
    const { project_id } = c.req.valid("query");
    const workflow = await operations.findWorkflow(c.env, c.var.caller, c.req.valid("param").id, project_id);
    await operations.deleteWorkflow(c.env, workflow);
    return c.body(null, 204);
  });

  app.openapi(trigger, async (c) => {
    const named = c.req.valid("query").project_id ?? c.req.valid("json")?.project_id;
    const payload = payloadOf(await c.req.text());
    const workflow = await operations.findWorkflow(c.env, c.var.caller, c.req.valid("param").id, named);
    const run = await triggerWorkflow(c.env, c.var.caller, workflow, payload, c.var.creationId, traceOf(c));
    return rawJson(c, workflowRunToWire(run), 201);
  });
}
