import { createRoute, z } from "@hono/zod-openapi";
import type { Context } from "hono";
import { ApiError } from "../../domain/error.ts";
import * as operations from "../../operations/ingest-jobs.ts";
import type { Project } from "../../operations/projects.ts";
import { creates, secured, writes } from "../auth.ts";
import type { App, AppEnv } from "../context.ts";
import { traceOf } from "../request.ts";
import { json, jsonBody } from "../wire/common.ts";
import { hydrolixErrors } from "./error.ts";
import { JOB_OPTIONS } from "./job-options.ts";
import {
  type CreateJobBody,
  countsAmong,
  createJobBody,
  DEFAULTS,
  jobToWire,
  jobWire,
  type PatchJobBody,
  patchJobBody,
  replaceJobBody,
  sourceOf,
} from "./job-wire.ts";
import { jobOfTable, jobParam, noQuery, orgOf, orgParam } from "./names.ts";
import { optionsWire } from "./options.ts";

const tags = ["Hydrolix: batch jobs"];
const JOBS = "/config/v1/orgs/{org}/jobs/batch";
const ofOrg = { params: orgParam, query: noQuery };
const ofJob = { params: jobParam, query: noQuery };

const options = createRoute({
  method: "options",
  path: JOBS,
  tags,
  summary: "Describe batch jobs",
  ...secured("runs:read"),
  request: ofOrg,
  responses: { 200: json(optionsWire, "The fields of a batch job"), ...hydrolixErrors() },
});

const list = createRoute({
  method: "get",
  path: JOBS,
  tags,
  summary: "List batch jobs",
  description: "All of them, newest first, from a copy that is some seconds behind at most.",
  ...secured("runs:read"),
  request: ofOrg,
  responses: { 200: json(z.array(jobWire), "Batch jobs"), ...hydrolixErrors() },
});

const create = createRoute({
  method: "post",
  path: JOBS,
  tags,
  summary: "Run a batch job",
  description:
    "An import (`/v1/imports`) by partition into the job that the table names. `details.effective_settings` shows the values in " +
    "force. The name is unique in the org.",
  ...creates("jobs:trigger"),
  request: { ...ofOrg, body: jsonBody(createJobBody) },
  responses: { 201: json(jobWire, "The batch job, begun"), ...hydrolixErrors(400, 409, 413, 415) },
});

const get = createRoute({
  method: "get",
  path: `${JOBS}/{uuid}`,
  tags,
  summary: "Get a batch job",
  description: "Never behind.",
  ...secured("runs:read"),
  request: ofJob,
  responses: { 200: json(jobWire, "The batch job"), ...hydrolixErrors() },
});

const changed = {
  description:
    "Name and description, and the settings `max_rows_per_partition`, `max_minutes_per_partition`, `max_active_partitions` and " +
    "`input_concurrency`, which hold for what is read from then on. 409 for another value of any other setting.",
  responses: { 200: json(jobWire, "The batch job"), ...hydrolixErrors(400, 409, 413, 415) },
};

const replace = createRoute({
  method: "put",
  path: `${JOBS}/{uuid}`,
  tags,
  summary: "Change a batch job, given whole",
  ...writes("runs:write"),
  ...changed,
  request: { ...ofJob, body: jsonBody(replaceJobBody) },
});

const patch = createRoute({
  method: "patch",
  path: `${JOBS}/{uuid}`,
  tags,
  summary: "Change a batch job",
  ...writes("runs:write"),
  ...changed,
  request: { ...ofJob, body: jsonBody(patchJobBody) },
});

const remove = createRoute({
  method: "delete",
  path: `${JOBS}/{uuid}`,
  tags,
  summary: "Delete a batch job",
  description: "One that runs is canceled first. Its batch operation stays.",
  ...secured("runs:write"),
  request: ofJob,
  responses: { 204: { description: "Deleted" }, ...hydrolixErrors() },
});

const status = createRoute({
  method: "get",
  path: `${JOBS}/{uuid}/status`,
  tags,
  summary: "Get a batch job's status",
  description: "Never behind.",
  ...secured("runs:read"),
  request: ofJob,
  responses: { 200: json(jobWire, "The batch job"), ...hydrolixErrors() },
});

const statuses = createRoute({
  method: "post",
  path: `${JOBS}/{uuid}/status`,
  tags,
  summary: "Get a batch job's status, in an array",
  description: "Never behind.",
  ...secured("runs:read"),
  request: ofJob,
  responses: { 200: json(z.array(jobWire).length(1), "An array holding the batch job"), ...hydrolixErrors() },
});

const cancel = createRoute({
  method: "post",
  path: `${JOBS}/{uuid}/cancel`,
  tags,
  summary: "Cancel a batch job",
  description: "Nothing more is read; one that has ended stays as it is. A body is not looked at.",
  ...secured("runs:write"),
  request: ofJob,
  responses: { 200: json(jobWire, "The batch job"), ...hydrolixErrors() },
});

const retry = createRoute({
  method: "post",
  path: `${JOBS}/{uuid}/retry`,
  tags,
  summary: "Retry what failed of a batch job",
  description: "409 while it runs, after a cancel, and where nothing failed. A body is not looked at.",
  ...secured("runs:write"),
  request: ofJob,
  responses: { 200: json(jobWire, "The batch job, begun again"), ...hydrolixErrors(409) },
});

const purge = createRoute({
  method: "post",
  path: "/config/v1/orgs/{org}/purgejobs",
  tags,
  summary: "Delete every batch job of the org",
  description: "Those that run are canceled first.",
  ...secured("runs:write"),
  request: ofOrg,
  responses: { 200: json(z.object({ purged: z.number().int() }), "How many were deleted"), ...hydrolixErrors() },
});

