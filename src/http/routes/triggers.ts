import { createRoute } from "@hono/zod-openapi";
import type { Context } from "hono";
import { invalid } from "../../domain/error.ts";
import { MAX_ITEM_BYTES } from "../../domain/item.ts";
import { textStart } from "../../domain/json-cut.ts";
import { projectScope } from "../../operations/authorize.ts";
import { addItems, sealBatch } from "../../operations/batch-parts.ts";
import { rehearseBulk } from "../../operations/bulk-dry-run.ts";
import { batchOptions } from "../../operations/bulk-options.ts";
import { triggerBulk } from "../../operations/bulk-trigger.ts";
import { ArraySource, type ItemSource, LineSource } from "../../operations/item-source.ts";
import { findJob } from "../../operations/jobs.ts";
import { type Triggered, triggerRun } from "../../operations/triggers.ts";
import { secured, writes } from "../auth.ts";
import type { App, AppEnv } from "../context.ts";
import { etagOf } from "../etag.ts";
import { idempotencyKeyOf } from "../idempotency.ts";
import { bodyOf, readWhole } from "../raw-body.ts";
import { originOf, outlivingTheClient, requireType, typeOf } from "../request.ts";
import { batchOperation, batchToWire } from "../wire/batch-operations.ts";
import { errors, idParam, isoOrNull, jobParam, json, jsonBody, projectQuery } from "../wire/common.ts";
import { bulkAnswer, item, partAnswer, rehearsed, triggerBody, triggered } from "../wire/item.ts";
import {
  type BulkFields,
  type BulkQuery,
  bulkBody,
  bulkQuery,
  cutBulk,
  cutPart,
  cutTrigger,
  MAX_JSON_BYTES,
  partBody,
  partQuery,
  refuseLineOptions,
  sealBody,
  TRIGGER_FIELDS,
  triggerQuery,
} from "../wire/triggers.ts";

const tags = ["Triggers"];
/** A single trigger may say a little more than its item. */
const MAX_TRIGGER_BYTES = MAX_ITEM_BYTES + 1024;
const NDJSON = ["application/x-ndjson", "application/ndjson", "application/jsonl"];

/**
 * The schema is only described, by reference: the body is cut and judged from its raw bytes, and must not be read by the
 * validator of the routes.
 */
const described = (name: string) => ({ schema: { $ref: `#/components/schemas/${name}` } });
const linesOf = {
  schema: { type: "string" as const, description: "One item (`Item`) a line. Blank lines are skipped." },
  example: '{"payload":{"id":1}}\n{"payload":{"id":2},"priority":5}\n',
};
const bulkContent = (name: string) => ({
  required: true,
  content: {
    "application/json": described(name),
    ...Object.fromEntries(NDJSON.map((type) => [type, linesOf])),
  },
});

const trigger = createRoute({
  method: "post",
  path: "/v1/jobs/{job}/trigger",
  tags,
  summary: "Trigger one run",
  description:
    "The header `Idempotency-Key` is the item's `idempotency_key`. `Content-Encoding: gzip` is understood. " +
    "A duplicate answers 200 with the earlier run.",
  ...secured("jobs:trigger"),
  request: {
    params: jobParam,
    query: triggerQuery,
    body: { required: true, content: { "application/json": described("Trigger") } },
  },
  responses: {
    201: json(triggered, "The new run"),
    200: json(triggered.or(rehearsed), "A duplicate: the earlier run. With `dry_run`: what would happen"),
    ...errors(400, 404, 409, 413, 415, 422),
  },
});

const bulk = (path: "/v1/jobs/{job}/trigger-bulk" | "/v1/jobs/{job}/trigger/bulk") =>
  createRoute({
    method: "post",
    path,
    tags,
    summary: path.endsWith("-bulk") ? "Trigger many runs" : "Trigger many runs (an alias)",
    description:
      "JSON: up to 10,000 items and 16 MiB. NDJSON: an item a line, up to a million, read as a stream; the batch's " +
      "options stand in the query. `Content-Encoding: gzip` is understood. One bad item never spoils the others. With an " +
      "`Idempotency-Key` a request that died is sent again and goes on from where it was. 413 for item 1,000,001: the " +
      "first million are kept.",
    ...secured("jobs:trigger"),
    request: { params: jobParam, query: bulkQuery, body: bulkContent("BulkTrigger") },
    responses: {
      201: json(bulkAnswer, "What became of each item"),
      200: json(bulkAnswer, "With `dry_run`: what would become of each"),
      ...errors(400, 404, 409, 413, 415, 422),
    },
  });

const part = createRoute({
  method: "post",
  path: "/v1/batch-operations/{id}/items",
  tags,
  summary: "Add items to an open batch operation",
  description:
    "409 with `item_count` where `from_index` is beyond the next index. An index that was taken already is compared and " +
    "skipped: with other bytes it is a 409.",
  ...secured("jobs:trigger"),
  request: { params: idParam("batch operation"), query: partQuery, body: bulkContent("BulkPart") },
  responses: { 201: json(partAnswer, "What became of each item"), ...errors(400, 404, 409, 413, 415, 422) },
});

const seal = createRoute({
  method: "post",
  path: "/v1/batch-operations/{id}/seal",
  tags,
  summary: "Close an open batch operation",
  description: "409 where it is finished, or where it has another count of items than `expected_count`.",
  ...writes("jobs:trigger"),
  request: {
    params: idParam("batch operation"),
    query: projectQuery,
    body: { ...jsonBody(sealBody), required: false },
  },
  responses: {
    200: json(batchOperation, "The batch operation, with `ETag`"),
    ...errors(400, 404, 409, 413, 415, 422),
  },
});

