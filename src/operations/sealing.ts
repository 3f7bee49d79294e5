import { ApiError } from "../domain/error.ts";
import type { Sealed } from "../domain/job.ts";
import { IV_BYTES, openSealed, sealSecret } from "../domain/secret.ts";
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

/**
 * Encrypts a secret for the place that `aad` names; see domain/secret.
 *
 * @throws ApiError `unavailable` where the deployment's keys do not fit.
 */
export const sealFor = (env: Env, aad: string, plain: string): Promise<Sealed> =>
  withKeys(env, (keys) => sealSecret(keys, plain, aad, crypto.getRandomValues(new Uint8Array(IV_BYTES))));

/** @throws ApiError `unavailable` where the deployment's keys do not fit. */
export const openFor = (env: Env, aad: string, sealed: Sealed): Promise<string> =>
  withKeys(env, (keys) => openSealed(keys, sealed, aad));
