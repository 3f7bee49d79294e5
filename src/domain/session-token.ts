import { openToken, signToken } from "./signed-token.ts";

/** What a login gets in place of its API key, for an hour: `session.<key id>.<expiry>.<mac>`. */

export const SESSION_MS = 60 * 60_000;

/** The key that it stands for, and until when, in Unix milliseconds. */
export interface Session {
  keyId: string;
  expiresAt: number;
}

const PURPOSE = "session token";

export const isSessionToken = (token: string): boolean => token.startsWith("session.");

/**
 * @param keys `ENCRYPTION_KEYS`.
 * @throws Error saying what is wrong with the keys.
 */
export const signSession = (keys: string, { keyId, expiresAt }: Session): Promise<string> =>
  signToken(keys, PURPOSE, ["session", keyId, expiresAt].join("."));

/**
 * The session of a token, or null where it is forged, damaged or over.
 *
 * @throws Error saying what is wrong with the keys.
 */
export async function openSession(keys: string, token: string, now: number): Promise<Session | null> {
  const text = (await openToken(keys, PURPOSE, token)) ?? "";
  const [, keyId = "", expiry = ""] = /^session\.([0-9a-f-]{36})\.(\d{1,15})$/.exec(text) ?? [];
  return expiry === "" || Number(expiry) <= now ? null : { keyId, expiresAt: Number(expiry) };
}
