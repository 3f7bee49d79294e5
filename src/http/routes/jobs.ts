import { createRoute, type z } from "@hono/zod-openapi";
import type { Context } from "hono";
import { invalid } from "../../domain/error.ts";
import type { Job } from "../../domain/job.ts";
import type { JobChange } from "../../domain/job-fields.ts";
import { detailsOf } from "../../domain/strict.ts";
import { projectScope, resolveProject } from "../../operations/authorize.ts";
import * as editing from "../../operations/job-editing.ts";
import { findJob, listJobs } from "../../operations/jobs.ts";
import { creates, honoursIfMatch, secured, writes } from "../auth.ts";
import type { App, AppEnv } from "../context.ts";
import { etagOf, ifMatch } from "../etag.ts";
import { BY_ID, pageAnswer, pageRequest } from "../list.ts";
import { errors, jobParam, json, jsonBody, projectQuery } from "../wire/common.ts";
import { cloneJobBody, createJobBody, jobList, jobsQuery, jobWire, toJobWire, updateJobBody } from "../wire/jobs.ts";

const tags = ["Jobs"];
const request = { params: jobParam, query: projectQuery };
const jobAnswer = (description: string) => ({
  ...json(jobWire, description),
  headers: { ETag: { schema: { type: "string" as const }, description: "For If-Match." } },
});

const create = createRoute({
  method: "post",
  path: "/v1/jobs",
  tags,
  summary: "Create a job",
  ...creates("jobs:write"),
  request: { body: jsonBody(createJobBody) },
  responses: { 201: jobAnswer("The job"), ...errors(400, 404, 409, 413, 415, 422) },
});

const list = createRoute({
  method: "get",
  path: "/v1/jobs",
  tags,
  summary: "List jobs",
  ...secured("jobs:read"),
  request: { query: jobsQuery },
  responses: { 200: json(jobList, "Jobs, newest first"), ...errors(400, 404, 422) },
});

const get = createRoute({
  method: "get",
  path: "/v1/jobs/{job}",
  tags,
  summary: "Get a job",
  ...secured("jobs:read"),
  request,
  responses: { 200: jobAnswer("The job"), ...errors(404, 422) },
});

const update = createRoute({
  method: "patch",
  path: "/v1/jobs/{job}",
  tags,
  summary: "Change a job",
  description:
    "A change of any value makes a new version; one that changes nothing makes none. It is in force when this is answered.",
  ...writes("jobs:write"),
  ...honoursIfMatch(),
  request: { ...request, body: jsonBody(updateJobBody) },
  responses: { 200: jobAnswer("The job"), ...errors(400, 404, 409, 412, 413, 415, 422) },
});

const remove = createRoute({
  method: "delete",
  path: "/v1/jobs/{job}",
  tags,
  summary: "Delete a job",
  description: "Cancels what waits, lets what executes finish; its runs stay readable.",
  ...secured("jobs:write"),
  ...honoursIfMatch(),
  request,
  responses: { 204: { description: "Deleted" }, ...errors(404, 409, 412, 422) },
});

const pause = createRoute({
  method: "post",
  path: "/v1/jobs/{job}/pause",
  tags,
  summary: "Pause a job",
  description: "Triggers are accepted, nothing starts.",
  ...secured("jobs:write"),
  request,
  responses: { 200: jobAnswer("The job"), ...errors(404, 409, 422) },
});

const resume = createRoute({
  method: "post",
  path: "/v1/jobs/{job}/resume",
  tags,
  summary: "Resume a job",
  ...secured("jobs:write"),
  request,
  responses: { 200: jobAnswer("The job"), ...errors(404, 409, 422) },
});

const clone = createRoute({
  method: "post",
  path: "/v1/jobs/{job}/clone",
  tags,
  summary: "Clone a job",
  description: "A new job with every field of this one, secrets too, at version 1 and not paused.",
  ...creates("jobs:write"),
  request: { ...request, body: { required: false, content: { "application/json": { schema: cloneJobBody } } } },
  responses: { 201: jobAnswer("The new job"), ...errors(400, 404, 409, 413, 415, 422) },
});

