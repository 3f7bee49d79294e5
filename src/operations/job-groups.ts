import { coordinatorOf } from "../coordinator/client.ts";
import type { LaneHealth } from "../coordinator/protocol.ts";
import { CONNECTIONS, mapBounded } from "../domain/bounded.ts";
import { ApiError, notFound } from "../domain/error.ts";
import { isUuid, timeOf } from "../domain/id.ts";
import { type RecentHealth, type RecentRun, recentHealth } from "../domain/job-health.ts";
import type { Env } from "../env.ts";
import { logError } from "../log.ts";
import * as store from "../store/job-groups.ts";
import { sumGroupStats } from "../store/job-stats.ts";
import { listRecentRunsOf, listUntoldInGroup } from "../store/jobs.ts";
import { selectProject } from "../store/projects.ts";
import { isUniqueViolation } from "../store/unique.ts";
import { type Caller, projectRequired, projectScope } from "./authorize.ts";
import { RETRY_SECS, tellNow } from "./job-changes.ts";
import { MAX_RECENT_RUNS, recentSince } from "./job-health.ts";
import { refuseInUse } from "./job-users.ts";
import { forgetJob } from "./jobs.ts";
import { slugTaken, underFreeSlug } from "./slugs.ts";

/** Times are Unix milliseconds. */
export type JobGroup = store.JobGroupRow;

const JOBS_PER_PAGE = 100;

/** @param id of the new group; a repeat with the same id finds what the first one made. */
export async function createGroup(
  env: Env,
  projectId: string,
  wanted: { name: string; slug?: string; description?: string | null },
  id: string,
): Promise<JobGroup> {
  if (!(await selectProject(env.DB, projectId))) throw notFound("project");
  const at = timeOf(id);
  return underFreeSlug(wanted, "group", async (slug) => {
    const row = { id, project_id: projectId, name: wanted.name, slug, description: wanted.description ?? null };
    await store.insertGroup(env.DB, { ...row, created_at: at, updated_at: at });
    return store.selectGroup(env.DB, id);
  });
}

/**
 * A group by id or slug.
 *
 * @param named the project that the request names.
 * @throws ApiError `not_found`; `validation_failed` for a slug without a project.
 */
export async function findGroup(env: Env, caller: Caller, ref: string, named?: string): Promise<JobGroup> {
  const projectId = projectScope(caller, named);
  if (projectId === null && !isUuid(ref)) throw projectRequired();
  const row = isUuid(ref)
    ? await store.selectGroup(env.DB, ref)
    : await store.selectGroupBySlug(env.DB, projectId ?? "", ref);
  if (!row || (projectId !== null && row.project_id !== projectId)) throw notFound("group");
  return row;
}

/** Newest first; one more than the limit where there is another page. */
export const listGroups = (
  env: Env,
  projectId: string,
  page: { limit: number; before: string | null },
): Promise<JobGroup[]> => store.listGroups(env.DB, projectId, page);

export async function updateGroup(
  env: Env,
  group: JobGroup,
  change: { name?: string; slug?: string; description?: string | null },
  now: number,
): Promise<JobGroup> {
  if (Object.keys(change).length === 0) return group;
  try {
    const row = await store.updateGroup(env.DB, group.id, { ...change, updated_at: now });
    if (!row) throw notFound("group");
    return row;
  } catch (error) {
    if (isUniqueViolation(error, "job_groups.slug")) throw slugTaken(change.slug ?? group.slug);
    throw error;
  }
}

/** @throws ApiError `conflict` that names the jobs in it. */
export async function deleteGroup(env: Env, group: JobGroup): Promise<void> {
  refuseInUse("group", await store.deleteGroup(env.DB, group.id));
}

export interface GroupStats {
  jobs: number;
  waiting: number;
  executing: number;
  last_24h: RecentHealth;
}

/** Of a larger group the copy in D1 is read: some ten seconds old, but one query. */
const ASKED_JOBS = 500;
/** Jobs whose runs are read for the last 24 hours: the newest. */
const RECENT_JOBS = 1_000;

/**
 * What waits and executes now, by each job's own coordinator (of more than `asked` jobs by the copy in D1), and how the last
 * 24 hours went, by the copy.
 */
export async function groupStats(env: Env, group: JobGroup, now: number, asked = ASKED_JOBS): Promise<GroupStats> {
  const jobs = await store.listGroupMembers(env.DB, group.id);
  const [live, recent] = await Promise.all([
    jobs.length > asked
      ? sumGroupStats(env.DB, group.id)
      : mapBounded(jobs, CONNECTIONS, (id) => coordinatorOf(env, id).health()).then(added),
    listRecentRunsOf(env.DB, jobs.slice(-RECENT_JOBS), recentSince(now), MAX_RECENT_RUNS),
  ]);
  return { jobs: jobs.length, ...live, last_24h: recentHealth(recent as RecentRun[]) };
}

const added = (all: readonly LaneHealth[]) => ({
  waiting: all.reduce((sum, health) => sum + health.waiting, 0),
  executing: all.reduce((sum, health) => sum + health.executing, 0),
});

/**
 * Pauses or resumes every job of a group: all rows in one statement, then each coordinator is told.
 *
 * @returns how many jobs it changed.
 * @throws ApiError `unavailable` where some coordinator could not be told: its change is saved, and the sweeper will tell it.
 */
export async function pauseGroup(
  env: Env,
  caller: Caller,
  group: JobGroup,
  paused: boolean,
  now: number,
): Promise<{ changed: number }> {
  const changed = await store.pauseGroup(env.DB, group.id, { paused, actor: caller.actorId, at: now });
  let untold = 0;
  for (let after = 0; ; ) {
    const page = await listUntoldInGroup(env.DB, group.id, after, JOBS_PER_PAGE);
    for (const job of page) forgetJob(job);
    const told = await mapBounded(page, CONNECTIONS, (job) => tellNow(env, job).then(...saying(job.id)));
    untold += told.filter((isTold) => !isTold).length;
    const last = page.at(-1);
    if (last === undefined || page.length < JOBS_PER_PAGE) break;
    after = last.number;
  }
  if (untold === 0) return { changed };
  throw new ApiError(
    "unavailable",
    `the change is saved, but is not in force yet for ${untold} jobs; it will be shortly`,
    {
      retryAfterSecs: RETRY_SECS,
    },
  );
}

/** One job's outage must not leave the others untold. */
const saying = (job: string): [() => boolean, (error: unknown) => boolean] => [
  () => true,
  (error) => {
    logError("job_untold", { job_id: job }, error);
    return false;
  },
];
