import { notFound } from "../domain/error.ts";
import { isUuid, parseLedgerId } from "../domain/id.ts";
import type { Job } from "../domain/job.ts";
import type { Env } from "../env.ts";
import { type Caller, projectScope } from "./authorize.ts";
import { findJob, jobById, jobByNumber } from "./jobs.ts";

/** The job whose coordinator made an id. May be some seconds old. */
export type Home = Job;

/** Lanes that coordinators have today. */
const LANES = 1;

/**
 * The job that a run's or batch's id belongs to, or null where it belongs to none that the caller may see. Nothing but D1
 * is asked: a forged id makes no object.
 *
 * @throws ApiError `not_found` where a key names a project that is not its own.
 */
export async function findHome(env: Env, caller: Caller, id: string, project?: string): Promise<Home | null> {
  const scope = projectScope(caller, project);
  const parts = parseLedgerId(id);
  if (!parts || parts.lane >= LANES) return null;
  const job = await jobByNumber(env, parts.job);
  return job && (scope === null || job.project_id === scope) ? job : null;
}

/**
 * The job that an id belongs to.
 *
 * @param what names the object in the error: `run`.
 * @throws ApiError `not_found`.
 */
export async function homeOf(env: Env, caller: Caller, id: string, what: string, project?: string): Promise<Home> {
  const home = await findHome(env, caller, id, project);
  if (!home) throw notFound(what);
  return home;
}

/**
 * The job whose runs are asked for. A deleted one is found by its id: its runs stay readable.
 *
 * @param ref id or slug.
 * @throws ApiError `not_found`; `validation_failed` where an admin names a slug and no project.
 */
export async function findJobForRuns(env: Env, caller: Caller, ref: string, project?: string): Promise<Job> {
  const scope = projectScope(caller, project);
  if (!isUuid(ref)) return findJob(env, scope, ref);
  const job = await jobById(env, ref);
  if (!job || (scope !== null && job.project_id !== scope)) throw notFound("job");
  return job;
}
