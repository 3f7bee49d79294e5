import { createRoute } from "@hono/zod-openapi";
import { BEHIND_REQUEST_MS, carryOn, retryFailed } from "../../operations/replay-sweep.ts";
import { creates } from "../auth.ts";
import type { App } from "../context.ts";
import { replayContext } from "../replay-context.ts";
import { errors, idParam, json, projectQuery } from "../wire/common.ts";
import { bulkAnswer } from "../wire/item.ts";

const retry = createRoute({
  method: "post",
  path: "/v1/batch-operations/{id}/retry-failed",
  tags: ["Batch operations"],
  summary: "Retry what failed of a batch operation",
  description:
    "A new batch operation, `retry_of` this one, with a replay of each run that is failed, timed_out, crashed or expired, in index " +
    "order, under the same `max_concurrency` and `metadata`. 409 unless this one is finished and something of it failed. Above 1,000 runs the rest is taken in behind the request, " +
    "however many: `total` then says how many there will be, the other counts how many there are.",
  ...creates("runs:write"),
  request: { params: idParam("batch operation"), query: projectQuery },
  responses: { 201: json(bulkAnswer, "The new batch operation"), ...errors(400, 404, 409, 413, 422) },
});

export type BatchRetryRoutes = typeof retry;

export function registerBatchRetry(app: App): void {
  app.openapi(retry, async (c) => {
    const context = replayContext(c, c.req.valid("query").project_id);
    const begun = await retryFailed(c.env, c.var.caller, c.req.valid("param").id, context);
    if (!begun.isDone) c.executionCtx.waitUntil(carryOn(c.env, begun.operationId, Date.now() + BEHIND_REQUEST_MS));
    return c.json(begun.answer, 201);
  });
}
