import { customAlphabet } from "nanoid";
import { clockOnChange } from "../domain/cron-clock.ts";
import { ApiError, notFound } from "../domain/error.ts";
import type { Job, JobSpec, JobVersion } from "../domain/job.ts";
import type { Env } from "../env.ts";
import { logError } from "../log.ts";
import { type JobUpdate, listUntold, markTold, type StoredJob, selectJob, updateJob } from "../store/jobs.ts";
import { isUniqueViolation } from "../store/unique.ts";
import { configure } from "./configuring.ts";
import { forgetJob } from "./jobs.ts";
import { slugTaken } from "./slugs.ts";

/** Changes meet at a job's revision: the loser reads again and tries again, so often. */
const TRIES = 5;
/** When a change that could not be told is worth another try. */
export const RETRY_SECS = 5;

/** `ver_` and 10 of `[0-9a-z]`. */
const suffix = customAlphabet("0123456789abcdefghijklmnopqrstuvwxyz", 10);
export const newVersionId = (): string => `ver_${suffix()}`;

/** What a change does to a job as it is now; null for nothing. */
type Decide = (job: StoredJob) => Promise<Pick<JobUpdate, "version" | "paused" | "deleted"> | null>;

/**
 * Changes a job: row, version and revision in one transaction; then its coordinator is told.
 *
 * @param job as the caller found it; read again where another change was first.
 * @param ifRevision from `If-Match`: the revisions that the caller will change; null for any.
 * @throws ApiError `precondition_failed`, `conflict` for a slug that is taken, `unavailable` where the change is saved but
 *   could not be told yet.
 */
export async function changeJob(
  env: Env,
  job: Job,
  ifRevision: number[] | null,
  actor: string,
  now: number,
  decide: Decide,
): Promise<StoredJob> {
  for (let attempt = 1; attempt <= TRIES; attempt++) {
    const present = await selectJob(env.DB, job.id);
    if (!present || present.deleted_at !== null) throw notFound("job");
    if (ifRevision !== null && !ifRevision.includes(present.revision)) {
      throw new ApiError("precondition_failed", "the job has changed since; read it again");
    }
    const change = await decide(present);
    const changed = change === null ? present : await write(env, present, actor, now, change);
    if (!changed) continue;
    forgetJob(present);
    await tell(env, changed);
    return changed;
  }
  throw new ApiError("conflict", "the job is being changed by many at once; try again");
}

async function write(
  env: Env,
  present: StoredJob,
  actor: string,
  now: number,
  change: Pick<JobUpdate, "version" | "paused" | "deleted">,
): Promise<StoredJob | null> {
  const spec = change.version?.spec;
  const clock = spec && clockOnChange(present.current.spec, present, spec, now);
  try {
    return await updateJob(env.DB, {
      id: present.id,
      from_revision: present.revision,
      actor,
      at: now,
      clock,
      ...change,
    });
  } catch (error) {
    if (isUniqueViolation(error, "jobs.slug")) throw slugTaken(spec?.slug ?? "");
    throw error;
  }
}

/** The version after the current one. */
export const nextVersion = (present: Job, spec: JobSpec): JobVersion => ({
  version: present.current.version + 1,
  version_id: newVersionId(),
  spec,
});

/**
 * Tells the coordinator of a job's newest revision, unless it knows it.
 *
 * @throws ApiError `unavailable`: the change is saved, and the sweeper will tell it.
 */
export async function tell(env: Env, job: StoredJob): Promise<void> {
  if (job.told_revision >= job.revision) return;
  try {
    await tellNow(env, job);
  } catch (error) {
    logError("job_untold", { job_id: job.id, revision: job.revision }, error);
    throw new ApiError("unavailable", "the change is saved, but is not in force yet; it will be shortly", {
      retryAfterSecs: RETRY_SECS,
    });
  }
}

/** Tells the coordinator, and notes that it knows. */
export async function tellNow(env: Env, job: StoredJob): Promise<void> {
  const revision = await configure(env, job);
  await markTold(env.DB, job.id, Math.max(revision, job.revision));
}

/**
 * Tells coordinators what they have not heard: changes whose request died or met an outage.
 *
 * @param limit of jobs in one go.
 * @returns how many were told, and how many could not be.
 */
export async function tellUntold(env: Env, limit: number): Promise<{ told: number; failed: number }> {
  const untold = await listUntold(env.DB, limit);
  const results = await Promise.allSettled(untold.map((job) => tellNow(env, job)));
  for (const [i, result] of results.entries()) {
    if (result.status === "rejected") {
      logError("job_untold", { job_id: untold[i]?.id, revision: untold[i]?.revision }, result.reason);
    }
  }
  const failed = results.filter((result) => result.status === "rejected").length;
  return { told: untold.length - failed, failed };
}
