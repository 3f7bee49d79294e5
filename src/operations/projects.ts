import { ApiError, notFound } from "../domain/error.ts";
import { timeOf } from "../domain/id.ts";
import type { Env } from "../env.ts";
import * as store from "../store/projects.ts";
import { isUniqueViolation } from "../store/unique.ts";
import type { Caller } from "./authorize.ts";
import { slugTaken, underFreeSlug } from "./slugs.ts";

/** Times are Unix milliseconds. */
export type Project = store.ProjectRow;

const DEFAULT_MAX_INVOCATIONS = 1000;
/** @param id of the new project; a repeat with the same id finds what the first one made. */
export async function createProject(
  env: Env,
  wanted: { name: string; slug?: string; max_concurrent_invocations?: number },
  id: string,
): Promise<Project> {
  return underFreeSlug(wanted, "project", async (slug) => {
    await store.insertProject(env.DB, {
      id,
      name: wanted.name,
      slug,
      max_concurrent_invocations: wanted.max_concurrent_invocations ?? DEFAULT_MAX_INVOCATIONS,
      created_at: timeOf(id),
    });
    return store.selectProject(env.DB, id);
  });
}

async function getById(env: Env, id: string): Promise<Project> {
  const row = await store.selectProject(env.DB, id);
  if (!row) throw notFound("project");
  return row;
}

/** @throws ApiError `not_found`, also for a project that is not the key's own. */
export async function getProject(env: Env, caller: Caller, id: string): Promise<Project> {
  if (caller.projectId !== null && caller.projectId !== id) throw notFound("project");
  return getById(env, id);
}

/** @throws ApiError `not_found`. The caller is to be asked whether it may see it. */
export async function projectBySlug(env: Env, slug: string): Promise<Project> {
  const row = await store.selectProjectBySlug(env.DB, slug);
  if (!row) throw notFound("project");
  return row;
}

/** One row more than the limit where there is another page. A key sees its own project only. */
export const listProjects = (
  env: Env,
  caller: Caller,
  page: { limit: number; before: string | null },
): Promise<Project[]> => store.listProjects(env.DB, { ...page, only: caller.projectId });

export async function updateProject(
  env: Env,
  id: string,
  change: { name?: string; slug?: string; max_concurrent_invocations?: number },
): Promise<Project> {
  if (Object.keys(change).length === 0) return getById(env, id);
  try {
    const row = await store.updateProject(env.DB, id, change);
    if (!row) throw notFound("project");
    return row;
  } catch (error) {
    if (change.slug !== undefined && isUniqueViolation(error, "projects.slug")) throw slugTaken(change.slug);
    throw error;
  }
}

/**
 * Deletes a project. What is left of its history nobody sees any more; it is removed a day later.
 *
 * @throws ApiError `conflict` while the project has jobs.
 */
export async function deleteProject(env: Env, id: string, now: number): Promise<void> {
  await getById(env, id);
  if (!(await store.deleteProject(env.DB, id, now))) {
    throw new ApiError("conflict", "the project still has jobs: delete them first");
  }
}
