import { createRoute } from "@hono/zod-openapi";
import type { Context } from "hono";
import { DEAD_STATUSES, type RunStatus } from "../../domain/run.ts";
import { resolveProject } from "../../operations/authorize.ts";
import { copyAsOf } from "../../operations/copy.ts";
import { findJobForRuns } from "../../operations/ledger-home.ts";
import { getRun, pageOfRuns, type RunFilter } from "../../operations/runs.ts";
import { secured } from "../auth.ts";
import type { App, AppEnv } from "../context.ts";
import { BY_ID, pageRequest } from "../list.ts";
import { BY_INDEX, scannedAnswer } from "../scanned-list.ts";
import { errors, idParam, jobParam, json, projectQuery } from "../wire/common.ts";
import { rawJson } from "../wire/raw-json.ts";
import { deadRunQuery, runList, runQuery, runToWire, runWithAttempts, runWithAttemptsToWire } from "../wire/runs.ts";

const tags = ["Runs"];
const COPY_NOTE =
  "Newest first, from a copy that is at most a second behind. A page may be short, or empty, and still have a successor.";

const list = createRoute({
  method: "get",
  path: "/v1/runs",
  tags,
  summary: "List runs",
  description: COPY_NOTE,
  ...secured("runs:read"),
  request: { query: runQuery },
  responses: { 200: json(runList, "Runs, newest first"), ...errors(400, 404, 422) },
});

const listOfJob = createRoute({
  method: "get",
  path: "/v1/jobs/{job}/runs",
  tags,
  summary: "List a job's runs",
  description: COPY_NOTE,
  ...secured("runs:read"),
  request: { params: jobParam, query: runQuery },
  responses: { 200: json(runList, "Runs, newest first"), ...errors(400, 404, 422) },
});

const dead = createRoute({
  method: "get",
  path: "/v1/runs/dlq",
  tags,
  summary: "List dead runs",
  description: `Runs that are failed, timed_out or crashed. ${COPY_NOTE}`,
  ...secured("runs:read"),
  request: { query: deadRunQuery },
  responses: { 200: json(runList, "Runs, newest first"), ...errors(400, 404, 422) },
});

const get = createRoute({
  method: "get",
  path: "/v1/runs/{id}",
  tags,
  summary: "Get a run",
  description: "With its attempts. Never behind: a run can be read the moment it is acknowledged.",
  ...secured("runs:read"),
  request: { params: idParam("run"), query: projectQuery },
  responses: { 200: json(runWithAttempts, "The run"), ...errors(404, 422) },
});

type RunQuery = ReturnType<typeof runQuery.parse>;

/** A page of the runs that a query asks for, within what the route has settled already. */
async function page(
  c: Context<AppEnv>,
  scope: { project_id: string; job_id?: string },
  query: Omit<RunQuery, "status">,
  statuses: readonly RunStatus[] | undefined,
) {
  const asOf = await copyAsOf(c.env, scope.job_id ?? null, Date.now());
  const { limit, cursor, project_id: _, ...filters } = query;
  const filter: RunFilter = { ...filters, ...scope, statuses };
  const binding = { list: "runs", ...filter };
  // Within a batch, rows are sorted by index.
  const request = pageRequest({ limit, cursor }, binding, filter.batch_id === undefined ? BY_ID : BY_INDEX);
  const rows = await pageOfRuns(c.env, filter, request.before, request.limit);
  return rawJson(c, scannedAnswer(rows, binding, asOf, runToWire), 200);
}

/** What the typed client is typed by. */
export type RunRoutes = typeof list | typeof listOfJob | typeof dead | typeof get;

export function registerRuns(app: App): void {
  app.openapi(list, (c) => {
    const { status, ...query } = c.req.valid("query");
    return page(c, { project_id: resolveProject(c.var.caller, query.project_id) }, query, status);
  });

  app.openapi(listOfJob, async (c) => {
    const { status, ...query } = c.req.valid("query");
    const job = await findJobForRuns(c.env, c.var.caller, c.req.valid("param").job, query.project_id);
    return page(c, { project_id: job.project_id, job_id: job.id }, query, status);
  });

  app.openapi(dead, (c) => {
    const query = c.req.valid("query");
    return page(c, { project_id: resolveProject(c.var.caller, query.project_id) }, query, DEAD_STATUSES);
  });

  app.openapi(get, async (c) => {
    const run = await getRun(c.env, c.var.caller, c.req.valid("param").id, c.req.valid("query").project_id);
    return rawJson(c, runWithAttemptsToWire(run), 200);
  });
}
