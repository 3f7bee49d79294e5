import { createRoute } from "@hono/zod-openapi";
import { cancelBatch } from "../../operations/batches.ts";
import { replayRun, replayRuns } from "../../operations/replay.ts";
import { BEHIND_REQUEST_MS, carryOn, replaySelection } from "../../operations/replay-sweep.ts";
import { cancelRun, cancelRuns, cancelWhere } from "../../operations/run-steering.ts";
import { creates, secured, writes } from "../auth.ts";
import type { App } from "../context.ts";
import { replayContext } from "../replay-context.ts";
import { errors, idParam, json, jsonBody, projectQuery } from "../wire/common.ts";
import { rawJson } from "../wire/raw-json.ts";
import {
  bulkCancelBody,
  bulkReplayBody,
  cancelOperation,
  replayOperation,
  steerResults,
} from "../wire/run-steering.ts";
import { runWithAttempts, runWithAttemptsToWire } from "../wire/runs.ts";

const tags = ["Runs"];

const cancelDescription =
  "`canceled` at once; a call in flight is aborted within 5 s, and its permit held until then. 409 for a terminal run.";

const cancel = createRoute({
  method: "post",
  path: "/v1/runs/{id}/cancel",
  tags,
  summary: "Cancel a run",
  description: cancelDescription,
  ...secured("runs:write"),
  request: { params: idParam("run"), query: projectQuery },
  responses: { 200: json(runWithAttempts, "The canceled run"), ...errors(404, 409, 422) },
});

const remove = createRoute({
  method: "delete",
  path: "/v1/runs/{id}",
  tags,
  summary: "Cancel a run",
  description: `The same as POST …/cancel. ${cancelDescription}`,
  ...secured("runs:write"),
  request: { params: idParam("run"), query: projectQuery },
  responses: { 200: json(runWithAttempts, "The canceled run"), ...errors(404, 409, 422) },
});

const replay = createRoute({
  method: "post",
  path: "/v1/runs/{id}/replay",
  tags,
  summary: "Replay a run",
  description:
    "A new run, never a duplicate, with the payload, tags, metadata, priority and keys of one that has ended, on the job as it is now.",
  ...creates("runs:write"),
  request: { params: idParam("run"), query: projectQuery },
  responses: { 201: json(runWithAttempts, "The new run"), ...errors(400, 404, 409, 413, 422) },
});

const bulkCancel = createRoute({
  method: "post",
  path: "/v1/runs/bulk-cancel",
  tags,
  summary: "Cancel many runs",
  description:
    "Exactly one of `run_ids` (200, a result each), `batch_id` (cancels that batch: 202, `operation_id` is the batch's) and " +
    "`job_id` with a `status` that is not terminal (202: in effect at once, swept in the background).",
  ...writes("runs:write"),
  request: { body: jsonBody(bulkCancelBody) },
  responses: {
    200: json(steerResults, "A result for each of `run_ids`, in their order"),
    202: json(cancelOperation, "Under way"),
    ...errors(400, 404, 409, 413, 415, 422),
  },
});

const bulkReplay = createRoute({
  method: "post",
  path: "/v1/runs/bulk-replay",
  tags,
  summary: "Replay many runs",
  description:
    "Exactly one of `run_ids` (200, a result each), `batch_id` (its failed, timed_out, crashed and expired runs) and `job_id` " +
    "with a terminal `status`. The latter two answer 202: the replays are a new batch operation, named by `operation_id`, " +
    "which takes them in behind the request, however many.",
  ...creates("runs:write"),
  request: { body: jsonBody(bulkReplayBody) },
  responses: {
    200: json(steerResults, "A result for each of `run_ids`, in their order"),
    202: json(replayOperation, "The new batch operation"),
    ...errors(400, 404, 409, 413, 415, 422),
  },
});

export type RunSteeringRoutes = typeof cancel | typeof remove | typeof replay | typeof bulkCancel | typeof bulkReplay;

export function registerRunSteering(app: App): void {
  app.openapi(cancel, async (c) => {
    const run = await cancelRun(c.env, c.var.caller, c.req.valid("param").id, c.req.valid("query").project_id);
    return rawJson(c, runWithAttemptsToWire(run), 200);
  });

  app.openapi(remove, async (c) => {
    const run = await cancelRun(c.env, c.var.caller, c.req.valid("param").id, c.req.valid("query").project_id);
    return rawJson(c, runWithAttemptsToWire(run), 200);
  });

  app.openapi(replay, async (c) => {
    const context = replayContext(c, c.req.valid("query").project_id);
    const run = await replayRun(c.env, c.var.caller, c.req.valid("param").id, context);
    return rawJson(c, runWithAttemptsToWire(run), 201);
  });

  app.openapi(bulkCancel, async (c) => {
    const { target, project_id } = c.req.valid("json");
    const { env } = c;
    const { caller } = c.var;
    if ("run_ids" in target) return c.json({ data: await cancelRuns(env, caller, target.run_ids, project_id) }, 200);
    if ("batch_id" in target) {
      const batch = await cancelBatch(env, caller, target.batch_id, project_id);
      return c.json({ operation_id: batch.id }, 202);
    }
    return c.json({ operation_id: await cancelWhere(env, caller, target.job_id, target.status, project_id) }, 202);
  });

  app.openapi(bulkReplay, async (c) => {
    const { target, project_id } = c.req.valid("json");
    const { env } = c;
    const { caller } = c.var;
    const context = replayContext(c, project_id);
    if ("run_ids" in target) return c.json({ data: await replayRuns(env, caller, target.run_ids, context) }, 200);
    const begun = await replaySelection(env, caller, target, context);
    if (!begun.isDone) c.executionCtx.waitUntil(carryOn(env, begun.operationId, Date.now() + BEHIND_REQUEST_MS));
    return c.json({ operation_id: begun.operationId }, 202);
  });
}
