import { ApiError } from "../domain/error.ts";
import type { Env } from "../env.ts";
import { settingsOf } from "./settings.ts";

/** Somebody has to mend the deployment first. */
const RETRY_SECS = 60;

const unusable = (message: string): ApiError => new ApiError("unavailable", message, { retryAfterSecs: RETRY_SECS });

/**
 * Does something with the deployment's sealing keys.
 *
 * @throws ApiError `unavailable` where `ENCRYPTION_KEYS` is not set or does not fit; the message holds no secret.
 */
export async function withKeys<T>(env: Env, work: (keys: string) => Promise<T>): Promise<T> {
  const { encryptionKeys } = settingsOf(env);
  if (encryptionKeys === null) throw unusable("ENCRYPTION_KEYS is not set, so secrets cannot be kept");
  try {
    return await work(encryptionKeys);
  } catch (error) {
    throw unusable((error as Error).message);
  }
}