/** A job and its ETag. */
function answer<S extends 200 | 201>(c: Context<AppEnv>, job: Job, status: S) {
  c.header("ETag", etagOf(job.revision));
  return c.json(toJobWire(job), status);
}

/** A body of the wrong shape is answered with what else is wrong in the fields whose shape is right. */
function everyProblem(
  result: { target: string; data?: unknown } & ({ success: true } | { success: false; error: z.core.$ZodError }),
  c: Context<AppEnv>,
): undefined {
  if (result.success) return undefined;
  const details = detailsOf(result.error);
  const { data } = result;
  if (result.target === "json" && typeof data === "object" && data !== null) {
    const wrong = new Set(result.error.issues.map((issue) => issue.path[0]));
    const right = Object.entries(data).filter(([name]) => !wrong.has(name));
    details.push(...editing.problemsOf(c.env, c.var.caller.projectId, Object.fromEntries(right) as JobChange));
  }
  throw invalid(details);
}

/** What the typed client is typed by. */
export type JobRoutes =
  | typeof create
  | typeof list
  | typeof get
  | typeof update
  | typeof remove
  | typeof pause
  | typeof resume
  | typeof clone;

export function registerJobs(app: App): void {
  app.openapi(
    create,
    async (c) => {
      const { project_id, ...wanted } = c.req.valid("json");
      const projectId = resolveProject(c.var.caller, project_id);
      return answer(c, await editing.createJob(c.env, c.var.caller, projectId, wanted, c.var.creationId), 201);
    },
    (result, c) => everyProblem(result, c),
  );

  app.openapi(list, async (c) => {
    const asOf = Date.now();
    const { limit, cursor, project_id, tag, ...rest } = c.req.valid("query");
    const projectId = resolveProject(c.var.caller, project_id);
    const filter = { ...rest, tags: tag ?? [] };
    const binding = { list: "jobs", project: projectId, ...filter };
    const page = pageRequest({ limit, cursor }, binding);
    return c.json(
      pageAnswer(await listJobs(c.env, projectId, filter, page), page, binding, asOf, toJobWire, BY_ID),
      200,
    );
  });

  /** Read past the cache: an object by its name is never behind. */
  const theJob = (c: Context<AppEnv>, ref: string, named: string | undefined): Promise<Job> =>
    findJob(c.env, projectScope(c.var.caller, named), ref, { fresh: true });

  app.openapi(get, async (c) => {
    const job = await theJob(c, c.req.valid("param").job, c.req.valid("query").project_id);
    return answer(c, job, 200);
  });

  app.openapi(
    update,
    async (c) => {
      const { project_id, ...change } = c.req.valid("json");
      projectScope(c.var.caller, project_id);
      const job = await theJob(c, c.req.valid("param").job, c.req.valid("query").project_id ?? project_id);
      return answer(c, await editing.editJob(c.env, c.var.caller, job, change, ifMatch(c), Date.now()), 200);
    },
    (result, c) => everyProblem(result, c),
  );

  app.openapi(remove, async (c) => {
    const job = await theJob(c, c.req.valid("param").job, c.req.valid("query").project_id);
    await editing.deleteJob(c.env, c.var.caller, job, ifMatch(c), Date.now());
    return c.body(null, 204);
  });

  app.openapi(pause, async (c) => {
    const job = await theJob(c, c.req.valid("param").job, c.req.valid("query").project_id);
    return answer(c, await editing.setPaused(c.env, c.var.caller, job, true, Date.now()), 200);
  });

  app.openapi(resume, async (c) => {
    const job = await theJob(c, c.req.valid("param").job, c.req.valid("query").project_id);
    return answer(c, await editing.setPaused(c.env, c.var.caller, job, false, Date.now()), 200);
  });

  app.openapi(clone, async (c) => {
    const { project_id, ...wanted } = c.req.valid("json");
    projectScope(c.var.caller, project_id);
    const job = await theJob(c, c.req.valid("param").job, c.req.valid("query").project_id ?? project_id);
    return answer(c, await editing.cloneJob(c.env, c.var.caller, job, wanted, c.var.creationId), 201);
  });
}
