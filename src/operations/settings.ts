import { ApiError } from "../domain/error.ts";
import { type Env, parseSettings, type Settings } from "../env.ts";

/** Somebody has to mend the deployment first. */
const RETRY_SECS = 60;

/**
 * The deployment's settings.
 *
 * @throws ApiError `unavailable` that names the variable which is wrong.
 */
export function settingsOf(env: Env): Settings {
  try {
    return parseSettings(env);
  } catch (error) {
    throw new ApiError("unavailable", `the deployment is misconfigured: ${(error as Error).message}`, {
      retryAfterSecs: RETRY_SECS,
    });
  }
}
