/**
 * A token that lets a browser watch one batch for some minutes, for `EventSource` sends no headers:
 * `stream.<project>.<batch>.<expiry>.<mac>`. The MAC's key is derived from the deployment's sealing keys, and used for
 * nothing else.
 */
import { parseSealingKeys, type SealingKey } from "./secret.ts";

export const STREAM_TOKEN_MS = 5 * 60_000;

/** What a token is for. Times are Unix milliseconds. */
export interface StreamGrant {
  projectId: string;
  batchId: string;
  expiresAt: number;
}

const PREFIX = "stream";
const encoder = new TextEncoder();

/**
 * @param keys `ENCRYPTION_KEYS`; the newest signs.
 * @throws Error saying what is wrong with the keys.
 */
export async function signStreamToken(keys: string, grant: StreamGrant): Promise<string> {
  const text = [PREFIX, grant.projectId, grant.batchId, grant.expiresAt].join(".");
  const mac = await crypto.subtle.sign("HMAC", await macKey(parseSealingKeys(keys)[0]), encoder.encode(text));
  return `${text}.${hex(new Uint8Array(mac))}`;
}

/**
 * What a token grants, or null where it is forged, damaged or over. Compared in constant time.
 *
 * @throws Error saying what is wrong with the keys.
 */
export async function openStreamToken(keys: string, token: string, now: number): Promise<StreamGrant | null> {
  const [, text = "", projectId = "", batchId = "", expiry = "", mac = ""] =
    /^(stream\.([0-9a-f-]{36})\.([0-9a-f-]{36})\.(\d{1,15}))\.([0-9a-f]{64})$/.exec(token) ?? [];
  if (mac === "" || Number(expiry) <= now) return null;
  for (const key of parseSealingKeys(keys)) {
    if (await crypto.subtle.verify("HMAC", await macKey(key), unhex(mac), encoder.encode(text))) {
      return { projectId, batchId, expiresAt: Number(expiry) };
    }
  }
  return null;
}

async function macKey(key: SealingKey): Promise<CryptoKey> {
  const secret = await crypto.subtle.importKey("raw", key.bytes, "HKDF", false, ["deriveKey"]);
  return crypto.subtle.deriveKey(
    { name: "HKDF", hash: "SHA-256", salt: new Uint8Array(), info: encoder.encode("sluice stream token") },
    secret,
    { name: "HMAC", hash: "SHA-256", length: 256 },
    false,
    ["sign", "verify"],
  );
}

const hex = (bytes: Uint8Array): string => Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join("");
const unhex = (text: string): Uint8Array<ArrayBuffer> =>
  Uint8Array.from(text.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
