import { createRoute, z } from "@hono/zod-openapi";
import type { Context } from "hono";
import type { AttemptRecord, RunRecord } from "../../domain/run.ts";
import { watchBatch, watchRun } from "../../operations/watch.ts";
import { resumable, secured } from "../auth.ts";
import type { App, AppEnv } from "../context.ts";
import { idParam, strictQuery } from "../wire/common.ts";
import { kernelErrors } from "./error.ts";
import { noQuery } from "./invocations.ts";
import { namesFor, sentProject } from "./names.ts";
import { eventStream, type KernelEvent } from "./stream.ts";
import { batchCounts, batchJobToWire, invocationToWire, queryEarlier } from "./wire.ts";

const stream = (description: string) => ({
  description: `${description}. Every 15 s a \`sse_heartbeat\`. All data has \`event\` and \`timestamp\`.`,
  content: { "text/event-stream": { schema: z.string() } },
});
const nothingNew = { description: "`Last-Event-ID` was the last event" };

const ofInvocation = createRoute({
  method: "get",
  path: "/kernel/invocations/{id}/events",
  tags: ["Kernel: invocations"],
  summary: "Follow an invocation",
  ...secured("runs:read"),
  ...resumable(),
  request: {
    params: idParam("invocation"),
    query: strictQuery({
      since: queryEarlier("Attempts that ended before it, or longer ago, are left out.").optional(),
    }),
  },
  responses: {
    200: stream(
      "`invocation_state` `{invocation}` at once, at every change and at the end; `log` `{message}` for every attempt that " +
        "failed; `error` where the stream breaks",
    ),
    204: nothingNew,
    ...kernelErrors(404),
  },
});

const ofBatch = createRoute({
  method: "get",
  path: "/kernel/batch_jobs/{id}/events",
  tags: ["Kernel: batch jobs"],
  summary: "Follow a batch job",
  ...secured("runs:read"),
  ...resumable(),
  request: { params: idParam("batch job"), query: noQuery },
  responses: {
    200: stream(
      "`batch_state` `{batch_job}` at once and at the end; `batch_progress` `{succeeded_count, failed_count, total_count}` on " +
        "every change, at most 4 a second; `error` where the stream breaks",
    ),
    204: nothingNew,
    ...kernelErrors(404),
  },
});

const optionsOf = (c: Context<AppEnv>) => ({
  project: sentProject(c),
  lastEventId: c.req.header("Last-Event-ID"),
  signal: c.req.raw.signal,
});

/** Of attempts that have failed and were not told yet. */
function logsOf(run: RunRecord, attempts: readonly AttemptRecord[], since: number): KernelEvent[] {
  return attempts.flatMap(({ number, error, finished_at }) => {
    if (error === null || finished_at === null || finished_at < since) return [];
    return [
      {
        event: "log",
        at: finished_at,
        data: { message: `attempt ${number} of ${run.max_attempts} failed: ${error.message}` },
      },
    ];
  });
}

export function registerEvents(app: App): void {
  app.openapi(ofInvocation, async (c) => {
    const { id } = c.req.valid("param");
    const since = c.req.valid("query").since?.(Date.now()) ?? 0;
    const runs = await watchRun(c.env, c.var.caller, id, optionsOf(c));
    let told = 0;
    let shown: string | null = null;
    let names: Awaited<ReturnType<typeof namesFor>> | null = null;
    return eventStream(runs, async ({ ver, run: { run, ...bodies } }) => {
      names ??= await namesFor(c, run.project_id, [run.job_id]);
      const closed = run.attempts.filter((attempt) => attempt.finished_at !== null);
      const logs = logsOf(run, closed.slice(told), since);
      told = closed.length;
      const invocation = invocationToWire(run, names, bodies);
      const before = shown;
      shown = JSON.stringify(invocation);
      // A run that waits for a retry, or is handed to a consumer, is the same to this face: queued.
      return shown === before ? logs : [...logs, { event: "invocation_state", id: ver, data: { invocation } }];
    });
  });

  app.openapi(ofBatch, async (c) => {
    const batches = await watchBatch(c.env, c.var.caller, c.req.valid("param").id, optionsOf(c));
    let counted: string | null = null;
    let names: Awaited<ReturnType<typeof namesFor>> | null = null;
    return eventStream(batches, async ({ ver, batch }) => {
      names ??= await namesFor(c, batch.project_id, [batch.job_id]);
      const before = counted;
      const counts = batchCounts(batch);
      counted = JSON.stringify(counts);
      if (before === null || batch.finished_at !== null) {
        return [{ event: "batch_state", id: ver, data: { batch_job: batchJobToWire(batch, names) } }];
      }
      return counted === before ? [] : [{ event: "batch_progress", id: ver, data: counts }];
    });
  });
}
