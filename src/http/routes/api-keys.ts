import { createRoute } from "@hono/zod-openapi";
import * as operations from "../../operations/api-keys.ts";
import { resolveProject } from "../../operations/authorize.ts";
import { creates, secured } from "../auth.ts";
import type { App } from "../context.ts";
import { BY_ID, pageAnswer, pageRequest } from "../list.ts";
import {
  apiKeyList,
  createApiKeyBody,
  issuedKeyWire,
  rotateApiKeyBody,
  toApiKeyWire,
  toIssuedKeyWire,
} from "../wire/api-keys.ts";
import { errors, idParam, json, jsonBody, listParams, projectQuery, strictQuery } from "../wire/common.ts";

const tags = ["API keys"];
const SECRET = ["key"];

const create = createRoute({
  method: "post",
  path: "/v1/api-keys",
  tags,
  summary: "Create an API key",
  ...creates("keys:manage", SECRET),
  request: { body: jsonBody(createApiKeyBody) },
  responses: { 201: json(issuedKeyWire, "The key, shown once"), ...errors(400, 404, 409, 413, 415, 422) },
});

const list = createRoute({
  method: "get",
  path: "/v1/api-keys",
  tags,
  summary: "List API keys",
  ...secured("keys:manage"),
  request: { query: strictQuery(listParams) },
  responses: { 200: json(apiKeyList, "Keys, newest first, revoked ones too"), ...errors(400, 404, 422) },
});

const revoke = createRoute({
  method: "delete",
  path: "/v1/api-keys/{id}",
  tags,
  summary: "Revoke an API key",
  description: "Refused within 30 s everywhere.",
  ...secured("keys:manage"),
  request: { params: idParam("key"), query: projectQuery },
  responses: { 204: { description: "Revoked" }, ...errors(404, 422) },
});

const rotate = createRoute({
  method: "post",
  path: "/v1/api-keys/{id}/rotate",
  tags,
  summary: "Replace an API key",
  description: "A new key with the same name, scopes and expiry; the old one is revoked after the grace period.",
  ...creates("keys:manage", SECRET),
  request: {
    params: idParam("key"),
    query: projectQuery,
    body: { required: false, content: { "application/json": { schema: rotateApiKeyBody } } },
  },
  responses: { 201: json(issuedKeyWire, "The new key, shown once"), ...errors(400, 404, 409, 413, 415, 422) },
});

/** What the typed client is typed by. */
export type ApiKeyRoutes = typeof create | typeof list | typeof revoke | typeof rotate;

export function registerApiKeys(app: App): void {
  app.openapi(create, async (c) => {
    const issued = await operations.createApiKey(
      c.env,
      c.var.caller,
      c.req.valid("json"),
      c.var.creationId,
      Date.now(),
    );
    return c.json(toIssuedKeyWire(issued), 201);
  });

  app.openapi(list, async (c) => {
    const asOf = Date.now();
    const query = c.req.valid("query");
    const projectId = resolveProject(c.var.caller, query.project_id);
    const binding = { list: "api-keys", project: projectId };
    const page = pageRequest(query, binding);
    const rows = await operations.listKeys(c.env, projectId, page);
    return c.json(pageAnswer(rows, page, binding, asOf, toApiKeyWire, BY_ID), 200);
  });

  app.openapi(revoke, async (c) => {
    const named = c.req.valid("query").project_id;
    await operations.revokeKey(c.env, c.var.caller, c.req.valid("param").id, named, Date.now());
    return c.body(null, 204);
  });

  app.openapi(rotate, async (c) => {
    const body = c.req.valid("json");
    const wanted = { ...body, project_id: body.project_id ?? c.req.valid("query").project_id };
    const issued = await operations.rotateKey(
      c.env,
      c.var.caller,
      c.req.valid("param").id,
      wanted,
      c.var.creationId,
      Date.now(),
    );
    return c.json(toIssuedKeyWire(issued), 201);
  });
}
