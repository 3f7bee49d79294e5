import type { JobConfig } from "../coordinator/protocol.ts";
import { notFound } from "../domain/error.ts";
import { isUuid } from "../domain/id.ts";
import type { Job, JobVersion } from "../domain/job.ts";
import type { Env } from "../env.ts";
import * as store from "../store/jobs.ts";
import { projectRequired } from "./authorize.ts";
import { everyRow } from "./every-row.ts";
import { Recent } from "./recent.ts";

/** Finding jobs and their versions. Versions are kept by this isolate, jobs for some seconds. */

const CACHE_MS = 15_000;
/** Long enough that nobody floods D1 with forged numbers, short enough that a new job is seen. */
const UNKNOWN_MS = 2_000;
const VERSION_MS = 10 * 60_000;

const jobsByRef = new Recent<Job>(CACHE_MS, 2000);
const jobsByNumber = new Recent<Job>(CACHE_MS, 2000);
const unknownNumbers = new Recent<true>(UNKNOWN_MS, 2000);
const versions = new Recent<JobVersion>(VERSION_MS, 500);

const refOf = (projectId: string | null, idOrSlug: string): string =>
  isUuid(idOrSlug) ? idOrSlug : `${projectId}/${idOrSlug}`;

/**
 * A job that is not deleted, by id or slug. May be some seconds old, unless `fresh`: the coordinator tells who works with an
 * old one.
 *
 * @param projectId the job must be this project's; null (an admin who named none) finds any by id.
 * @throws ApiError `not_found`; `validation_failed` for a slug without a project.
 */
export async function findJob(
  env: Env,
  projectId: string | null,
  idOrSlug: string,
  options: { fresh?: boolean } = {},
): Promise<Job> {
  if (projectId === null && !isUuid(idOrSlug)) throw projectRequired();
  const now = Date.now();
  const ref = refOf(projectId, idOrSlug);
  const cached = options.fresh ? undefined : jobsByRef.get(ref, now);
  const job = cached ?? (await readJob(env, projectId, idOrSlug));
  if (!job || job.deleted_at !== null || (projectId !== null && job.project_id !== projectId)) {
    jobsByRef.delete(ref);
    throw notFound("job");
  }
  if (!cached) jobsByRef.set(ref, job, now);
  return job;
}

const readJob = (env: Env, projectId: string | null, idOrSlug: string): Promise<Job | null> =>
  isUuid(idOrSlug) ? store.selectJob(env.DB, idOrSlug) : store.selectJobBySlug(env.DB, projectId ?? "", idOrSlug);

/** A job past every cache, deleted or not; null where there never was one. */
export const jobById = (env: Env, id: string): Promise<Job | null> => store.selectJob(env.DB, id);

/** The job whose number stands in an id, deleted or not; null where there is none. May be some seconds old. */
export async function jobByNumber(env: Env, number: number): Promise<Job | null> {
  const now = Date.now();
  const key = String(number);
  const cached = jobsByNumber.get(key, now);
  if (cached) return cached;
  if (unknownNumbers.get(key, now)) return null;
  const job = await store.selectJobByNumber(env.DB, number);
  if (job) jobsByNumber.set(key, job, now);
  else unknownNumbers.set(key, true, now);
  return job;
}

/** After a change: what this isolate remembers of a job is old. */
export function forgetJob(job: Job): void {
  jobsByRef.delete(job.id);
  jobsByRef.delete(refOf(job.project_id, job.current.spec.slug));
  jobsByNumber.delete(String(job.number));
}

/** What the coordinator must know of a job. */
export const configOf = (job: Job): JobConfig => ({
  id: job.id,
  number: job.number,
  project_id: job.project_id,
  revision: job.revision,
  paused: job.paused,
  deleted: job.deleted_at !== null,
  current: job.current,
});

/** The slugs of jobs by their ids, deleted ones too. */
export const slugsOf = (env: Env, ids: readonly string[]): Promise<Map<string, string>> =>
  store.selectSlugs(env.DB, [...new Set(ids)]);

const VERSION_NUMBER = /^[1-9]\d{0,9}$/;

/** A version of a job by number or version_id; null where it has none such. A version never changes. */
export async function versionByRef(env: Env, job: Job, ref: number | string): Promise<JobVersion | null> {
  const text = String(ref);
  if (text === String(job.current.version) || text === job.current.version_id) return job.current;
  const now = Date.now();
  const key = `${job.id}/${text}`;
  const cached = versions.get(key, now);
  if (cached) return cached;
  const row = await versionRow(env, job, text);
  if (!row) return null;
  const version = { version: row.version, version_id: row.version_id, spec: row.spec };
  versions.set(key, version, now);
  return version;
}

/** A version with who made it and when. */
export type KeptVersion = store.VersionRow;

function versionRow(env: Env, job: Job, ref: string): Promise<KeptVersion | null> {
  return store.selectVersion(env.DB, job.id, VERSION_NUMBER.test(ref) ? { version: Number(ref) } : { version_id: ref });
}

/** @throws ApiError `not_found`. */
export async function getVersion(env: Env, job: Job, ref: string): Promise<KeptVersion> {
  const row = await versionRow(env, job, ref);
  if (!row) throw notFound("version");
  return row;
}

/** Newest first; one more than the limit where there is another page. */
export const listVersions = (
  env: Env,
  job: Job,
  page: { limit: number; before: number | null },
): Promise<KeptVersion[]> => store.listVersions(env.DB, job.id, page);

/** Of a project, newest first. */
export const everyJob = (env: Env, projectId: string): AsyncGenerator<Job> =>
  everyRow(
    (page) => store.listJobs(env.DB, projectId, { tags: [] }, page),
    (job) => job.id,
  );

export type JobFilter = store.JobFilter;

/** Newest first; one more than the limit where there is another page. */
export const listJobs = (
  env: Env,
  projectId: string,
  filter: JobFilter,
  page: { limit: number; before: string | null },
): Promise<Job[]> => store.listJobs(env.DB, projectId, filter, page);
