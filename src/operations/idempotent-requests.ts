import { ApiError } from "../domain/error.ts";
import { uuidV7 } from "../domain/id.ts";
import type { Env } from "../env.ts";
import { claimRequest, keepAnswer, lapseClaim, type RequestName, releaseClaim } from "../store/idempotent-requests.ts";

const REMEMBERED_MS = 24 * 60 * 60 * 1000;
/** A request that has not answered by then has died. */
const CLAIM_MS = 60_000;

/** An answer as it was given. */
export interface KeptAnswer {
  status: number;
  etag: string | null;
  body: string;
}

export type Claim =
  /** Do it, and create what you create under this id. */
  { kind: "first"; creationId: string } | { kind: "answered"; answer: KeptAnswer };

/**
 * Begins a request with an Idempotency-Key.
 *
 * @param fingerprint SHA-256 of its body.
 * @param now Unix milliseconds.
 * @param joins whether a repeat may do the same at once: what it does is known by the creation id or the key, and done once.
 * @throws ApiError `conflict` where the key came with another body, or the first request is still running and is not joined.
 */
export async function beginRequest(
  env: Env,
  name: RequestName,
  fingerprint: string,
  now: number,
  joins = false,
): Promise<Claim> {
  const creation_id = uuidV7(now, crypto.getRandomValues(new Uint8Array(10)));
  const claim = await claimRequest(
    env.DB,
    { ...name, fingerprint, creation_id },
    now,
    now - CLAIM_MS,
    now - REMEMBERED_MS,
  );
  if (claim.claimed) return { kind: "first", creationId: claim.creation_id };
  const { earlier } = claim;
  if (earlier.fingerprint !== fingerprint) {
    throw new ApiError("conflict", "Idempotency-Key: was used with another body");
  }
  if (earlier.status === null || earlier.body === null) {
    if (joins) return { kind: "first", creationId: earlier.body ?? creation_id };
    const left = Math.max(1, Math.ceil((earlier.created_at + CLAIM_MS - now) / 1000));
    throw new ApiError("conflict", "Idempotency-Key: the first request with it is still running", {
      retryAfterSecs: Math.min(left, 5),
    });
  }
  const { etag, body } = JSON.parse(earlier.body) as { etag: string | null; body: string };
  return { kind: "answered", answer: { status: earlier.status, etag, body } };
}

export const finishRequest = (env: Env, name: RequestName, answer: KeptAnswer): Promise<void> =>
  keepAnswer(env.DB, name, answer.status, JSON.stringify({ etag: answer.etag, body: answer.body }));

/**
 * Ends a request that failed.
 *
 * @param mayHaveCommitted whether something may have been created all the same; a repeat then finds it by its id.
 */
export const abandonRequest = (env: Env, name: RequestName, mayHaveCommitted: boolean, now: number): Promise<void> =>
  mayHaveCommitted ? lapseClaim(env.DB, name, now - CLAIM_MS) : releaseClaim(env.DB, name);