type C = Context<AppEnv>;

/** What the body asks for, as an import. */
const wantedJob = (project: Project, { name, description, settings }: CreateJobBody): operations.WantedIngestJob => ({
  name,
  description: description ?? null,
  table: settings.source.table,
  import: {
    job: jobOfTable(project, settings.source.table),
    name,
    source: sourceOf(settings.source.settings),
    regex_filter: settings.regex_filter || null,
    transform: settings.source.transform || null,
    delivery: "partition",
    cron: null,
    settings: { ...DEFAULTS, ...countsAmong(settings) },
    on_error: "skip_row",
    tolerated_failure_percent: 1,
    tolerated_failure_min_rows: 1000,
    force: false,
  },
});

/** What the import is refused for, where this face's clients have it. */
const PLACES: [RegExp, string][] = [
  [/^source\./, "settings.source.settings."],
  [/^transform$/, "settings.source.transform"],
  [/^regex_filter$/, "settings.regex_filter"],
];

async function inThisFacesWords<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    if (error.code === "not_found" && error.message === "job not found") {
      throw new ApiError("validation_failed", "settings.source.table: names no table of the project");
    }
    const details = error.details.map(({ path, message }) => {
      const [from, to] = PLACES.find(([pattern]) => pattern.test(path)) ?? [path, path];
      return { path: path.replace(from, to), message };
    });
    throw new ApiError(error.code, error.message, { details, retryAfterSecs: error.retryAfterSecs ?? undefined });
  }
}

/** Fails where a change names another source or filter than the job was begun with. */
function refuseOther({ row, record: { spec } }: operations.IngestJob, { settings }: PatchJobBody): void {
  const given: [string, unknown, unknown][] = [
    ["regex_filter", settings?.regex_filter ?? undefined, spec.regex_filter ?? ""],
    ["source.table", settings?.source?.table, row.table_name],
    ["source.transform", settings?.source?.transform ?? undefined, spec.transform ?? ""],
    ...Object.entries(spec.source).map(([name, value]): [string, unknown, unknown] => [
      `source.settings.${name}`,
      settings?.source?.settings?.[name as keyof typeof spec.source] ?? undefined,
      value ?? "",
    ]),
  ];
  operations.refuseFixed(
    given.flatMap(([name, wanted, present]) =>
      wanted === undefined || wanted === present ? [] : [`settings.${name}`],
    ),
  );
}

export function registerJobs(app: App): void {
  const shown = (job: operations.IngestJob) => jobToWire(job, Date.now());
  const found = async (c: C, param: { org: string; uuid: string }) =>
    operations.findIngestJob(c.env, c.var.caller, (await orgOf(c, param)).id, param.uuid);

  app.openapi(options, async (c) => {
    await orgOf(c, c.req.valid("param"));
    return c.json(JOB_OPTIONS, 200);
  });

  app.openapi(list, async (c) => {
    const { id } = await orgOf(c, c.req.valid("param"));
    const jobs = [];
    for await (const job of operations.allIngestJobs(c.env, id)) jobs.push(shown(job));
    return c.json(jobs, 200);
  });

  app.openapi(create, async (c) => {
    const project = await orgOf(c, c.req.valid("param"));
    const wanted = wantedJob(project, c.req.valid("json"));
    const { caller, creationId } = c.var;
    const made = operations.createIngestJob(c.env, caller, project.id, wanted, creationId, traceOf(c));
    return c.json(shown(await inThisFacesWords(made)), 201);
  });

  app.openapi(get, async (c) => c.json(shown(await found(c, c.req.valid("param"))), 200));
  app.openapi(status, async (c) => c.json(shown(await found(c, c.req.valid("param"))), 200));
  app.openapi(statuses, async (c) => c.json([shown(await found(c, c.req.valid("param")))], 200));

  const change = async (c: C, param: { org: string; uuid: string }, body: PatchJobBody) => {
    const job = await found(c, param);
    refuseOther(job, body);
    const { name, description, settings } = body;
    const wanted = { name, description, settings: countsAmong(settings ?? {}) };
    return shown(await operations.changeIngestJob(c.env, c.var.caller, job.row.project_id, param.uuid, wanted));
  };
  app.openapi(replace, async (c) => c.json(await change(c, c.req.valid("param"), c.req.valid("json")), 200));
  app.openapi(patch, async (c) => c.json(await change(c, c.req.valid("param"), c.req.valid("json")), 200));

  app.openapi(cancel, async (c) => {
    const { id } = await orgOf(c, c.req.valid("param"));
    const { uuid } = c.req.valid("param");
    return c.json(shown(await operations.cancelIngestJob(c.env, c.var.caller, id, uuid)), 200);
  });

  app.openapi(retry, async (c) => {
    const { id } = await orgOf(c, c.req.valid("param"));
    const { uuid } = c.req.valid("param");
    return c.json(shown(await operations.retryIngestJob(c.env, c.var.caller, id, uuid)), 200);
  });

  app.openapi(remove, async (c) => {
    const { id } = await orgOf(c, c.req.valid("param"));
    await operations.deleteIngestJob(c.env, c.var.caller, id, c.req.valid("param").uuid);
    return c.body(null, 204);
  });

  app.openapi(purge, async (c) => {
    const { id } = await orgOf(c, c.req.valid("param"));
    return c.json({ purged: await operations.purgeIngestJobs(c.env, c.var.caller, id) }, 200);
  });
}
