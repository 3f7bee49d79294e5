import { toHex } from "./hex.ts";

/**
 * Signatures of outgoing calls (contract 6). One secret signs in two ways: the plain one over `timestamp.body` with the
 * secret as text, and Standard Webhooks over `id.timestamp.body`, where the part behind `whsec_` is base64 for the key.
 */
export interface SigningKeys {
  plain: CryptoKey;
  standard: CryptoKey;
}

const STANDARD_PREFIX = "whsec_";
const HMAC = { name: "HMAC", hash: "SHA-256" } as const;
const encoder = new TextEncoder();

/** The bytes behind `whsec_`, or null where that is no base64: such a secret is text. */
function decodeBase64(text: string): Uint8Array | null {
  try {
    const binary = atob(text);
    if (binary.length === 0) return null;
    const bytes = new Uint8Array(binary.length);
    for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
    return bytes;
  } catch {
    return null;
  }
}

/** Shorter ones can be guessed from a single signature. In characters, or in bytes behind `whsec_`. */
const MIN_SECRET = 8;

/** What is wrong with a new secret; null where nothing is. */
export function secretProblem(secret: string): string | null {
  if (!secret.startsWith(STANDARD_PREFIX)) {
    return secret.length < MIN_SECRET ? `must have at least ${MIN_SECRET} characters` : null;
  }
  const behind = decodeBase64(secret.slice(STANDARD_PREFIX.length));
  if (behind === null) return "must have base64 behind whsec_";
  return behind.length < MIN_SECRET ? `must have at least ${MIN_SECRET} bytes of base64 behind whsec_` : null;
}

const importKey = (bytes: Uint8Array): Promise<CryptoKey> =>
  crypto.subtle.importKey("raw", bytes as Uint8Array<ArrayBuffer>, HMAC, false, ["sign", "verify"]);

/** Makes the keys of a secret (at least one character); keep them, importing costs more than signing. */
export async function signingKeys(secret: string): Promise<SigningKeys> {
  const text = encoder.encode(secret);
  const behind = secret.startsWith(STANDARD_PREFIX) ? decodeBase64(secret.slice(STANDARD_PREFIX.length)) : null;
  const plain = await importKey(text);
  return { plain, standard: behind ? await importKey(behind) : plain };
}

const sign = async (key: CryptoKey, text: string): Promise<Uint8Array> =>
  new Uint8Array(await crypto.subtle.sign("HMAC", key, encoder.encode(text)));

/** `v1=<hex HMAC-SHA256(secret, timestamp + "." + body)>`; the timestamp in Unix seconds. */
export const plainSignature = async (keys: SigningKeys, timestamp: number, body: string): Promise<string> =>
  `v1=${toHex(await sign(keys.plain, `${timestamp}.${body}`))}`;

/** `v1,<base64 HMAC-SHA256(key, id + "." + timestamp + "." + body)>`. */
export async function standardSignature(
  keys: SigningKeys,
  id: string,
  timestamp: number,
  body: string,
): Promise<string> {
  const bytes = await sign(keys.standard, `${id}.${timestamp}.${body}`);
  return `v1,${btoa(String.fromCharCode(...bytes))}`;
}

/** The headers that prove a call to be ours. `id` is the same on every try; `timestamp` is in Unix seconds. */
export async function signatureHeaders(
  keys: SigningKeys,
  id: string,
  timestamp: number,
  body: string,
): Promise<Record<string, string>> {
  const [plain, standard] = await Promise.all([
    plainSignature(keys, timestamp, body),
    standardSignature(keys, id, timestamp, body),
  ]);
  return {
    "X-Strait-Timestamp": String(timestamp),
    "X-Strait-Signature": plain,
    "X-Webhook-Signature": plain,
    "webhook-id": id,
    "webhook-timestamp": String(timestamp),
    "webhook-signature": standard,
  };
}
