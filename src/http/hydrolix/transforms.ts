import { createRoute, z } from "@hono/zod-openapi";
import type { Context } from "hono";
import { invalid, notFound } from "../../domain/error.ts";
import { strictObject } from "../../domain/strict.ts";
import * as operations from "../../operations/transforms.ts";
import { creates, secured, writes } from "../auth.ts";
import type { App, AppEnv } from "../context.ts";
import { json, jsonBody } from "../wire/common.ts";
import { RawJson, rawJson } from "../wire/raw-json.ts";
import { triedTransform, tryTransformBody } from "../wire/transforms.ts";
import { hydrolixErrors } from "./error.ts";
import { noQuery, projectOf, tableOf, tableParam } from "./names.ts";
import { optionsWire } from "./options.ts";
import { TRANSFORM_OPTIONS } from "./transform-options.ts";
import { type Json, merged, transformBody, transformToWire, transformWire, wantedTransform } from "./transform-wire.ts";

const tags = ["Hydrolix: config"];
const TRANSFORMS = "/config/v1/orgs/{org}/projects/{project}/tables/{table}/transforms";

const ofTable = { params: tableParam, query: noQuery };
const transformParam = tableParam.extend({
  transform: z
    .string()
    .min(1)
    .max(128)
    .openapi({ param: { name: "transform", in: "path" }, description: "The transform's name or id." }),
});
const ofTransform = { params: transformParam, query: noQuery };

const options = createRoute({
  method: "options",
  path: TRANSFORMS,
  tags,
  summary: "Describe transforms",
  ...secured("jobs:read"),
  request: ofTable,
  responses: { 200: json(optionsWire, "The fields of a transform"), ...hydrolixErrors() },
});

const list = createRoute({
  method: "get",
  path: TRANSFORMS,
  tags,
  summary: "List transforms",
  description:
    "The table's own, and those of the project (`/v1/transforms`) whose names it has not itself. The table's own default stands " +
    "before the project's; the only one is the default, if none is.",
  ...secured("jobs:read"),
  request: ofTable,
  responses: { 200: json(z.array(transformWire), "Transforms"), ...hydrolixErrors() },
});

const create = createRoute({
  method: "post",
  path: TRANSFORMS,
  tags,
  summary: "Create a transform",
  description: "The answer shows what is kept. 422 names what cannot be done, such as `script` and `sql_transform`.",
  ...creates("jobs:write"),
  request: { ...ofTable, body: jsonBody(transformBody) },
  responses: { 201: json(transformWire, "The transform"), ...hydrolixErrors(400, 409, 413, 415) },
});

const get = createRoute({
  method: "get",
  path: `${TRANSFORMS}/{transform}`,
  tags,
  summary: "Get a transform",
  ...secured("jobs:read"),
  request: ofTransform,
  responses: { 200: json(transformWire, "The transform"), ...hydrolixErrors() },
});

const replace = createRoute({
  method: "put",
  path: `${TRANSFORMS}/{transform}`,
  tags,
  summary: "Replace a transform",
  description: "Batch jobs that have begun keep the transform that they began with. It cannot be renamed.",
  ...writes("jobs:write"),
  request: { ...ofTransform, body: jsonBody(transformBody) },
  responses: { 200: json(transformWire, "The transform"), ...hydrolixErrors(400, 413, 415) },
});

const patch = createRoute({
  method: "patch",
  path: `${TRANSFORMS}/{transform}`,
  tags,
  summary: "Change a transform",
  description:
    "What is given stands in place of what was there; objects are merged, lists replaced. It cannot be renamed.",
  ...writes("jobs:write"),
  request: { ...ofTransform, body: jsonBody(transformBody) },
  responses: { 200: json(transformWire, "The transform"), ...hydrolixErrors(400, 413, 415) },
});

const remove = createRoute({
  method: "delete",
  path: `${TRANSFORMS}/{transform}`,
  tags,
  summary: "Delete a transform",
  ...secured("jobs:write"),
  request: ofTransform,
  responses: { 204: { description: "Deleted" }, ...hydrolixErrors() },
});

const validate = createRoute({
  method: "post",
  path: "/config/v1/validator",
  tags,
  summary: "Try a transform",
  description: "What it makes of some rows; nothing is kept.",
  ...writes("jobs:read"),
  request: {
    query: noQuery,
    body: jsonBody(
      strictObject({ transform: transformBody, data: tryTransformBody.shape.data }).openapi("HydrolixTry"),
    ),
  },
  responses: {
    200: json(triedTransform, "Rows as they would be sent, and what was refused"),
    ...hydrolixErrors(400, 413, 415),
  },
});

type C = Context<AppEnv>;

/** Those that the table may use. */
async function kept(c: C, param: z.infer<typeof tableParam>) {
  const project = await projectOf(c, param);
  const table = await tableOf(c, project, param.table);
  return { project, table, rows: await operations.transformsFor(c.env, project.id, table.id) };
}

async function found(c: C, param: z.infer<typeof transformParam>) {
  const { table, rows } = await kept(c, param);
  const row = rows.find(({ id, name }) => id === param.transform || name === param.transform);
  if (!row) throw notFound("transform");
  const shown = (other: operations.Transform) =>
    transformToWire(
      other,
      table.id,
      rows.map((one) => (one.id === other.id ? other : one)),
    );
  return { row, shown };
}

export function registerTransforms(app: App): void {
  app.openapi(options, async (c) => {
    const param = c.req.valid("param");
    await tableOf(c, await projectOf(c, param), param.table);
    return c.json(TRANSFORM_OPTIONS, 200);
  });

  app.openapi(list, async (c) => {
    const { table, rows } = await kept(c, c.req.valid("param"));
    return c.json(
      rows.map((row) => transformToWire(row, table.id, rows)),
      200,
    );
  });

  app.openapi(create, async (c) => {
    const { project, table, rows } = await kept(c, c.req.valid("param"));
    const wanted = wantedTransform(c.req.valid("json"));
    const owner = { projectId: project.id, jobId: table.id };
    const row = await operations.createTransform(c.env, owner, wanted, c.var.creationId);
    return c.json(transformToWire(row, table.id, [...rows, row]), 201);
  });

  app.openapi(get, async (c) => {
    const { row, shown } = await found(c, c.req.valid("param"));
    return c.json(shown(row), 200);
  });

  const change = async (c: C, param: z.infer<typeof transformParam>, given: Json, isPart: boolean) => {
    const { row, shown } = await found(c, param);
    const { name, ...spec } = wantedTransform(isPart ? merged(shown(row), given) : given);
    if (name !== row.name) throw invalid([{ path: "name", message: "cannot be changed" }]);
    return shown(await operations.replaceTransform(c.env, row, spec, Date.now()));
  };
  app.openapi(replace, async (c) => c.json(await change(c, c.req.valid("param"), c.req.valid("json"), false), 200));
  app.openapi(patch, async (c) => c.json(await change(c, c.req.valid("param"), c.req.valid("json"), true), 200));

  app.openapi(remove, async (c) => {
    const { row } = await found(c, c.req.valid("param"));
    await operations.deleteTransform(c.env, row);
    return c.body(null, 204);
  });

  app.openapi(validate, async (c) => {
    const { transform, data } = c.req.valid("json");
    // It needs no name to be tried.
    const wanted = wantedTransform({ name: "tried", ...transform }, "transform.");
    const tried = operations.tryTransform(wanted, data);
    // Rows are shown as they would be sent, digit by digit.
    return rawJson(c, { rows: tried.rows.map((row) => new RawJson(row)), errors: tried.errors }, 200);
  });
}
