import { createRoute } from "@hono/zod-openapi";
import { resolveProject } from "../../operations/authorize.ts";
import * as operations from "../../operations/credentials.ts";
import { creates, secured } from "../auth.ts";
import type { App } from "../context.ts";
import { BY_ID, pageAnswer, pageRequest } from "../list.ts";
import { errors, idParam, json, jsonBody, listParams, projectQuery, strictQuery } from "../wire/common.ts";
import { createCredentialBody, credentialList, credentialWire, toCredentialWire } from "../wire/credentials.ts";

const tags = ["Imports"];
const request = { params: idParam("credential"), query: projectQuery };

const create = createRoute({
  method: "post",
  path: "/v1/credentials",
  tags,
  summary: "Create a credential",
  description: "For the buckets that imports read. What it holds is encrypted at rest, and never shown again.",
  ...creates("jobs:write"),
  request: { body: jsonBody(createCredentialBody) },
  responses: {
    201: json(credentialWire, "The credential, without what it holds"),
    ...errors(400, 404, 409, 413, 415, 422),
  },
});

const list = createRoute({
  method: "get",
  path: "/v1/credentials",
  tags,
  summary: "List credentials",
  ...secured("jobs:read"),
  request: { query: strictQuery(listParams) },
  responses: { 200: json(credentialList, "Credentials, newest first"), ...errors(400, 404, 422) },
});

const get = createRoute({
  method: "get",
  path: "/v1/credentials/{id}",
  tags,
  summary: "Get a credential",
  ...secured("jobs:read"),
  request,
  responses: { 200: json(credentialWire, "The credential, without what it holds"), ...errors(404, 422) },
});

const remove = createRoute({
  method: "delete",
  path: "/v1/credentials/{id}",
  tags,
  summary: "Delete a credential",
  description: "409, which names the imports, while one that runs or repeats uses it.",
  ...secured("jobs:write"),
  request,
  responses: { 204: { description: "Deleted" }, ...errors(404, 409, 422) },
});

/** For the typed client. */
export type CredentialRoutes = typeof create | typeof list | typeof get | typeof remove;

export function registerCredentials(app: App): void {
  app.openapi(create, async (c) => {
    const { project_id, ...wanted } = c.req.valid("json");
    const projectId = resolveProject(c.var.caller, project_id);
    const row = await operations.createCredential(c.env, c.var.caller, projectId, wanted, c.var.creationId);
    return c.json(toCredentialWire(row), 201);
  });

  app.openapi(list, async (c) => {
    const asOf = Date.now();
    const query = c.req.valid("query");
    const projectId = resolveProject(c.var.caller, query.project_id);
    const binding = { list: "credentials", project: projectId };
    const page = pageRequest(query, binding);
    const rows = await operations.listCredentials(c.env, projectId, page);
    return c.json(pageAnswer(rows, page, binding, asOf, toCredentialWire, BY_ID), 200);
  });

  app.openapi(get, async (c) => {
    const named = c.req.valid("query").project_id;
    const row = await operations.findCredential(c.env, c.var.caller, c.req.valid("param").id, named);
    return c.json(toCredentialWire(row), 200);
  });

  app.openapi(remove, async (c) => {
    const named = c.req.valid("query").project_id;
    const row = await operations.findCredential(c.env, c.var.caller, c.req.valid("param").id, named);
    await operations.deleteCredential(c.env, row);
    return c.body(null, 204);
  });
}
