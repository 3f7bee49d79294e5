import { ApiError } from "../domain/error.ts";
import { openStreamToken, STREAM_TOKEN_MS, signStreamToken } from "../domain/stream-token.ts";
import type { Env } from "../env.ts";
import type { Caller } from "./authorize.ts";
import { getBatch } from "./batches.ts";
import { withKeys } from "./sealing.ts";

/** A token for watching one batch, and until when. Unix milliseconds. */
export interface StreamToken {
  token: string;
  expiresAt: number;
}

/**
 * Issues a token that reads the events of one batch for five minutes, and nothing else.
 *
 * @throws ApiError `not_found`; `unavailable` where the deployment has no usable `ENCRYPTION_KEYS`.
 */
export async function issueStreamToken(
  env: Env,
  caller: Caller,
  batchId: string,
  now: number,
  project?: string,
): Promise<StreamToken> {
  const { id, project_id } = await getBatch(env, caller, batchId, project);
  const expiresAt = now + STREAM_TOKEN_MS;
  const grant = { projectId: project_id, batchId: id, expiresAt };
  return { token: await withKeys(env, (keys) => signStreamToken(keys, grant)), expiresAt };
}

/**
 * Who a stream token stands for, on the events of `batchId`.
 *
 * @throws ApiError `authentication_required` where it is forged, over, or another batch's.
 */
export async function authenticateStream(env: Env, token: string, batchId: string, now: number): Promise<Caller> {
  const grant = await withKeys(env, (keys) => openStreamToken(keys, token, now));
  if (grant === null || grant.batchId !== batchId) {
    throw new ApiError("authentication_required", "the stream token is not valid here, or no longer");
  }
  return { kind: "key", projectId: grant.projectId, scopes: ["runs:read"], actorId: "stream-token" };
}
