import type { Env } from "../env.ts";
import { type ProjectRow, selectProject } from "../store/projects.ts";
import { openSessionFor } from "./api-keys.ts";

/**
 * A session for an API key and the slug of its project.
 *
 * @throws ApiError `authentication_required` where they do not fit, without saying which.
 */
export async function logIn(
  env: Env,
  slug: string,
  key: string,
  now: number,
): Promise<{ token: string; project: ProjectRow }> {
  let project: ProjectRow | null = null;
  const isProject = async (id: string): Promise<boolean> => {
    project = await selectProject(env.DB, id);
    return project?.slug === slug;
  };
  const { token } = await openSessionFor(env, key, isProject, now);
  if (project === null) throw new Error("a session was opened for no project");
  return { token, project };
}
