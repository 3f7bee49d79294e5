import { createRoute, z } from "@hono/zod-openapi";
import type { Context } from "hono";
import type { Job } from "../../domain/job.ts";
import { projectScope } from "../../operations/authorize.ts";
import { restoreVersion } from "../../operations/job-editing.ts";
import { jobHealth, jobSchedule } from "../../operations/job-health.ts";
import { findJob, getVersion, listVersions } from "../../operations/jobs.ts";
import { creates, secured } from "../auth.ts";
import type { App, AppEnv } from "../context.ts";
import { etagOf } from "../etag.ts";
import { pageAnswer, pageRequest, type SortKey } from "../list.ts";
import {
  errors,
  iso,
  jobParam,
  json,
  listParams,
  projectParam,
  projectQuery,
  queryInt,
  strictQuery,
} from "../wire/common.ts";
import {
  jobHealthWire,
  jobWire,
  scheduleWire,
  toHealthWire,
  toJobWire,
  toVersionWire,
  toVersionWithDiff,
  versionList,
  versionWithDiff,
} from "../wire/jobs.ts";

const tags = ["Jobs"];
const DEFAULT_COUNT = 10;

const versionParam = jobParam.extend({
  version_id: z
    .string()
    .min(1)
    .max(64)
    .openapi({ param: { name: "version_id", in: "path" }, description: "A version_id or a version's number." }),
});

const list = createRoute({
  method: "get",
  path: "/v1/jobs/{job}/versions",
  tags,
  summary: "List a job's versions",
  description: "All of them, whole, the current one included.",
  ...secured("jobs:read"),
  request: { params: jobParam, query: strictQuery(listParams) },
  responses: { 200: json(versionList, "Versions, newest first"), ...errors(400, 404, 422) },
});

const get = createRoute({
  method: "get",
  path: "/v1/jobs/{job}/versions/{version_id}",
  tags,
  summary: "Get a job's version",
  ...secured("jobs:read"),
  request: {
    params: versionParam,
    query: strictQuery({
      project_id: projectParam,
      diff: z.string().min(1).max(64).optional().openapi({ description: "The version to compare with." }),
    }),
  },
  responses: { 200: json(versionWithDiff, "The version"), ...errors(404, 422) },
});

const restore = createRoute({
  method: "post",
  path: "/v1/jobs/{job}/versions/{version_id}/restore",
  tags,
  summary: "Restore a job's version",
  description: "Makes a new version that equals the old one.",
  ...creates("jobs:write"),
  request: { params: versionParam, query: projectQuery },
  responses: { 201: json(jobWire, "The job at its new version"), ...errors(404, 409, 413, 422) },
});

const health = createRoute({
  method: "get",
  path: "/v1/jobs/{job}/health",
  tags,
  summary: "A job's state and its last 24 hours",
  ...secured("jobs:read"),
  request: { params: jobParam, query: projectQuery },
  responses: { 200: json(jobHealthWire, "The job's health"), ...errors(404, 422) },
});

const schedule = createRoute({
  method: "get",
  path: "/v1/jobs/{job}/schedule",
  tags,
  summary: "The next times at which a job's cron will fire",
  ...secured("jobs:read"),
  request: {
    params: jobParam,
    query: strictQuery({
      project_id: projectParam,
      count: queryInt(5, 100, `How many; ${DEFAULT_COUNT} by default.`).optional(),
    }),
  },
  responses: { 200: json(scheduleWire, "Times; none without a cron"), ...errors(404, 422) },
});

const BY_VERSION: SortKey<{ version: number }> = {
  of: (row) => String(row.version),
  isKey: (text) => /^\d{1,10}$/.test(text),
};

/** Read past the cache: an object by its name is never behind. */
const theJob = (c: Context<AppEnv>, ref: string, named: string | undefined): Promise<Job> =>
  findJob(c.env, projectScope(c.var.caller, named), ref, { fresh: true });

/** What the typed client is typed by. */
export type JobVersionRoutes = typeof list | typeof get | typeof restore | typeof health | typeof schedule;

export function registerJobVersions(app: App): void {
  app.openapi(list, async (c) => {
    const asOf = Date.now();
    const query = c.req.valid("query");
    const job = await theJob(c, c.req.valid("param").job, query.project_id);
    const binding = { list: "job-versions", job: job.id };
    const page = pageRequest(query, binding, BY_VERSION);
    const before = page.before === null ? null : Number(page.before);
    const rows = await listVersions(c.env, job, { limit: page.limit, before });
    return c.json(pageAnswer(rows, page, binding, asOf, toVersionWire, BY_VERSION), 200);
  });

  app.openapi(get, async (c) => {
    const { job: ref, version_id } = c.req.valid("param");
    const { project_id, diff } = c.req.valid("query");
    const job = await theJob(c, ref, project_id);
    const version = await getVersion(c.env, job, version_id);
    const other = diff === undefined ? null : await getVersion(c.env, job, diff);
    return c.json(toVersionWithDiff(version, other), 200);
  });

  app.openapi(restore, async (c) => {
    const { job: ref, version_id } = c.req.valid("param");
    const job = await theJob(c, ref, c.req.valid("query").project_id);
    const restored = await restoreVersion(c.env, c.var.caller, job, version_id, Date.now());
    c.header("ETag", etagOf(restored.revision));
    return c.json(toJobWire(restored), 201);
  });

  app.openapi(health, async (c) => {
    const job = await theJob(c, c.req.valid("param").job, c.req.valid("query").project_id);
    return c.json(toHealthWire(await jobHealth(c.env, job, Date.now())), 200);
  });

  app.openapi(schedule, async (c) => {
    const { project_id, count } = c.req.valid("query");
    const job = await theJob(c, c.req.valid("param").job, project_id);
    return c.json({ data: jobSchedule(job, Date.now(), count ?? DEFAULT_COUNT).map(iso) }, 200);
  });
}
