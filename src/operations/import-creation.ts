import { checkAddress } from "../domain/address.ts";
import { parseCron } from "../domain/cron.ts";
import { ApiError, type ErrorDetail, invalid } from "../domain/error.ts";
import { nextFiring } from "../domain/firings.ts";
import { timeOf } from "../domain/id.ts";
import {
  effectiveSettings,
  type ImportDelivery,
  type ImportRecord,
  type ImportSettings,
  type ImportSource,
  type ImportSpec,
  type OnError,
} from "../domain/import.ts";
import { objectFilter } from "../domain/object-filter.ts";
import { parseObjectUrl } from "../domain/object-url.ts";
import type { TransformSpec } from "../domain/transform.ts";
import type { Env } from "../env.ts";
import { importOf } from "../imports/client.ts";
import { selectCredential } from "../store/credentials.ts";
import { insertImport } from "../store/imports.ts";
import { selectTransformFor } from "../store/transforms.ts";
import type { Caller } from "./authorize.ts";
import { endpointOf, openBatch } from "./import-ports.ts";
import { findJob } from "./jobs.ts";
import { settingsOf } from "./settings.ts";

/** What an import is asked for, defaults filled in. */
export interface WantedImport {
  job: string;
  name: string | null;
  source: ImportSource;
  regex_filter: string | null;
  transform: string | null;
  delivery: ImportDelivery;
  cron: string | null;
  settings: ImportSettings;
  on_error: OnError;
  tolerated_failure_percent: number;
  tolerated_failure_min_rows: number;
  force: boolean;
}

/** Crons of imports follow this zone. */
const ZONE = "UTC";

export const nextRepeat = (cron: string, after: number): number => nextFiring(cron, ZONE, after);

/**
 * Makes an import and begins it.
 *
 * @param id of the new import; a repeat with the same id finds what the first one made.
 * @throws ApiError `validation_failed`; `not_found` for the job; `conflict` for a disabled one.
 */
export async function createImport(
  env: Env,
  caller: Caller,
  projectId: string,
  wanted: WantedImport,
  id: string,
  traceparent: string | null,
): Promise<ImportRecord> {
  const job = await findJob(env, projectId, wanted.job, { fresh: true });
  const owner = { project_id: projectId, job_id: job.id };
  const transform = wanted.transform === null ? null : await selectTransformFor(env.DB, owner, wanted.transform);
  const problems = [...problemsOf(env, projectId, wanted), ...(await unknownNames(env, projectId, wanted, transform))];
  if (problems.length > 0) throw invalid(problems);
  if (!job.current.spec.enabled) throw new ApiError("conflict", `job ${job.current.spec.slug} is disabled`);
  return beginImport(env, {
    ...wanted,
    id,
    project_id: projectId,
    job_id: job.id,
    transform_spec: transform && { type: transform.type, settings: transform.settings },
    repeat_of: null,
    created_by: caller.actorId,
    created_at: timeOf(id),
    traceparent,
  });
}

/** Everything that is wrong with what is asked for, beside the shape. */
function problemsOf(env: Env, projectId: string, wanted: WantedImport): ErrorDetail[] {
  const details: ErrorDetail[] = [];
  const settings = settingsOf(env);
  const place = parseObjectUrl(wanted.source.url);
  if (typeof place === "string") details.push({ path: "source.url", message: place });
  else if (place.kind === "r2") {
    if (settings.r2Source(projectId, place.bucket) === null) {
      details.push({ path: "source.url", message: "names a bucket that this deployment does not map for the project" });
    }
    if (wanted.source.endpoint !== null) details.push({ path: "source.endpoint", message: "is only for s3://" });
    if (wanted.source.credential_id !== null)
      details.push({ path: "source.credential_id", message: "is only for s3://" });
  } else {
    const refusal = checkAddress(endpointOf(wanted.source), settings.address);
    if (refusal !== null) details.push({ path: "source.endpoint", message: refusal });
    else if (/[?#]/.test(endpointOf(wanted.source))) {
      details.push({ path: "source.endpoint", message: "must have no query" });
    }
  }
  const filter = objectFilter(wanted.regex_filter);
  if (typeof filter === "string") details.push({ path: "regex_filter", message: filter });
  const cron = wanted.cron === null ? null : parseCron(wanted.cron);
  if (typeof cron === "string") details.push({ path: "cron", message: cron });
  if (wanted.cron !== null && wanted.settings.dry_run) {
    details.push({ path: "settings.dry_run", message: "is not for an import that repeats" });
  }
  return details;
}

async function unknownNames(
  env: Env,
  projectId: string,
  { source, transform: name }: WantedImport,
  transform: TransformSpec | null,
): Promise<ErrorDetail[]> {
  const details: ErrorDetail[] = [];
  if (name !== null && transform === null) {
    details.push({ path: "transform", message: "names no transform of the project, or of the job" });
  }
  const credential = source.credential_id === null ? null : await selectCredential(env.DB, source.credential_id);
  if (source.credential_id !== null && credential?.project_id !== projectId) {
    details.push({ path: "source.credential_id", message: "names no credential of the project" });
  }
  return details;
}

/**
 * Opens the import's batch, keeps its row and wakes its object. Each step finds what an earlier try has done; where the last
 * one is lost the sweeper takes it.
 */
export async function beginImport(env: Env, spec: ImportSpec): Promise<ImportRecord> {
  const batchId = spec.settings.dry_run ? null : (await openBatch(env, spec, 0)).batch_id;
  const record = newRecord(spec, batchId);
  await insertImport(env.DB, record, spec.cron === null ? null : nextRepeat(spec.cron, spec.created_at));
  return importOf(env, spec.id).start(spec, batchId);
}

/** As it stands before its object has begun. */
const newRecord = (spec: ImportSpec, batchId: string | null): ImportRecord => ({
  spec,
  batch_id: batchId,
  batch_ids: batchId === null ? [] : [batchId],
  status: "ready",
  percent_complete: 0,
  files: { total: 0, done: 0, failed: 0, skipped: 0 },
  rows: { read: 0, delivered: 0, rejected: 0 },
  bytes: { total: 0, done: 0 },
  tasks: { LIST: { READY: 1 }, INDEX: {} },
  errors: [],
  warnings: [],
  sample: [],
  effective_settings: effectiveSettings(spec.settings),
  started_at: null,
  finished_at: null,
  ver: 0,
});
