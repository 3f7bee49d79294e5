import { createRoute } from "@hono/zod-openapi";
import type { Context } from "hono";
import { invalid } from "../../domain/error.ts";
import { resolveProject } from "../../operations/authorize.ts";
import * as operations from "../../operations/transforms.ts";
import { creates, secured, writes } from "../auth.ts";
import type { App, AppEnv } from "../context.ts";
import { BY_ID, pageAnswer, pageRequest } from "../list.ts";
import { errors, json, jsonBody, listParams, strictQuery } from "../wire/common.ts";
import { RawJson, rawJson } from "../wire/raw-json.ts";
import {
  createTransformBody,
  replaceTransformBody,
  specOf,
  toTransformWire,
  transformList,
  transformParam,
  transformQuery,
  transformWire,
  triedTransform,
  tryTransformBody,
} from "../wire/transforms.ts";

const tags = ["Imports"];
const request = { params: transformParam, query: transformQuery };
/** Several jobs have one of the name. */
const AMBIGUOUS = 409;

const create = createRoute({
  method: "post",
  path: "/v1/transforms",
  tags,
  summary: "Create a transform",
  description: "How the rows of an object become payloads.",
  ...creates("jobs:write"),
  request: { body: jsonBody(createTransformBody) },
  responses: { 201: json(transformWire, "The transform"), ...errors(400, 404, 409, 413, 415, 422) },
});

const list = createRoute({
  method: "get",
  path: "/v1/transforms",
  tags,
  summary: "List transforms",
  ...secured("jobs:read"),
  request: { query: strictQuery(listParams) },
  responses: { 200: json(transformList, "Transforms, newest first"), ...errors(400, 404, 422) },
});

const get = createRoute({
  method: "get",
  path: "/v1/transforms/{name}",
  tags,
  summary: "Get a transform",
  ...secured("jobs:read"),
  request,
  responses: { 200: json(transformWire, "The transform"), ...errors(404, AMBIGUOUS, 422) },
});

const replace = createRoute({
  method: "put",
  path: "/v1/transforms/{name}",
  tags,
  summary: "Replace a transform",
  description: "Imports that have begun keep the transform that they began with.",
  ...writes("jobs:write"),
  request: { ...request, body: jsonBody(replaceTransformBody) },
  responses: { 200: json(transformWire, "The transform"), ...errors(400, 404, AMBIGUOUS, 413, 415, 422) },
});

const remove = createRoute({
  method: "delete",
  path: "/v1/transforms/{name}",
  tags,
  summary: "Delete a transform",
  ...secured("jobs:write"),
  request,
  responses: { 204: { description: "Deleted" }, ...errors(404, AMBIGUOUS, 422) },
});

const validate = createRoute({
  method: "post",
  path: "/v1/transforms/validate",
  tags,
  summary: "Try a transform",
  description: "What it makes of some rows; nothing is kept.",
  ...writes("jobs:read"),
  request: { body: jsonBody(tryTransformBody) },
  responses: {
    200: json(triedTransform, "Rows as they would be sent, and what was refused"),
    ...errors(400, 404, 413, 415, 422),
  },
});

/** For the typed client. */
export type TransformRoutes =
  | typeof create
  | typeof list
  | typeof get
  | typeof replace
  | typeof remove
  | typeof validate;

type C = Context<AppEnv>;

export function registerTransforms(app: App): void {
  app.openapi(validate, async (c) => {
    const { transform, data } = c.req.valid("json");
    const tried = operations.tryTransform(specOf(transform), data);
    // Rows are shown as they would be sent, digit by digit.
    return rawJson(c, { rows: tried.rows.map((row) => new RawJson(row)), errors: tried.errors }, 200);
  });

  app.openapi(create, async (c) => {
    const body = c.req.valid("json");
    const projectId = resolveProject(c.var.caller, body.project_id);
    const wanted = { name: body.name, ...specOf(body) };
    const owner = { projectId, jobId: null };
    return c.json(toTransformWire(await operations.createTransform(c.env, owner, wanted, c.var.creationId)), 201);
  });

  app.openapi(list, async (c) => {
    const asOf = Date.now();
    const query = c.req.valid("query");
    const projectId = resolveProject(c.var.caller, query.project_id);
    const binding = { list: "transforms", project: projectId };
    const page = pageRequest(query, binding);
    const rows = await operations.listTransforms(c.env, projectId, page);
    return c.json(pageAnswer(rows, page, binding, asOf, toTransformWire, BY_ID), 200);
  });

  const named = (c: C, { name }: { name: string }, projectId: string, jobId: string | undefined) =>
    operations.findTransform(c.env, { projectId, jobId: jobId ?? null }, name);

  app.openapi(get, async (c) => {
    const { project_id, job_id } = c.req.valid("query");
    const projectId = resolveProject(c.var.caller, project_id);
    return c.json(toTransformWire(await named(c, c.req.valid("param"), projectId, job_id)), 200);
  });

  app.openapi(replace, async (c) => {
    const param = c.req.valid("param");
    const { project_id, job_id } = c.req.valid("query");
    const body = c.req.valid("json");
    const projectId = resolveProject(c.var.caller, project_id ?? body.project_id);
    if (body.name !== undefined && body.name !== param.name)
      throw invalid([{ path: "name", message: "differs from the path's" }]);
    const present = await named(c, param, projectId, job_id);
    const row = await operations.replaceTransform(c.env, present, specOf(body), Date.now());
    return c.json(toTransformWire(row), 200);
  });

  app.openapi(remove, async (c) => {
    const { project_id, job_id } = c.req.valid("query");
    const projectId = resolveProject(c.var.caller, project_id);
    await operations.deleteTransform(c.env, await named(c, c.req.valid("param"), projectId, job_id));
    return c.body(null, 204);
  });
}
