import { createRoute } from "@hono/zod-openapi";
import { resolveProject } from "../../operations/authorize.ts";
import { pageOfItems } from "../../operations/batch-items.ts";
import { cancelBatch, getBatch, pageOfBatches, patchBatch, pauseBatch, resumeBatch } from "../../operations/batches.ts";
import { copyAsOf } from "../../operations/copy.ts";
import { secured, writes } from "../auth.ts";
import type { App } from "../context.ts";
import { etagOf, ifMatch } from "../etag.ts";
import { pageRequest } from "../list.ts";
import { BY_INDEX, scannedAnswer } from "../scanned-list.ts";
import {
  batchItemList,
  batchItemsQuery,
  batchItemToWire,
  batchOperation,
  batchOperationList,
  batchPatch,
  batchQuery,
  batchToWire,
} from "../wire/batch-operations.ts";
import { errors, idParam, json, jsonBody, projectQuery } from "../wire/common.ts";

const tags = ["Batch operations"];

const list = createRoute({
  method: "get",
  path: "/v1/batch-operations",
  tags,
  summary: "List batch operations",
  description:
    "Newest first, from a copy that is at most a second behind. A page may be short, or empty, and still have a successor.",
  ...secured("runs:read"),
  request: { query: batchQuery },
  responses: { 200: json(batchOperationList, "Batch operations, newest first"), ...errors(400, 404, 422) },
});

const get = createRoute({
  method: "get",
  path: "/v1/batch-operations/{id}",
  tags,
  summary: "Get a batch operation",
  description: "Never behind.",
  ...secured("runs:read"),
  request: { params: idParam("batch operation"), query: projectQuery },
  responses: { 200: json(batchOperation, "The batch operation, with `ETag`"), ...errors(404, 422) },
});

const patch = createRoute({
  method: "patch",
  path: "/v1/batch-operations/{id}",
  tags,
  summary: "Change a batch operation",
  description: "409 once it is finished. `If-Match` is honoured.",
  ...writes("runs:write"),
  request: { params: idParam("batch operation"), query: projectQuery, body: jsonBody(batchPatch) },
  responses: {
    200: json(batchOperation, "The batch operation, with `ETag`"),
    ...errors(400, 404, 409, 412, 413, 415, 422),
  },
});

const items = createRoute({
  method: "get",
  path: "/v1/batch-operations/{id}/items",
  tags,
  summary: "List the items of a batch operation",
  description: "In index order, with what became of each.",
  ...secured("runs:read"),
  request: { params: idParam("batch operation"), query: batchItemsQuery },
  responses: { 200: json(batchItemList, "Items, in index order"), ...errors(400, 404, 422) },
});

const cancel = createRoute({
  method: "post",
  path: "/v1/batch-operations/{id}/cancel",
  tags,
  summary: "Cancel a batch operation",
  description:
    "Its waiting runs are canceled at once, while its executing ones finish and are counted. 409 once it is finished.",
  ...secured("runs:write"),
  request: { params: idParam("batch operation"), query: projectQuery },
  responses: { 200: json(batchOperation, "The batch operation, with `ETag`"), ...errors(404, 409, 422) },
});

/** What the typed client is typed by. */
const pause = createRoute({
  method: "post",
  path: "/v1/batch-operations/{id}/pause",
  tags,
  summary: "Pause a batch operation",
  description: "Nothing more of it starts; what executes goes on and is counted. 409 once it is finished.",
  ...secured("runs:write"),
  request: { params: idParam("batch operation"), query: projectQuery },
  responses: { 200: json(batchOperation, "The batch operation, with `ETag`"), ...errors(404, 409, 422) },
});

const resume = createRoute({
  method: "post",
  path: "/v1/batch-operations/{id}/resume",
  tags,
  summary: "Resume a paused batch operation",
  description: "409 once it is finished.",
  ...secured("runs:write"),
  request: { params: idParam("batch operation"), query: projectQuery },
  responses: { 200: json(batchOperation, "The batch operation, with `ETag`"), ...errors(404, 409, 422) },
});

export type BatchOperationRoutes =
  | typeof list
  | typeof get
  | typeof patch
  | typeof items
  | typeof cancel
  | typeof pause
  | typeof resume;

export function registerBatchOperations(app: App): void {
  app.openapi(list, async (c) => {
    const asOf = await copyAsOf(c.env, null, Date.now());
    const { limit, cursor, project_id, status, ...rest } = c.req.valid("query");
    const filter = { ...rest, statuses: status, project_id: resolveProject(c.var.caller, project_id) };
    const binding = { list: "batch-operations", ...filter };
    const request = pageRequest({ limit, cursor }, binding);
    const page = await pageOfBatches(c.env, filter, request.before, request.limit);
    return c.json(scannedAnswer(page, binding, asOf, batchToWire), 200);
  });

  app.openapi(get, async (c) => {
    const batch = await getBatch(c.env, c.var.caller, c.req.valid("param").id, c.req.valid("query").project_id);
    return c.json(batchToWire(batch), 200, { ETag: etagOf(batch.ver) });
  });

  app.openapi(patch, async (c) => {
    const { id } = c.req.valid("param");
    const { project_id } = c.req.valid("query");
    const batch = await patchBatch(c.env, c.var.caller, id, c.req.valid("json"), ifMatch(c), project_id);
    return c.json(batchToWire(batch), 200, { ETag: etagOf(batch.ver) });
  });

  app.openapi(items, async (c) => {
    const asOf = Date.now();
    const { id } = c.req.valid("param");
    const { limit, cursor, outcome = null, project_id } = c.req.valid("query");
    const binding = { list: "batch-items", id, outcome };
    const request = pageRequest({ limit, cursor }, binding, BY_INDEX);
    const after = request.before === null ? null : Number(request.before);
    const page = await pageOfItems(c.env, c.var.caller, id, outcome, after, request.limit, project_id);
    return c.json(scannedAnswer(page, binding, asOf, batchItemToWire), 200);
  });

  app.openapi(cancel, async (c) => {
    const batch = await cancelBatch(c.env, c.var.caller, c.req.valid("param").id, c.req.valid("query").project_id);
    return c.json(batchToWire(batch), 200, { ETag: etagOf(batch.ver) });
  });

  app.openapi(pause, async (c) => {
    const batch = await pauseBatch(c.env, c.var.caller, c.req.valid("param").id, c.req.valid("query").project_id);
    return c.json(batchToWire(batch), 200, { ETag: etagOf(batch.ver) });
  });

  app.openapi(resume, async (c) => {
    const batch = await resumeBatch(c.env, c.var.caller, c.req.valid("param").id, c.req.valid("query").project_id);
    return c.json(batchToWire(batch), 200, { ETag: etagOf(batch.ver) });
  });
}
