import { createRoute } from "@hono/zod-openapi";
import type { Context } from "hono";
import { projectScope, resolveProject } from "../../operations/authorize.ts";
import * as operations from "../../operations/environments.ts";
import { creates, secured, writes } from "../auth.ts";
import type { App, AppEnv } from "../context.ts";
import { BY_ID, pageAnswer, pageRequest } from "../list.ts";
import { errors, json, jsonBody, listParams, projectQuery, refParam, strictQuery } from "../wire/common.ts";
import {
  createEnvironmentBody,
  environmentList,
  environmentWire,
  toEnvironmentWire,
  updateEnvironmentBody,
} from "../wire/environments.ts";

const tags = ["Environments"];
const request = { params: refParam("environment"), query: projectQuery };

const create = createRoute({
  method: "post",
  path: "/v1/environments",
  tags,
  summary: "Create an environment",
  description: "A replay with the same Idempotency-Key shows the variables' names only.",
  ...creates("jobs:write", ["variables"]),
  request: { body: jsonBody(createEnvironmentBody) },
  responses: { 201: json(environmentWire, "The environment"), ...errors(400, 404, 409, 413, 415, 422) },
});

const list = createRoute({
  method: "get",
  path: "/v1/environments",
  tags,
  summary: "List environments",
  ...secured("jobs:read"),
  request: { query: strictQuery(listParams) },
  responses: { 200: json(environmentList, "Environments, newest first"), ...errors(400, 404, 422) },
});

const get = createRoute({
  method: "get",
  path: "/v1/environments/{id}",
  tags,
  summary: "Get an environment",
  ...secured("jobs:read"),
  request,
  responses: { 200: json(environmentWire, "The environment"), ...errors(404, 422) },
});

const update = createRoute({
  method: "patch",
  path: "/v1/environments/{id}",
  tags,
  summary: "Change an environment",
  description: "Calls use the change at most 5 seconds later, those of waiting runs too.",
  ...writes("jobs:write"),
  request: { ...request, body: jsonBody(updateEnvironmentBody) },
  responses: { 200: json(environmentWire, "The environment"), ...errors(400, 404, 409, 413, 415, 422) },
});

const remove = createRoute({
  method: "delete",
  path: "/v1/environments/{id}",
  tags,
  summary: "Delete an environment",
  description: "409, which names the jobs, while any uses it.",
  ...secured("jobs:write"),
  request,
  responses: { 204: { description: "Deleted" }, ...errors(404, 409, 422) },
});

/** For the typed client. */
export type EnvironmentRoutes = typeof create | typeof list | typeof get | typeof update | typeof remove;

export function registerEnvironments(app: App): void {
  const shown = async (c: Context<AppEnv>, row: operations.Environment) =>
    toEnvironmentWire(row, await operations.shownVariables(c.env, c.var.caller, row));

  app.openapi(create, async (c) => {
    const { project_id, ...wanted } = c.req.valid("json");
    const projectId = resolveProject(c.var.caller, project_id);
    return c.json(await shown(c, await operations.createEnvironment(c.env, projectId, wanted, c.var.creationId)), 201);
  });

  app.openapi(list, async (c) => {
    const asOf = Date.now();
    const query = c.req.valid("query");
    const projectId = resolveProject(c.var.caller, query.project_id);
    const binding = { list: "environments", project: projectId };
    const page = pageRequest(query, binding);
    const rows = await operations.listEnvironments(c.env, projectId, page);
    const { data, ...rest } = pageAnswer(rows, page, binding, asOf, (row) => shown(c, row), BY_ID);
    return c.json({ data: await Promise.all(data), ...rest }, 200);
  });

  app.openapi(get, async (c) => {
    const { id } = c.req.valid("param");
    const named = c.req.valid("query").project_id;
    return c.json(await shown(c, await operations.findEnvironment(c.env, c.var.caller, id, named)), 200);
  });

  app.openapi(update, async (c) => {
    const { project_id, ...change } = c.req.valid("json");
    projectScope(c.var.caller, project_id);
    const named = c.req.valid("query").project_id ?? project_id;
    const row = await operations.findEnvironment(c.env, c.var.caller, c.req.valid("param").id, named);
    return c.json(await shown(c, await operations.updateEnvironment(c.env, row, change, Date.now())), 200);
  });

  app.openapi(remove, async (c) => {
    const { id } = c.req.valid("param");
    const row = await operations.findEnvironment(c.env, c.var.caller, id, c.req.valid("query").project_id);
    await operations.deleteEnvironment(c.env, row);
    return c.body(null, 204);
  });
}
