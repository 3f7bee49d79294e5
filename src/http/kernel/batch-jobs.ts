import { createRoute, z } from "@hono/zod-openapi";
import type { Context } from "hono";
import type { BatchRecord } from "../../domain/batch.ts";
import { ApiError } from "../../domain/error.ts";
import { runsOfBatch } from "../../operations/batch-runs.ts";
import { type BatchFilter, cancelBatch, getBatch } from "../../operations/batches.ts";
import { batchOptions } from "../../operations/bulk-options.ts";
import { triggerBulk } from "../../operations/bulk-trigger.ts";
import { pageOfBatchesAt } from "../../operations/offset-lists.ts";
import { bodiesOf } from "../../operations/runs.ts";
import { idempotencyParameters, secured, writes } from "../auth.ts";
import type { App, AppEnv } from "../context.ts";
import { bodyOf, readWhole } from "../raw-body.ts";
import { originOf, outlivingTheClient, requireType } from "../request.ts";
import { idParam, json, jsonBody, strictQuery, uuid } from "../wire/common.ts";
import { arrayAnswer, mapAhead, pageHeadersOf } from "./answers.ts";
import { kernelErrors } from "./error.ts";
import { endBody, noQuery, refuseSuccess } from "./invocations.ts";
import { actionOf, appOf, LATEST, listedAction, listedApp, namesFor, sentProject, versionOf } from "./names.ts";
import { batchBody, MAX_BATCH_BYTES, PayloadSource, readBatchBody } from "./payloads.ts";
import { repeatable } from "./repeats.ts";
import {
  BATCH_STATUSES,
  batchesOf,
  batchJob,
  batchJobToWire,
  batchJobWhole,
  invocationToWire,
  pageOf,
  pageParams,
} from "./wire.ts";

const tags = ["Kernel: batch jobs"];
const DEFAULT_LIMIT = 50;

const created = z
  .object({ batch_job_id: uuid(), total_count: z.int(), status: z.literal("queued") })
  .openapi("KernelBatchCreated");

const create = createRoute({
  method: "post",
  path: "/kernel/invocations/batch",
  tags,
  summary: "Invoke an action for each of many payloads",
  description:
    "One batch operation of the job; its invocations are ordinary runs. Any bad payload refuses all of them. At most 16 MiB.",
  ...secured("jobs:trigger"),
  parameters: idempotencyParameters,
  request: {
    body: {
      required: true,
      content: { "application/json": { schema: { $ref: "#/components/schemas/KernelCreateBatch" } } },
    },
  },
  responses: { 202: json(created, "The batch job"), ...kernelErrors(404, 409, 413, 415) },
});

const query = strictQuery({
  app_name: z.string().optional().openapi({ description: "The project's slug; needed with the admin token." }),
  action_name: z.string().optional(),
  status: z.enum(BATCH_STATUSES).optional(),
  ...pageParams,
});

const list = createRoute({
  method: "get",
  path: "/kernel/batch_jobs",
  tags,
  summary: "List batch jobs",
  description: "Newest first, whatever started them. What was acknowledged before is in it.",
  ...secured("runs:read"),
  request: { query },
  responses: {
    200: pageOf(batchJob, "Batch jobs, newest first; 50 by default"),
    ...kernelErrors(404),
  },
});

const get = createRoute({
  method: "get",
  path: "/kernel/batch_jobs/{id}",
  tags,
  summary: "Get a batch job",
  description: "With its invocations.",
  ...secured("runs:read"),
  request: { params: idParam("batch job"), query: noQuery },
  responses: { 200: json(batchJobWhole, "The batch job"), ...kernelErrors(404) },
});

const patch = createRoute({
  method: "patch",
  path: "/kernel/batch_jobs/{id}",
  tags,
  summary: "Cancel a batch job",
  description:
    "`failed` at once: what waits is canceled, while what runs ends by itself and is counted. 409 once it has ended.",
  ...writes("runs:write"),
  request: { params: idParam("batch job"), query: noQuery, body: jsonBody(endBody) },
  responses: { 200: json(batchJob, "The batch job"), ...kernelErrors(404, 409, 413, 415) },
});

