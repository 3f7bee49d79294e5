import { createRoute } from "@hono/zod-openapi";
import { batchResults, type IndexedLine } from "../../operations/results.ts";
import { secured } from "../auth.ts";
import type { App } from "../context.ts";
import { ndjsonResponse } from "../ndjson.ts";
import { errors, idParam } from "../wire/common.ts";
import { ndjson, resultsQuery } from "../wire/results.ts";

const results = createRoute({
  method: "get",
  path: "/v1/batch-operations/{id}/results",
  tags: ["Batch operations"],
  summary: "Get the results of a batch operation",
  description:
    "NDJSON in index order, a line for each run that has ended: `index`, `run_id`, `status`, `result` (JSON, or null) and `error`. " +
    "Streamed, for any number. Of an unfinished batch operation it is what is finished; of a finished one everything, also when " +
    "its runs are no longer kept. An answer that breaks off is continued with `after_index` of the last whole line.",
  ...secured("runs:read"),
  request: { params: idParam("batch operation"), query: resultsQuery },
  responses: { 200: ndjson("A line for each run that has ended"), ...errors(404, 422) },
});

export type BatchResultRoutes = typeof results;

async function* textOf(lines: AsyncGenerator<IndexedLine, void>): AsyncGenerator<string, void> {
  for await (const { line } of lines) yield line;
}

export function registerBatchResults(app: App): void {
  app.openapi(results, async (c) => {
    const { project_id: project, status, after_index: after = null } = c.req.valid("query");
    const query = { statuses: status, after, project };
    const lines = await batchResults(c.env, c.var.caller, c.req.valid("param").id, query);
    // The router's types know no NDJSON: it counts neither as JSON nor as anything else.
    return (await ndjsonResponse(textOf(lines))) as never;
  });
}
