import { z } from "@hono/zod-openapi";
import {
  DEFAULT_SETTINGS,
  DELIVERIES,
  FILE_STATUSES,
  IMPORT_STATUSES,
  type ImportFile,
  type ImportRecord,
  type ImportSettings,
  ON_ERROR,
  TASK_STATES,
} from "../../domain/import.ts";
import { text } from "../../domain/job-fields.ts";
import { strictObject } from "../../domain/strict.ts";
import type { WantedImport } from "../../operations/import-creation.ts";
import type { ImportEvent } from "../../operations/import-watch.ts";
import type { SseEvent } from "../sse.ts";
import { instant, iso, isoOrNull, listOf, listParams, projectParam, strictQuery, uuid } from "./common.ts";
import { queryUuid } from "./query.ts";

const REGION = /^[a-z0-9-]{1,64}$/;
const DEFAULT_REGION = "us-east-1";
const MAX_COUNT = Number.MAX_SAFE_INTEGER;

const count = (min: number, description: string) =>
  z.number().int().min(min).max(MAX_COUNT).openapi({ description, maximum: undefined });

const settingsFields = {
  max_rows_per_partition: count(1, "Rows of a partition."),
  max_minutes_per_partition: count(1, "Of the primary timestamp column."),
  max_active_partitions: count(1, "Deliveries in flight: the batch operation's `max_concurrency`."),
  input_concurrency: count(1, "INDEX tasks at once."),
  input_aggregation: count(
    1,
    "Bytes of small objects gathered in one task; bigger plain NDJSON objects are split by range.",
  ),
  max_files: count(0, "Only the first so many objects; 0: all of them."),
  dry_run: z.boolean().openapi({ description: "Everything but delivery: counts, the first 100 rows, every reject." }),
};

const settingsWire = z.object(settingsFields).openapi("ImportSettings");

const wantedSettings = strictObject({
  max_rows_per_partition: settingsFields.max_rows_per_partition.optional(),
  max_minutes_per_partition: settingsFields.max_minutes_per_partition.optional(),
  max_active_partitions: settingsFields.max_active_partitions.optional(),
  input_concurrency: settingsFields.input_concurrency.optional(),
  input_aggregation: settingsFields.input_aggregation.optional(),
  max_files: settingsFields.max_files.optional(),
  dry_run: settingsFields.dry_run.optional(),
});

const endpointUrl = z.string().min(1).max(2048).openapi({
  format: "uri",
  description: "Of the store; the rules of job endpoints bind it. Amazon's own of the region by default.",
});

const source = strictObject({
  url: z
    .string()
    .min(1)
    .max(2048)
    .openapi({
      description:
        "One object `s3://b/k`, a directory `s3://b/dir/`, a bucket `s3://b`; or `r2://BINDING/prefix` of a bucket that the " +
        "deployment maps for the project.",
      example: "s3://bucket/folder1/",
    }),
  endpoint: endpointUrl.nullish(),
  region: z
    .string()
    .regex(REGION, "is no region")
    .nullish()
    .openapi({ description: `\`${DEFAULT_REGION}\` by default.`, example: "auto" }),
  credential_id: z
    .string()
    .toLowerCase()
    .pipe(z.uuid("expected a credential's id"))
    .nullish()
    .openapi({ type: ["string", "null"], format: "uuid", description: "Without: requests are not signed." }),
});

const READ_ONLY = [
  ...["id", "batch_id", "batch_ids", "status", "percent_complete", "files", "rows", "bytes", "tasks", "errors"],
  ...["warnings", "sample", "effective_settings", "created_at", "started_at", "finished_at", "repeat_of", "created_by"],
];

export const createImportBody = strictObject(
  {
    project_id: projectParam,
    job: z.string().min(1).max(128).openapi({ description: "The id or slug of the job that gets the rows." }),
    name: text(1, 255).nullish(),
    source,
    regex_filter: z.string().max(1024).nullish().openapi({
      description: "RE2 syntax, searched in the whole `s3://bucket/key`.",
      example: "^s3://bucket/.*/2026-06-\\d{2}/.*\\.gz$",
    }),
    transform: z
      .string()
      .min(1)
      .max(128)
      .nullish()
      .openapi({
        description:
          "The name of a transform. Without: NDJSON and JSON rows stay as they stand; of an object named .csv or .tsv the head " +
          "names the columns.",
      }),
    delivery: z.enum(DELIVERIES).default("row").openapi({
      description: "A run per row, per partition of rows, or per object.",
    }),
    cron: text(1, 256).nullish().openapi({
      description: "Five fields, UTC. The import is repeated, each time as one of its own, and so loads what is new.",
    }),
    settings: wantedSettings.optional(),
    on_error: z
      .enum(ON_ERROR)
      .default("skip_row")
      .openapi({
        description:
          "`abort`: the first bad row or file ends the import. `skip_row`: a bad row is rejected. `skip_file`: a file with a bad " +
          "row is failed, and nothing of it is delivered.",
      }),
    tolerated_failure_percent: z.number().min(0).max(100).default(1).openapi({
      description: "Once more of the rows are rejected the import fails.",
    }),
    tolerated_failure_min_rows: z.number().int().min(0).max(MAX_COUNT).default(1000).openapi({
      description: "…counted from so many rows on.",
      maximum: undefined,
    }),
    force: z.boolean().default(false).openapi({ description: "Objects that the job has imported are imported again." }),
  },
  READ_ONLY,
).openapi("CreateImport");