/** A bad item is one of the request's payloads. */
function inPayloads(error: unknown): unknown {
  if (!(error instanceof ApiError) || error.details.length === 0) return error;
  const details = error.details.map(({ path, message }) => ({
    path: path.replace(/^items\[(\d+)\](?:\.payload)?/, "payloads[$1]"),
    message,
  }));
  const [first] = details;
  const more = details.length > 1 ? `, and ${details.length - 1} more` : "";
  return new ApiError(error.code, `${first?.path}: ${first?.message}${more}`, { details });
}

async function invokeAll(c: Context<AppEnv>, bytes: Uint8Array) {
  const { fields, payloads } = readBatchBody(bytes);
  const app = await appOf(c, fields.app_name);
  const action = await actionOf(c, app, fields.action_name);
  const asked = await versionOf(c, action, fields.version ?? LATEST);
  const max_concurrency = fields.max_concurrency ?? app.max_concurrent_invocations;
  const options = await batchOptions(c.env, action, { max_concurrency });
  const first = async (key: string | null): Promise<z.infer<typeof created>> => {
    const request = {
      options,
      jobVersion: asked?.version,
      fingerprintOf: { face: "kernel", version: asked?.version ?? null, max_concurrency },
      // Keys of this face are its own: no header can hold a line break.
      idempotencyKey: key === null ? null : `kernel\n${key}`,
      origin: originOf(c, "bulk"),
      atomic: true,
      open: false,
    };
    const { body } = await triggerBulk(c.env, action, request, new PayloadSource(payloads, asked?.version ?? null));
    if (body.batch_id === null) throw new Error("a bulk was answered without a batch");
    return { batch_job_id: body.batch_id, total_count: body.total, status: "queued" };
  };
  return repeatable(c, { projectId: app.id, body: bytes, first });
}

/** What a query asks for; null: nothing can be found. */
async function filterOf(c: Context<AppEnv>, asked: z.infer<typeof query>): Promise<BatchFilter | null> {
  const app = await listedApp(c, asked.app_name);
  if (app === null) return null;
  const action = asked.action_name === undefined ? undefined : await listedAction(c, app, asked.action_name);
  if (action === null) return null;
  return { project_id: app.id, job_id: action?.id, ...(asked.status ? batchesOf(asked.status) : {}) };
}

async function shownBatch(c: Context<AppEnv>, batch: BatchRecord) {
  return batchJobToWire(batch, await namesFor(c, batch.project_id, [batch.job_id]));
}

export function registerBatchJobs(app: App): void {
  app.openAPIRegistry.register("KernelCreateBatch", batchBody);

  app.openapi(create, async (c) => {
    requireType(c, ["application/json"]);
    const bytes = await readWhole(bodyOf(c.req.raw).read, MAX_BATCH_BYTES);
    try {
      const { given, replayed } = await outlivingTheClient(c, invokeAll(c, bytes));
      if (replayed) c.header("Idempotency-Replayed", "true");
      return c.json(given, 202);
    } catch (error) {
      throw inPayloads(error);
    }
  });

  app.openapi(list, async (c) => {
    const asked = c.req.valid("query");
    const { limit = DEFAULT_LIMIT, offset = 0 } = asked;
    const filter = await filterOf(c, asked);
    const none = { rows: [], hasMore: false };
    const { rows, hasMore } = filter ? await pageOfBatchesAt(c.env, filter, offset, limit, Date.now()) : none;
    const headers = pageHeadersOf(limit, offset, rows.length, hasMore);
    if (filter === null || rows.length === 0) return c.json([], 200, headers);
    const ids = rows.map((batch) => batch.job_id);
    const names = await namesFor(c, filter.project_id, ids);
    return c.json(
      rows.map((batch) => batchJobToWire(batch, names)),
      200,
      headers,
    );
  });

  app.openapi(get, async (c) => {
    const batch = await getBatch(c.env, c.var.caller, c.req.valid("param").id, sentProject(c));
    const names = await namesFor(c, batch.project_id, [batch.job_id]);
    const invocations = mapAhead(runsOfBatch(c.env, batch), async (run) =>
      invocationToWire(run, names, await bodiesOf(c.env, run)),
    );
    const head = JSON.stringify(batchJobToWire(batch, names)).slice(0, -1);
    return arrayAnswer(c, invocations, {}, [`${head},"invocations":[`, "]}"]);
  });

  app.openapi(patch, async (c) => {
    refuseSuccess(c.req.valid("json"));
    const batch = await cancelBatch(c.env, c.var.caller, c.req.valid("param").id, sentProject(c));
    return c.json(await shownBatch(c, batch), 200);
  });
}
