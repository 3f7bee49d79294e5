import { ApiError, type ErrorDetail, notFound } from "../domain/error.ts";
import { timeOf } from "../domain/id.ts";
import { AMENDABLE_SETTINGS, type ImportRecord, type ImportSettings } from "../domain/import.ts";
import type { Env } from "../env.ts";
import { importOf } from "../imports/client.ts";
import type { Amendment } from "../imports/protocol.ts";
import { copyImport } from "../store/imports.ts";
import * as store from "../store/ingest-jobs.ts";
import { isUniqueViolation } from "../store/unique.ts";
import type { Caller } from "./authorize.ts";
import { patchBatch } from "./batches.ts";
import { everyRow } from "./every-row.ts";
import { createImport, type WantedImport } from "./import-creation.ts";
import { deleteImport, getImport, retryImport, type Steering, steerImport } from "./imports.ts";

/** Imports as batch ingest jobs: with a description, and a name that is unique in the project. */

export type IngestJob = store.IngestJob;

export interface WantedIngestJob {
  name: string;
  description: string | null;
  /** `project.table`, as it was given. */
  table: string;
  import: WantedImport;
}

const WHAT = "batch job";

const nameTaken = (name: string): ApiError =>
  new ApiError("conflict", `name: ${name} is taken`, { details: [{ path: "name", message: "is taken" }] });

/**
 * Makes an import under a name.
 *
 * @param id of the import; a repeat with the same id finds what the first one made.
 * @throws ApiError `conflict` for a taken name; whatever an import is refused for.
 */
export async function createIngestJob(
  env: Env,
  caller: Caller,
  projectId: string,
  wanted: WantedIngestJob,
  id: string,
  traceparent: string | null,
): Promise<IngestJob> {
  const at = timeOf(id);
  const row: store.IngestJobRow = {
    import_id: id,
    project_id: projectId,
    name: wanted.name,
    description: wanted.description,
    table_name: wanted.table,
    claimed_at: Date.now(),
    modified_at: at,
  };
  if (!(await store.claimName(env.DB, row))) throw nameTaken(wanted.name);
  try {
    return { row, record: await createImport(env, caller, projectId, wanted.import, id, traceparent) };
  } catch (error) {
    await store.releaseName(env.DB, id);
    throw error;
  }
}

/** @throws ApiError `not_found`, also for an import that is no batch job. */
export async function findIngestJob(env: Env, caller: Caller, projectId: string, id: string): Promise<IngestJob> {
  const row = await rowOf(env, projectId, id);
  const record = await getImport(env, caller, row.import_id, projectId);
  return { row, record: record.spec.name === row.name ? record : await amended(env, id, { name: row.name }) };
}

/** A change of name that broke off before the import heard of it is made good by whoever looks next. */
async function amended(env: Env, id: string, change: Amendment): Promise<ImportRecord> {
  const answer = await importOf(env, id).amend(change);
  if (answer.kind !== "steered") throw notFound(WHAT);
  await copyImport(env.DB, answer.record);
  return answer.record;
}

async function rowOf(env: Env, projectId: string, id: string): Promise<store.IngestJobRow> {
  const row = await store.selectIngestJob(env.DB, id);
  if (!row || row.project_id !== projectId) throw notFound(WHAT);
  return row;
}

/** All of a project's, newest first, from the copy. */
export const allIngestJobs = (env: Env, projectId: string): AsyncGenerator<IngestJob> =>
  everyRow(
    (page) => store.listIngestJobs(env.DB, projectId, page),
    ({ row }) => row.import_id,
  );

export interface IngestJobChange {
  name?: string;
  description?: string | null;
  settings?: Partial<ImportSettings>;
}

/**
 * Changes a job; settings hold for what is read from then on.
 *
 * @throws ApiError `not_found`; `conflict` for a taken name, and for settings that a job which has begun depends on.
 */
export async function changeIngestJob(
  env: Env,
  caller: Caller,
  projectId: string,
  id: string,
  change: IngestJobChange,
): Promise<IngestJob> {
  const { row, record } = await findIngestJob(env, caller, projectId, id);
  const settings = Object.entries(change.settings ?? {}).filter(
    ([name, value]) => record.spec.settings[name as keyof ImportSettings] !== value,
  );
  const isAmendable = (name: string) => (AMENDABLE_SETTINGS as readonly string[]).includes(name);
  refuseFixed(settings.flatMap(([name]) => (isAmendable(name) ? [] : [`settings.${name}`])));
  const next = {
    ...row,
    name: change.name ?? row.name,
    description: change.description === undefined ? row.description : change.description,
    modified_at: Date.now(),
  };
  await rename(env, next);
  const changed = await amended(env, id, { name: next.name, settings: Object.fromEntries(settings) });
  const { batch_id, effective_settings } = changed;
  // Also where it is not new: an earlier change may have broken off before it came to this.
  if (batch_id !== null && change.settings?.max_active_partitions !== undefined) {
    await widen(env, caller, projectId, batch_id, effective_settings.max_active_partitions);
  }
  return { row: next, record: changed };
}

/** @throws ApiError `conflict` that names every field which may not be changed any more. */
export function refuseFixed(paths: string[]): void {
  const details: ErrorDetail[] = paths.map((path) => ({
    path,
    message: "cannot be changed once a job has begun; make another job",
  }));
  if (details[0]) throw new ApiError("conflict", `${details[0].path}: ${details[0].message}`, { details });
}

async function rename(env: Env, row: store.IngestJobRow): Promise<void> {
  try {
    await store.updateIngestJob(env.DB, row.import_id, row);
  } catch (error) {
    if (isUniqueViolation(error, "ingest_jobs.project_id, ingest_jobs.name")) throw nameTaken(row.name);
    throw error;
  }
}

/** A batch that is finished needs no other width. */
async function widen(env: Env, caller: Caller, projectId: string, batchId: string, width: number): Promise<void> {
  try {
    await patchBatch(env, caller, batchId, { max_concurrency: width }, null, projectId);
  } catch (error) {
    if (!(error instanceof ApiError) || error.code !== "conflict") throw error;
  }
}

/** @throws ApiError `not_found`; `conflict` where nothing is to be done again. */
export async function retryIngestJob(env: Env, caller: Caller, projectId: string, id: string): Promise<IngestJob> {
  const row = await rowOf(env, projectId, id);
  return { row, record: await retryImport(env, caller, row.import_id, projectId) };
}

/** A job that has ended stays as it ended. @throws ApiError `not_found`. */
export async function cancelIngestJob(env: Env, caller: Caller, projectId: string, id: string): Promise<IngestJob> {
  const row = await rowOf(env, projectId, id);
  const how: Steering = "cancel";
  try {
    return { row, record: await steerImport(env, caller, row.import_id, how, projectId) };
  } catch (error) {
    if (!(error instanceof ApiError) || error.code !== "conflict") throw error;
    return findIngestJob(env, caller, projectId, id);
  }
}

/** One that runs is canceled first. @throws ApiError `not_found`. */
export async function deleteIngestJob(env: Env, caller: Caller, projectId: string, id: string): Promise<void> {
  const row = await rowOf(env, projectId, id);
  await deleteImport(env, caller, row.import_id, projectId);
  await store.deleteIngestJob(env.DB, row.import_id);
}

/** Deletes all of a project's. Answers how many. */
export async function purgeIngestJobs(env: Env, caller: Caller, projectId: string): Promise<number> {
  let purged = 0;
  for await (const { row } of allIngestJobs(env, projectId)) {
    await deleteIngestJob(env, caller, projectId, row.import_id);
    purged += 1;
  }
  return purged;
}
