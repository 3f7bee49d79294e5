import { ApiError } from "../domain/error.ts";
import { SESSION_MS, signSession } from "../domain/session-token.ts";
import type { Env } from "../env.ts";
import { type ProjectRow, selectProject } from "../store/projects.ts";
import { validKey } from "./api-keys.ts";
import { withKeys } from "./sealing.ts";

/**
 * A session for an API key and the slug of its project: for an hour, or for as long as the key is valid.
 *
 * @throws ApiError `authentication_required` where they do not fit, without saying which.
 */
export async function logIn(
  env: Env,
  slug: string,
  key: string,
  now: number,
): Promise<{ token: string; project: ProjectRow }> {
  const row = await validKey(env, key, now);
  const project = row && (await selectProject(env.DB, row.project_id));
  if (project?.slug !== slug || row === null) {
    throw new ApiError("authentication_required", "the user name or the password is not valid");
  }
  const session = { keyId: row.id, expiresAt: now + SESSION_MS };
  return { token: await withKeys(env, (keys) => signSession(keys, session)), project };
}
