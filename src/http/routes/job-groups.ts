import { createRoute } from "@hono/zod-openapi";
import type { Context } from "hono";
import { projectScope, resolveProject } from "../../operations/authorize.ts";
import * as operations from "../../operations/job-groups.ts";
import { listJobs } from "../../operations/jobs.ts";
import { creates, secured, writes } from "../auth.ts";
import type { App, AppEnv } from "../context.ts";
import { BY_ID, pageAnswer, pageRequest } from "../list.ts";
import { errors, json, jsonBody, listParams, projectQuery, refParam, strictQuery } from "../wire/common.ts";
import {
  createJobGroupBody,
  groupPauseWire,
  groupStatsWire,
  jobGroupList,
  jobGroupWire,
  toJobGroupWire,
  updateJobGroupBody,
} from "../wire/job-groups.ts";
import { jobList, toJobWire } from "../wire/jobs.ts";

const tags = ["Job groups"];
const request = { params: refParam("group"), query: projectQuery };

const create = createRoute({
  method: "post",
  path: "/v1/job-groups",
  tags,
  summary: "Create a group of jobs",
  ...creates("jobs:write"),
  request: { body: jsonBody(createJobGroupBody) },
  responses: { 201: json(jobGroupWire, "The group"), ...errors(400, 404, 409, 413, 415, 422) },
});

const list = createRoute({
  method: "get",
  path: "/v1/job-groups",
  tags,
  summary: "List groups of jobs",
  ...secured("jobs:read"),
  request: { query: strictQuery(listParams) },
  responses: { 200: json(jobGroupList, "Groups, newest first"), ...errors(400, 404, 422) },
});

const get = createRoute({
  method: "get",
  path: "/v1/job-groups/{id}",
  tags,
  summary: "Get a group",
  ...secured("jobs:read"),
  request,
  responses: { 200: json(jobGroupWire, "The group"), ...errors(404, 422) },
});

const update = createRoute({
  method: "patch",
  path: "/v1/job-groups/{id}",
  tags,
  summary: "Change a group",
  ...writes("jobs:write"),
  request: { ...request, body: jsonBody(updateJobGroupBody) },
  responses: { 200: json(jobGroupWire, "The group"), ...errors(400, 404, 409, 413, 415, 422) },
});

const remove = createRoute({
  method: "delete",
  path: "/v1/job-groups/{id}",
  tags,
  summary: "Delete a group",
  description: "409, which names the jobs, while any is in it.",
  ...secured("jobs:write"),
  request,
  responses: { 204: { description: "Deleted" }, ...errors(404, 409, 422) },
});

const jobsOf = createRoute({
  method: "get",
  path: "/v1/job-groups/{id}/jobs",
  tags,
  summary: "List the jobs of a group",
  ...secured("jobs:read"),
  request: { params: refParam("group"), query: strictQuery(listParams) },
  responses: { 200: json(jobList, "Jobs, newest first"), ...errors(400, 404, 422) },
});

const stats = createRoute({
  method: "get",
  path: "/v1/job-groups/{id}/stats",
  tags,
  summary: "What a group's jobs are doing",
  description:
    "`waiting` and `executing` are asked of every job; of a group of more than 500 they are some ten seconds old. `last_24h` is of " +
    "the runs created then, at most 10,000 shared among the 1,000 newest jobs, the newest of each.",
  ...secured("jobs:read"),
  request,
  responses: { 200: json(groupStatsWire, "The group's state"), ...errors(404, 422) },
});

const pauseAll = createRoute({
  method: "post",
  path: "/v1/job-groups/{id}/pause-all",
  tags,
  summary: "Pause every job of a group",
  description: "In force for each of them when this is answered. 503: saved, and shortly in force.",
  ...secured("jobs:write"),
  request,
  responses: { 200: json(groupPauseWire, "They are paused"), ...errors(404, 422) },
});

const resumeAll = createRoute({
  method: "post",
  path: "/v1/job-groups/{id}/resume-all",
  tags,
  summary: "Resume every job of a group",
  description: "In force for each of them when this is answered. 503: saved, and shortly in force.",
  ...secured("jobs:write"),
  request,
  responses: { 200: json(groupPauseWire, "They are resumed"), ...errors(404, 422) },
});

/** For the typed client. */
export type JobGroupRoutes =
  | typeof create
  | typeof list
  | typeof get
  | typeof update
  | typeof remove
  | typeof jobsOf
  | typeof stats
  | typeof pauseAll
  | typeof resumeAll;

export function registerJobGroups(app: App): void {
  app.openapi(create, async (c) => {
    const { project_id, ...wanted } = c.req.valid("json");
    const projectId = resolveProject(c.var.caller, project_id);
    return c.json(toJobGroupWire(await operations.createGroup(c.env, projectId, wanted, c.var.creationId)), 201);
  });

  app.openapi(list, async (c) => {
    const asOf = Date.now();
    const query = c.req.valid("query");
    const projectId = resolveProject(c.var.caller, query.project_id);
    const binding = { list: "job-groups", project: projectId };
    const page = pageRequest(query, binding);
    const rows = await operations.listGroups(c.env, projectId, page);
    return c.json(pageAnswer(rows, page, binding, asOf, toJobGroupWire, BY_ID), 200);
  });

  const theGroup = (c: Context<AppEnv>, ref: string, named: string | undefined): Promise<operations.JobGroup> =>
    operations.findGroup(c.env, c.var.caller, ref, named);

  app.openapi(get, async (c) =>
    c.json(toJobGroupWire(await theGroup(c, c.req.valid("param").id, c.req.valid("query").project_id)), 200),
  );

  app.openapi(update, async (c) => {
    const { project_id, ...change } = c.req.valid("json");
    projectScope(c.var.caller, project_id);
    const group = await theGroup(c, c.req.valid("param").id, c.req.valid("query").project_id ?? project_id);
    return c.json(toJobGroupWire(await operations.updateGroup(c.env, group, change, Date.now())), 200);
  });

  app.openapi(remove, async (c) => {
    await operations.deleteGroup(c.env, await theGroup(c, c.req.valid("param").id, c.req.valid("query").project_id));
    return c.body(null, 204);
  });

  app.openapi(jobsOf, async (c) => {
    const asOf = Date.now();
    const query = c.req.valid("query");
    const group = await theGroup(c, c.req.valid("param").id, query.project_id);
    const binding = { list: "jobs", group: group.id };
    const page = pageRequest(query, binding);
    const rows = await listJobs(c.env, group.project_id, { group_id: group.id, tags: [] }, page);
    return c.json(pageAnswer(rows, page, binding, asOf, toJobWire, BY_ID), 200);
  });

  app.openapi(stats, async (c) => {
    const group = await theGroup(c, c.req.valid("param").id, c.req.valid("query").project_id);
    return c.json(await operations.groupStats(c.env, group, Date.now()), 200);
  });

  const setPaused = async (c: Context<AppEnv>, group: operations.JobGroup, paused: boolean) => {
    const { changed } = await operations.pauseGroup(c.env, c.var.caller, group, paused, Date.now());
    return { group_id: group.id, paused, changed };
  };

  app.openapi(pauseAll, async (c) => {
    const group = await theGroup(c, c.req.valid("param").id, c.req.valid("query").project_id);
    return c.json(await setPaused(c, group, true), 200);
  });

  app.openapi(resumeAll, async (c) => {
    const group = await theGroup(c, c.req.valid("param").id, c.req.valid("query").project_id);
    return c.json(await setPaused(c, group, false), 200);
  });
}
