import { openToken, signToken } from "./signed-token.ts";

/**
 * A token that lets a browser watch one batch for some minutes, for `EventSource` sends no headers:
 * `stream.<project>.<batch>.<expiry>.<mac>`.
 */

export const STREAM_TOKEN_MS = 5 * 60_000;

/** What a token is for. Times are Unix milliseconds. */
export interface StreamGrant {
  projectId: string;
  batchId: string;
  expiresAt: number;
}

const PURPOSE = "stream token";

/**
 * @param keys `ENCRYPTION_KEYS`.
 * @throws Error saying what is wrong with the keys.
 */
export const signStreamToken = (keys: string, grant: StreamGrant): Promise<string> =>
  signToken(keys, PURPOSE, ["stream", grant.projectId, grant.batchId, grant.expiresAt].join("."));

/**
 * What a token grants, or null where it is forged, damaged or over.
 *
 * @throws Error saying what is wrong with the keys.
 */
export async function openStreamToken(keys: string, token: string, now: number): Promise<StreamGrant | null> {
  const text = (await openToken(keys, PURPOSE, token)) ?? "";
  const [, projectId = "", batchId = "", expiry = ""] =
    /^stream\.([0-9a-f-]{36})\.([0-9a-f-]{36})\.(\d{1,15})$/.exec(text) ?? [];
  return expiry === "" || Number(expiry) <= now ? null : { projectId, batchId, expiresAt: Number(expiry) };
}
