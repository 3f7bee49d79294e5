import { createRoute } from "@hono/zod-openapi";
import * as operations from "../../operations/projects.ts";
import { creates, secured, writes } from "../auth.ts";
import type { App } from "../context.ts";
import { BY_ID, pageAnswer, pageRequest } from "../list.ts";
import { errors, idParam, json, jsonBody, listParams, strictQuery } from "../wire/common.ts";
import { createProjectBody, projectList, projectWire, toProjectWire, updateProjectBody } from "../wire/projects.ts";

const tags = ["Projects"];

const create = createRoute({
  method: "post",
  path: "/v1/projects",
  tags,
  summary: "Create a project",
  ...creates("admin"),
  request: { body: jsonBody(createProjectBody) },
  responses: { 201: json(projectWire, "The project"), ...errors(400, 409, 413, 415, 422) },
});

const list = createRoute({
  method: "get",
  path: "/v1/projects",
  tags,
  summary: "List projects",
  description: "All of them with the admin token; a key sees its own.",
  ...secured("jobs:read"),
  request: { query: strictQuery({ limit: listParams.limit, cursor: listParams.cursor }) },
  responses: { 200: json(projectList, "Projects, newest first"), ...errors(400, 422) },
});

const get = createRoute({
  method: "get",
  path: "/v1/projects/{id}",
  tags,
  summary: "Get a project",
  ...secured("jobs:read"),
  request: { params: idParam("project") },
  responses: { 200: json(projectWire, "The project"), ...errors(404, 422) },
});

const update = createRoute({
  method: "patch",
  path: "/v1/projects/{id}",
  tags,
  summary: "Change a project",
  ...writes("admin"),
  request: { params: idParam("project"), body: jsonBody(updateProjectBody) },
  responses: { 200: json(projectWire, "The project"), ...errors(400, 404, 409, 413, 415, 422) },
});

const remove = createRoute({
  method: "delete",
  path: "/v1/projects/{id}",
  tags,
  summary: "Delete a project",
  description: "With its keys. 409 while it has jobs.",
  ...secured("admin"),
  request: { params: idParam("project") },
  responses: { 204: { description: "Deleted" }, ...errors(404, 409, 422) },
});

/** What the typed client is typed by. */
export type ProjectRoutes = typeof create | typeof list | typeof get | typeof update | typeof remove;

export function registerProjects(app: App): void {
  app.openapi(create, async (c) => {
    const project = await operations.createProject(c.env, c.req.valid("json"), c.var.creationId);
    return c.json(toProjectWire(project), 201);
  });

  app.openapi(list, async (c) => {
    const asOf = Date.now();
    const binding = { list: "projects", project: c.var.caller.projectId };
    const page = pageRequest(c.req.valid("query"), binding);
    const rows = await operations.listProjects(c.env, c.var.caller, page);
    return c.json(pageAnswer(rows, page, binding, asOf, toProjectWire, BY_ID), 200);
  });

  app.openapi(get, async (c) =>
    c.json(toProjectWire(await operations.getProject(c.env, c.var.caller, c.req.valid("param").id)), 200),
  );

  app.openapi(update, async (c) =>
    c.json(toProjectWire(await operations.updateProject(c.env, c.req.valid("param").id, c.req.valid("json"))), 200),
  );

  app.openapi(remove, async (c) => {
    await operations.deleteProject(c.env, c.req.valid("param").id, Date.now());
    return c.body(null, 204);
  });
}