/** What the typed client is typed by. */
export type TriggerRoutes = typeof trigger | typeof part | typeof seal | ReturnType<typeof bulk>;

export function registerTriggers(app: App): void {
  app.openAPIRegistry.register("Trigger", triggerBody);
  app.openAPIRegistry.register("BulkTrigger", bulkBody);
  app.openAPIRegistry.register("BulkPart", partBody);
  app.openAPIRegistry.register("Item", item);

  app.openapi(trigger, async (c) => {
    requireType(c, ["application/json"]);
    const key = idempotencyKeyOf(c);
    const bytes = await readWhole(bodyOf(c.req.raw).read, MAX_TRIGGER_BYTES);
    const { dry_run, project_id } = cutTrigger(bytes);
    const job = await jobOf(c, c.req.valid("param").job, project_id ?? c.req.valid("query").project_id);
    const run = await triggerRun(c.env, job, {
      bytes,
      from: textStart(bytes),
      others: TRIGGER_FIELDS,
      idempotencyKey: key,
      origin: originOf(c, "api"),
      dryRun: dry_run,
    });
    if (dry_run) return c.json(rehearsalToWire(run), 200);
    return c.json(triggeredToWire(run), run.outcome === "created" ? 201 : 200);
  });

  app.openapi(bulk("/v1/jobs/{job}/trigger-bulk"), (c) =>
    answerBulk(c, c.req.valid("param").job, c.req.valid("query")),
  );
  app.openapi(bulk("/v1/jobs/{job}/trigger/bulk"), (c) =>
    answerBulk(c, c.req.valid("param").job, c.req.valid("query")),
  );

  app.openapi(part, async (c) => {
    const { id } = c.req.valid("param");
    const { from_index, project_id } = c.req.valid("query");
    const source = await partSource(c);
    const added = addItems(c.env, c.var.caller, id, from_index, originOf(c, "bulk"), source, project_id);
    return c.json(await outlivingTheClient(c, added), 201);
  });

  app.openapi(seal, async (c) => {
    const { id } = c.req.valid("param");
    const { expected_count = null } = c.req.valid("json") ?? {};
    const batch = await sealBatch(c.env, c.var.caller, id, expected_count, c.req.valid("query").project_id);
    return c.json(batchToWire(batch), 200, { ETag: etagOf(batch.ver) });
  });
}

// ---------------------------------------------------------------------------------------------- the bulk

async function answerBulk(c: Context<AppEnv>, jobRef: string, query: BulkQuery) {
  const { source, fields, isLines } = await bulkSource(c, query);
  if (isLines && query.atomic) throw invalid([{ path: "atomic", message: "is not possible with NDJSON" }]);
  const { dry_run, project_id, ...given } = fields;
  const dryRun = (dry_run ?? false) || (query.dry_run ?? false);
  const { atomic = false, open = false } = query;
  if (dryRun && open) throw invalid([{ path: "open", message: "is not possible with dry_run" }]);
  const key = idempotencyKeyOf(c);
  const origin = originOf(c, "bulk");
  const job = await jobOf(c, jobRef, project_id ?? query.project_id);
  const options = await batchOptions(c.env, job, given);
  if (dryRun) return c.json(await rehearseBulk(c.env, job, { origin, atomic }, source), 200);
  const fingerprintOf = { given, atomic, open, isLines };
  const request = { options, fingerprintOf, idempotencyKey: key, origin, atomic, open };
  const answer = await outlivingTheClient(c, triggerBulk(c.env, job, request, source));
  if (answer.replayed) c.header("Idempotency-Replayed", "true");
  return c.json(answer.body, 201);
}

interface BulkSource {
  source: ItemSource;
  fields: BulkFields;
  isLines: boolean;
}

async function bulkSource(c: Context<AppEnv>, query: BulkQuery): Promise<BulkSource> {
  const body = bodyOf(c.req.raw);
  if (isLines(c)) {
    const { atomic, open, dry_run, ...fields } = query;
    return { source: new LineSource(body.read, body.knowsItsEnd), fields, isLines: true };
  }
  const bytes = await readWhole(body.read, MAX_JSON_BYTES);
  const { items, fields } = cutBulk(bytes);
  refuseLineOptions(query);
  return { source: new ArraySource(bytes, items), fields, isLines: false };
}

async function partSource(c: Context<AppEnv>): Promise<ItemSource> {
  const body = bodyOf(c.req.raw);
  if (isLines(c)) return new LineSource(body.read, body.knowsItsEnd);
  const bytes = await readWhole(body.read, MAX_JSON_BYTES);
  return new ArraySource(bytes, cutPart(bytes));
}

// ---------------------------------------------------------------------------------------------- the request

function isLines(c: Context<AppEnv>): boolean {
  requireType(c, ["application/json", ...NDJSON]);
  return NDJSON.includes(typeOf(c) ?? "");
}

const jobOf = (c: Context<AppEnv>, ref: string, project: string | undefined) =>
  findJob(c.env, projectScope(c.var.caller, project), ref);

// ---------------------------------------------------------------------------------------------- answers

const triggeredToWire = (run: Triggered) => ({
  id: run.id ?? "",
  status: run.status,
  payload_hash: run.payloadHash,
  outcome: run.outcome,
  duplicate_of: run.outcome === "duplicate" ? run.id : null,
  idempotency_hit: run.outcome === "duplicate",
});

const rehearsalToWire = (run: Triggered) => ({
  outcome: run.outcome,
  duplicate_of: run.outcome === "duplicate" ? run.id : null,
  waiting_for: run.waitingFor,
  earliest_start_at: isoOrNull(run.earliestStartAt),
  payload_hash: run.payloadHash,
  job_version: run.jobVersion,
});