export function wantedImport(body: z.infer<typeof createImportBody>): WantedImport {
  const given = Object.fromEntries(Object.entries(body.settings ?? {}).filter(([, value]) => value !== undefined));
  return {
    job: body.job,
    name: body.name ?? null,
    source: {
      url: body.source.url,
      endpoint: body.source.endpoint ?? null,
      region: body.source.region ?? DEFAULT_REGION,
      credential_id: body.source.credential_id ?? null,
    },
    regex_filter: body.regex_filter ?? null,
    transform: body.transform ?? null,
    delivery: body.delivery,
    cron: body.cron ?? null,
    settings: { ...DEFAULT_SETTINGS, ...given },
    on_error: body.on_error,
    tolerated_failure_percent: body.tolerated_failure_percent,
    tolerated_failure_min_rows: body.tolerated_failure_min_rows,
    force: body.force,
  };
}

const number = () => z.number().int();
const taskCounts = z
  .object(Object.fromEntries(TASK_STATES.map((state) => [state, number().optional()])))
  .openapi({ description: "States that no task has are left out." });

export const importWire = z
  .object({
    id: uuid(),
    project_id: uuid(),
    job_id: uuid(),
    job: z.string(),
    name: z.string().nullable(),
    source: z.object({
      url: z.string(),
      endpoint: z.string().nullable(),
      region: z.string(),
      credential_id: z.string().nullable(),
    }),
    regex_filter: z.string().nullable(),
    transform: z.string().nullable(),
    delivery: z.enum(DELIVERIES),
    cron: z.string().nullable(),
    settings: settingsWire,
    on_error: z.enum(ON_ERROR),
    tolerated_failure_percent: z.number(),
    tolerated_failure_min_rows: number(),
    force: z.boolean(),
    batch_id: z.string().nullable().openapi({
      description: "The batch operation that gets the rows, the newest where there are several; null for a dry run.",
    }),
    batch_ids: z.array(z.string()).openapi({
      description: "All of them: an import of more than a million items goes on in a further one, and so does a retry.",
    }),
    status: z.enum(IMPORT_STATUSES).openapi({
      description: "`done`: read and handed over. The batch operation says when the runs are finished.",
    }),
    percent_complete: z.number().openapi({ description: "By bytes, 0 to 1. It never falls; 1 only at the end." }),
    files: z.object({ total: number(), done: number(), failed: number(), skipped: number() }),
    rows: z.object({ read: number(), delivered: number(), rejected: number() }),
    bytes: z.object({ total: number(), done: number() }),
    tasks: z.object({ LIST: taskCounts, INDEX: taskCounts }),
    errors: z.array(z.string()),
    warnings: z.array(z.string()),
    sample: z
      .array(z.unknown())
      .openapi({ description: "Of a dry run: the first rows as they would be sent. Not in lists." }),
    effective_settings: settingsWire,
    repeat_of: z.string().nullable().openapi({ description: "The import whose cron has made this one." }),
    created_by: z.string(),
    created_at: instant(),
    started_at: instant().nullable(),
    finished_at: instant().nullable(),
  })
  .openapi("Import");

export const importList = listOf(importWire).openapi("ImportList");

export const importsQuery = strictQuery({
  ...listParams,
  job_id: queryUuid("Of this job.").optional(),
  status: z.enum(IMPORT_STATUSES).optional(),
});

const importFile = z
  .object({
    key: z.string(),
    etag: z.string(),
    size: number(),
    status: z.enum(FILE_STATUSES).openapi({
      description: "Of an ended import, `pending`: not read, or not to its end.",
    }),
    rows: number().openapi({ description: "Rows read." }),
    rejects: number(),
    error: z.string().nullable().openapi({ description: "Why it failed, or was skipped." }),
  })
  .openapi("ImportFile");

export const importFileList = listOf(importFile).openapi("ImportFileList");

export const importToWire = (record: ImportRecord): z.infer<typeof importWire> => {
  const { spec } = record;
  return {
    id: spec.id,
    project_id: spec.project_id,
    job_id: spec.job_id,
    job: spec.job,
    name: spec.name,
    source: spec.source,
    regex_filter: spec.regex_filter,
    transform: spec.transform,
    delivery: spec.delivery,
    cron: spec.cron,
    settings: shownSettings(spec.settings),
    on_error: spec.on_error,
    tolerated_failure_percent: spec.tolerated_failure_percent,
    tolerated_failure_min_rows: spec.tolerated_failure_min_rows,
    force: spec.force,
    batch_id: record.batch_id,
    batch_ids: record.batch_ids,
    status: record.status,
    percent_complete: record.percent_complete,
    files: record.files,
    rows: record.rows,
    bytes: record.bytes,
    tasks: record.tasks,
    errors: record.errors,
    warnings: record.warnings,
    sample: record.sample.map((row) => JSON.parse(row) as unknown),
    effective_settings: shownSettings(record.effective_settings),
    repeat_of: spec.repeat_of,
    created_by: spec.created_by,
    created_at: iso(spec.created_at),
    started_at: isoOrNull(record.started_at),
    finished_at: isoOrNull(record.finished_at),
  };
};

const shownSettings = (settings: ImportSettings): ImportSettings => ({ ...settings });

export const fileToWire = ({ number: _number, ...file }: ImportFile): z.infer<typeof importFile> => file;

/** What changes while an import runs. */
function progressToWire(record: ImportRecord) {
  const { id, status, percent_complete, files, rows, bytes, tasks } = importToWire(record);
  return { id, status, percent_complete, files, rows, bytes, tasks };
}

export const importEventToSse = ({ event, record }: ImportEvent): SseEvent => ({
  event: `import_${event}`,
  id: String(record.ver),
  data: JSON.stringify(event === "state" ? importToWire(record) : progressToWire(record)),
});
