import { createRoute } from "@hono/zod-openapi";
import type { Context } from "hono";
import { issueStreamToken } from "../../operations/stream-tokens.ts";
import { type WatchOptions, watchBatch, watchRun } from "../../operations/watch.ts";
import { resumable, secured, securedOrToken } from "../auth.ts";
import type { App, AppEnv } from "../context.ts";
import { sseResponse } from "../sse.ts";
import { errors, idParam, iso, json, projectQuery } from "../wire/common.ts";
import { batchEventsQuery, batchEventToSse, eventStream, runEventToSse, streamToken } from "../wire/events.ts";

const HOW_IT_ENDS =
  "The stream ends after the terminal state; of what has ended it is that state alone. `Last-Event-ID` resumes: where it names " +
  "the terminal state the answer is 204, which tells an `EventSource` to stop. A comment every 15 s keeps the connection.";

const batchEvents = createRoute({
  method: "get",
  path: "/v1/batch-operations/{id}/events",
  tags: ["Batch operations"],
  summary: "Watch a batch operation",
  description:
    "Server-sent events. `batch_state` at once and at every change of status, its data the batch operation; `batch_progress`, " +
    "at most four a second and never more than a second behind, its data the counts and the numbers beside them. `id` is the " +
    `version that the \`ETag\` shows. ${HOW_IT_ENDS}`,
  ...securedOrToken("runs:read"),
  ...resumable(),
  request: { params: idParam("batch operation"), query: batchEventsQuery },
  responses: {
    200: eventStream("`batch_state` and `batch_progress`"),
    204: { description: "The terminal state has been seen" },
    ...errors(404, 422),
  },
});

const runEvents = createRoute({
  method: "get",
  path: "/v1/runs/{id}/events",
  tags: ["Runs"],
  summary: "Watch a run",
  description: `Server-sent events. \`run_state\` at once and at every change of status, its data the run with its attempts. ${HOW_IT_ENDS}`,
  ...secured("runs:read"),
  ...resumable(),
  request: { params: idParam("run"), query: projectQuery },
  responses: {
    200: eventStream("`run_state`"),
    204: { description: "The terminal state has been seen" },
    ...errors(404, 422),
  },
});

const token = createRoute({
  method: "post",
  path: "/v1/batch-operations/{id}/stream-token",
  tags: ["Batch operations"],
  summary: "Issue a token for watching",
  description:
    "For browsers, whose `EventSource` sends no headers. It reads the events of this batch operation for five minutes, and nothing else, " +
    "from a page of any origin.",
  ...secured("runs:read"),
  request: { params: idParam("batch operation"), query: projectQuery },
  responses: { 201: json(streamToken, "The token"), ...errors(404, 422) },
});

export type EventRoutes = typeof batchEvents | typeof runEvents | typeof token;

const watching = (c: Context<AppEnv>, project: string | undefined): WatchOptions => ({
  project,
  lastEventId: c.req.header("Last-Event-ID"),
  signal: c.req.raw.signal,
});

export function registerEvents(app: App): void {
  app.openapi(batchEvents, async (c) => {
    const options = watching(c, c.req.valid("query").project_id);
    return sseResponse(await watchBatch(c.env, c.var.caller, c.req.valid("param").id, options), batchEventToSse);
  });

  app.openapi(runEvents, async (c) => {
    const options = watching(c, c.req.valid("query").project_id);
    return sseResponse(await watchRun(c.env, c.var.caller, c.req.valid("param").id, options), runEventToSse);
  });

  app.openapi(token, async (c) => {
    const { id } = c.req.valid("param");
    const { project_id } = c.req.valid("query");
    const issued = await issueStreamToken(c.env, c.var.caller, id, Date.now(), project_id);
    return c.json({ token: issued.token, expires_at: iso(issued.expiresAt) }, 201, { "Cache-Control": "no-store" });
  });
}
