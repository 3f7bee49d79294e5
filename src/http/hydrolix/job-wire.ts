import { z } from "@hono/zod-openapi";
import type { ImportRecord, ImportSettings, ImportStatus } from "../../domain/import.ts";
import { text } from "../../domain/job-fields.ts";
import { strictObject } from "../../domain/strict.ts";
import type { IngestJob } from "../../operations/ingest-jobs.ts";

/** The batch ingest job, as Hydrolix writes it. */

/** Hydrolix's own, as its documentation shows them. */
export const DEFAULTS: ImportSettings = {
  max_active_partitions: 576,
  max_rows_per_partition: 33_554_432,
  max_minutes_per_partition: 15,
  input_concurrency: 1,
  input_aggregation: 1_536_000_000,
  max_files: 0,
  dry_run: false,
};

const DEFAULT_REGION = "us-east-1";
const MAX_COUNT = Number.MAX_SAFE_INTEGER;
const count = (min: number) => z.number().int().min(min).max(MAX_COUNT).optional().openapi({ maximum: undefined });

const innerSettings = {
  url: z.string().min(1).max(2048).openapi({ example: "s3://root-bucket/folder1/" }),
  endpoint: z.string().max(2048).nullish().openapi({ description: "Ours: of a store that is not Amazon's." }),
  region: z
    .string()
    .regex(/^[a-z0-9-]{1,64}$/, "is no region")
    .nullish()
    .openapi({ description: "Ours." }),
  credential_id: z
    .string()
    .toLowerCase()
    .pipe(z.uuid("expected a credential's uuid"))
    .nullish()
    .openapi({ type: ["string", "null"], format: "uuid", description: "Ours. Without: requests are not signed." }),
};

const sourceFields = {
  type: z.literal("batch", "expected batch").optional(),
  subtype: z.literal("aws s3", "expected aws s3").optional(),
  transform: z.string().max(128).nullish().openapi({ description: "A transform's name." }),
  table: z.string().min(1).max(300).openapi({ description: "`project.table`", example: "website.events" }),
};

const settingsFields = {
  max_active_partitions: count(1),
  max_rows_per_partition: count(1),
  max_minutes_per_partition: count(1),
  input_concurrency: count(1),
  input_aggregation: count(1),
  max_files: count(0),
  dry_run: z.boolean().optional(),
  regex_filter: z.string().max(1024).nullish(),
};

/** What clients send back with the rest of an object that they were shown. */
const SHOWN_ONLY = ["uuid", "created", "modified", "org", "status", "details", "url"];
const shownOnly = Object.fromEntries(SHOWN_ONLY.map((name) => [name, z.unknown().optional()]));

const jobFields = {
  name: text(1, 255),
  description: z.string().max(2000).nullish(),
  type: z.literal("batch_import", "expected batch_import").optional(),
};

export const createJobBody = strictObject({
  ...jobFields,
  ...shownOnly,
  settings: strictObject({
    ...settingsFields,
    source: strictObject({ ...sourceFields, settings: strictObject(innerSettings) }),
  }),
}).openapi("HydrolixCreateBatchJob");

const partly = {
  ...settingsFields,
  source: strictObject({
    ...sourceFields,
    table: sourceFields.table.optional(),
    settings: strictObject({ ...innerSettings, url: innerSettings.url.optional() }).optional(),
  }).optional(),
};

export const replaceJobBody = strictObject({ ...jobFields, ...shownOnly, settings: strictObject(partly) }).openapi(
  "HydrolixReplaceBatchJob",
);
export const patchJobBody = strictObject({
  ...jobFields,
  ...shownOnly,
  name: jobFields.name.optional(),
  settings: strictObject(partly).optional(),
}).openapi("HydrolixPatchBatchJob");

export type CreateJobBody = z.infer<typeof createJobBody>;
export type PatchJobBody = z.infer<typeof patchJobBody>;

/** Settings of an import among those of a job; absent ones are left out. */
export function countsAmong(settings: Record<string, unknown>): Partial<ImportSettings> {
  return Object.fromEntries(
    Object.keys(DEFAULTS).flatMap((name) => (settings[name] === undefined ? [] : [[name, settings[name]]])),
  );
}

