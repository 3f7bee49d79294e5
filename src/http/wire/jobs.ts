import { z } from "@hono/zod-openapi";
import type { Job, JobSpec } from "../../domain/job.ts";
import { JOB_DEFAULTS, jobShape, READ_ONLY_FIELDS } from "../../domain/job-fields.ts";
import { RUN_STATUSES } from "../../domain/run.ts";
import { strictObject } from "../../domain/strict.ts";
import { diffSpecs } from "../../domain/version.ts";
import type { JobHealth } from "../../operations/job-health.ts";
import type { KeptVersion } from "../../operations/jobs.ts";
import { instant, iso, isoOrNull, listOf, listParams, strictQuery, uuid } from "./common.ts";

const projectId = z.string().max(64).optional().openapi({
  description: "Needed with the admin token; with a key, its own project.",
});

type Optional<S extends z.ZodRawShape> = { [K in keyof S]: z.ZodOptional<S[K] & z.ZodType> };

/** Every field may be left out; its default goes into the document. */
function optionalFields<S extends z.ZodRawShape>(shape: S, defaults: Record<string, unknown>): Optional<S> {
  const fields = Object.entries(shape).map(([name, schema]) => {
    const optional = (schema as z.ZodType).optional();
    return [name, name in defaults ? optional.openapi({ default: defaults[name] }) : optional];
  });
  return Object.fromEntries(fields) as Optional<S>;
}

export const createJobBody = strictObject(
  {
    project_id: projectId,
    ...optionalFields(jobShape, JOB_DEFAULTS),
    name: jobShape.name,
    endpoint_url: jobShape.endpoint_url,
  },
  READ_ONLY_FIELDS,
).openapi("CreateJob");

export const updateJobBody = strictObject(
  { project_id: projectId, ...optionalFields(jobShape, {}) },
  READ_ONLY_FIELDS,
).openapi("UpdateJob", { description: "A field that is absent stays as it is." });

export const cloneJobBody = strictObject({
  project_id: projectId,
  name: jobShape.name.optional().openapi({ description: "The original's name when absent." }),
  slug: jobShape.slug.optional(),
}).openapi("CloneJob");

const { endpoint_signing_secret: _signing, webhook_secret: _webhook, ...shown } = jobShape;

/** What a job and a version show of the model. Secrets are left out, header values are null. */
const shownFields = {
  ...shown,
  payload_schema: z.any().openapi({ description: "JSON Schema 2020-12, or null." }),
  endpoint_headers: z
    .record(z.string(), z.null())
    .openapi({ description: "Names only: values are write-only and shown as null." }),
  endpoint_signing_secret_set: z.boolean(),
  webhook_secret_set: z.boolean(),
};

export const jobWire = z
  .object({
    id: uuid(),
    project_id: uuid(),
    ...shownFields,
    paused: z.boolean(),
    version: z.number().int(),
    version_id: z.string().openapi({ example: "ver_0a1b2c3d4e" }),
    created_by: z.string(),
    updated_by: z.string(),
    created_at: instant(),
    updated_at: instant(),
  })
  .openapi("Job");

export const jobList = listOf(jobWire).openapi("JobList");

const versionWire = z
  .object({
    job_id: uuid(),
    version: z.number().int(),
    version_id: z.string(),
    ...shownFields,
    created_by: z.string(),
    created_at: instant(),
  })
  .openapi("JobVersion");

export const versionList = listOf(versionWire).openapi("JobVersionList");

export const versionWithDiff = versionWire
  .extend({
    diff: z
      .array(z.object({ field: z.string(), from: z.any(), to: z.any() }))
      .nullable()
      .openapi({
        description:
          "With `?diff=`: the fields that differ, from that version to this one. A secret shows only that it is `set`; " +
          "`set` on both sides means that its value was replaced.",
      }),
  })
  .openapi("JobVersionWithDiff");

const quantiles = z.object({
  p50: z.number().nullable(),
  p95: z.number().nullable(),
  p99: z.number().nullable(),
});

export const recentHealthWire = z
  .object({
    by_status: z.object(
      Object.fromEntries(RUN_STATUSES.map((status) => [status, z.number().int()])) as Record<
        (typeof RUN_STATUSES)[number],
        z.ZodNumber
      >,
    ),
    success_rate: z.number().nullable(),
    duration_ms: quantiles,
  })
  .openapi({
    description: "Of the runs created in the last 24 hours, the newest 10,000 at most; up to a second behind.",
  });

export const jobHealthWire = z
  .object({
    waiting: z.number().int(),
    executing: z.number().int(),
    oldest_waiting_at: instant().nullable(),
    waiting_for: z.record(z.string(), z.number().int()).openapi({ description: "How many wait, by reason." }),
    earliest_start_at: instant()
      .nullable()
      .openapi({ description: "When the first of what waits can start; null where nothing waits, or nobody knows." }),
    concurrency_now: z.number().int().openapi({ description: "Calls in flight, those handed to a consumer included." }),
    concurrency_limit: z
      .number()
      .int()
      .openapi({ description: "How many may be: the adaptive limit's present value, where there is one." }),
    last_24h: recentHealthWire,
  })
  .openapi("JobHealth");

export const scheduleWire = z.object({ data: z.array(instant()) }).openapi("JobSchedule");

const TAG = /^([^:]{1,64}):(.{0,256})$/s;

const tagFilter = z.string().transform((text, ctx) => {
  const [, key, value] = TAG.exec(text) ?? [];
  if (key === undefined || value === undefined) {
    ctx.addIssue({ code: "custom", message: "must be key:value" });
    return z.NEVER;
  }
  return { key, value };
});

const oneOrMore = z
  .union([z.string(), z.array(z.string())])
  .transform((given) => (typeof given === "string" ? [given] : given));

export const jobsQuery = strictQuery({
  ...listParams,
  group_id: z.string().max(64).optional(),
  environment_id: z.string().max(64).optional(),
  enabled: z
    .enum(["true", "false"])
    .transform((text) => text === "true")
    .optional()
    .openapi({ type: "boolean" }),
  tag: oneOrMore
    .pipe(z.array(tagFilter).max(20))
    .optional()
    .openapi({ type: "array", items: { type: "string" }, description: "`key:value`; given several times, all hold." }),
  q: z.string().min(1).max(255).optional().openapi({ description: "Found in name, slug or description." }),
});

function shownSpec(spec: JobSpec) {
  const { endpoint_signing_secret, webhook_secret, endpoint_headers, ...plain } = spec;
  return {
    ...plain,
    endpoint_headers: Object.fromEntries(Object.keys(endpoint_headers).map((name) => [name, null])),
    endpoint_signing_secret_set: endpoint_signing_secret !== null,
    webhook_secret_set: webhook_secret !== null,
  };
}

export const toJobWire = (job: Job): z.infer<typeof jobWire> => ({
  id: job.id,
  project_id: job.project_id,
  ...shownSpec(job.current.spec),
  paused: job.paused,
  version: job.current.version,
  version_id: job.current.version_id,
  created_by: job.created_by,
  updated_by: job.updated_by,
  created_at: iso(job.created_at),
  updated_at: iso(job.updated_at),
});

export const toVersionWire = (row: KeptVersion): z.infer<typeof versionWire> => ({
  job_id: row.job_id,
  version: row.version,
  version_id: row.version_id,
  ...shownSpec(row.spec),
  created_by: row.created_by,
  created_at: iso(row.created_at),
});

export const toVersionWithDiff = (row: KeptVersion, other: KeptVersion | null): z.infer<typeof versionWithDiff> => ({
  ...toVersionWire(row),
  diff: other === null ? null : diffSpecs(other.spec, row.spec),
});

export const toHealthWire = (health: JobHealth): z.infer<typeof jobHealthWire> => ({
  ...health,
  waiting_for: health.waiting_for as Record<string, number>,
  oldest_waiting_at: isoOrNull(health.oldest_waiting_at),
  earliest_start_at: isoOrNull(health.earliest_start_at),
});