/** What the source names, with its defaults; empty texts name nothing. */
export const sourceOf = (inner: CreateJobBody["settings"]["source"]["settings"]) => ({
  url: inner.url,
  endpoint: inner.endpoint || null,
  region: inner.region || DEFAULT_REGION,
  credential_id: inner.credential_id || null,
});

// ---------------------------------------------------------------------------------------------- what is shown

const number = () => z.number().int();
const tasks = z.record(z.string(), number()).openapi({ description: "States that no task has are left out." });
const shownSettings = z.object({
  max_active_partitions: number(),
  max_rows_per_partition: number(),
  max_minutes_per_partition: number(),
  input_concurrency: number(),
  input_aggregation: number(),
  max_files: number(),
  dry_run: z.boolean(),
});

export const jobWire = z
  .object({
    name: z.string(),
    description: z.string().nullable(),
    uuid: z.string(),
    created: z.string().openapi({ example: "2021-06-03T12:28:41.967000Z" }),
    modified: z.string(),
    settings: shownSettings.extend({
      regex_filter: z.string(),
      source: z.object({
        type: z.literal("batch"),
        subtype: z.literal("aws s3"),
        transform: z.string().nullable(),
        table: z.string(),
        settings: z.object({
          url: z.string(),
          endpoint: z.string().nullable(),
          region: z.string(),
          credential_id: z.string().nullable(),
        }),
      }),
    }),
    status: z.enum(["ready", "running", "done", "canceled", "error"]),
    type: z.literal("batch_import"),
    org: z.string(),
    details: z.object({
      errors: z.array(z.string()),
      job_id: z.string().openapi({ description: "The batch operation, where there is one; else the import." }),
      duration_ms: number(),
      effective_settings: shownSettings.openapi({ description: "The values in force." }),
      status_detail: z.object({
        tasks: z.object({ LIST: tasks, INDEX: tasks }),
        estimated: z.boolean(),
        percent_complete: z.number(),
      }),
    }),
  })
  .openapi("HydrolixBatchJob");

const STATUS: Record<ImportStatus, "ready" | "running" | "done" | "canceled" | "error"> = {
  ready: "ready",
  listing: "running",
  running: "running",
  paused: "running",
  done: "done",
  done_with_errors: "done",
  failed: "error",
  canceled: "canceled",
};

/** Microseconds, as these clients are used to. */
export const micros = (ms: number): string => new Date(ms).toISOString().replace("Z", "000Z");

/** @param now Unix milliseconds. */
export function jobToWire({ row, record }: IngestJob, now: number): z.infer<typeof jobWire> {
  const { spec } = record;
  const modified = Math.max(row.modified_at, record.started_at ?? 0, record.finished_at ?? 0);
  return {
    name: row.name,
    description: row.description,
    uuid: spec.id,
    created: micros(spec.created_at),
    modified: micros(modified),
    settings: {
      ...shownCounts(spec.settings),
      regex_filter: spec.regex_filter ?? "",
      source: {
        type: "batch",
        subtype: "aws s3",
        transform: spec.transform,
        table: row.table_name,
        settings: { ...spec.source },
      },
    },
    status: STATUS[record.status],
    type: "batch_import",
    org: spec.project_id,
    details: {
      errors: troublesOf(record),
      job_id: record.batch_id ?? spec.id,
      duration_ms: record.started_at === null ? 0 : (record.finished_at ?? now) - record.started_at,
      effective_settings: shownCounts(record.effective_settings),
      status_detail: {
        tasks: record.tasks as Record<"LIST" | "INDEX", Record<string, number>>,
        estimated: record.tasks.LIST.DONE === undefined,
        percent_complete: record.percent_complete,
      },
    },
  };
}

const shownCounts = (settings: ImportSettings): ImportSettings => ({ ...settings });

/** This face knows no warnings and no counts of files and rows: nothing is left out in silence. */
function troublesOf({ errors, warnings, rows, files, status }: ImportRecord): string[] {
  const told = [...errors, ...warnings];
  if (rows.rejected > 0) told.push(`${rows.rejected} of ${rows.read} rows were rejected`);
  if (files.failed > 0) told.push(`${files.failed} of ${files.total} files failed`);
  if (files.skipped > 0)
    told.push(`${files.skipped} of ${files.total} files were skipped: imported before, or no data`);
  if (status === "paused") told.push("paused");
  return told;
}
