/**
 * Checks what Sluice sends (contract 6): webhooks, and calls of jobs with an `endpoint_signing_secret`. Both carry the same
 * headers; the Standard Webhooks signature is the one that is checked.
 */

const HMAC = { name: "HMAC", hash: "SHA-256" } as const;
const STANDARD_PREFIX = "whsec_";
const TOLERANCE_SECS = 300;
const encoder = new TextEncoder();

export interface VerifyOptions {
  /** How far the timestamp may be from `now`, in seconds, before the message is taken for a replay; 300 by default. */
  toleranceSecs?: number;
  /** Unix milliseconds; the clock's time by default. */
  now?: number;
}

export type Verdict =
  | { ok: true; id: string }
  /** Answer 400 or 401, and do nothing. */
  | { ok: false; reason: "missing_headers" | "too_old" | "too_new" | "wrong_signature" };

/**
 * Whether a message came from the one who holds the secret. `body` must be the bytes as they came, before any parsing.
 * Keep `id` for a while: a message that is sent again has the same one.
 */
export async function verifySignature(
  body: string | Uint8Array,
  headers: Headers | Record<string, string | string[] | undefined>,
  secret: string,
  options: VerifyOptions = {},
): Promise<Verdict> {
  const id = headerOf(headers, "webhook-id");
  const timestamp = headerOf(headers, "webhook-timestamp");
  const signatures = headerOf(headers, "webhook-signature");
  if (!id || !timestamp || !signatures || !/^\d{1,12}$/.test(timestamp))
    return { ok: false, reason: "missing_headers" };
  const ageSecs = (options.now ?? Date.now()) / 1000 - Number(timestamp);
  const tolerance = options.toleranceSecs ?? TOLERANCE_SECS;
  if (ageSecs > tolerance) return { ok: false, reason: "too_old" };
  if (ageSecs < -tolerance) return { ok: false, reason: "too_new" };
  const key = await crypto.subtle.importKey("raw", keyBytes(secret), HMAC, false, ["verify"]);
  const signed = concat(encoder.encode(`${id}.${timestamp}.`), typeof body === "string" ? encoder.encode(body) : body);
  for (const signature of signatures.split(" ")) {
    const bytes = signature.startsWith("v1,") ? fromBase64(signature.slice(3)) : null;
    // The platform compares in constant time.
    if (bytes !== null && (await crypto.subtle.verify("HMAC", key, bytes, signed))) return { ok: true, id };
  }
  return { ok: false, reason: "wrong_signature" };
}

function headerOf(headers: Headers | Record<string, string | string[] | undefined>, name: string): string | null {
  if (headers instanceof Headers) return headers.get(name);
  for (const [key, value] of Object.entries(headers)) {
    if (key.toLowerCase() === name) return (Array.isArray(value) ? value[0] : value) ?? null;
  }
  return null;
}

/** Of a `whsec_` secret the part behind is base64 for the key; any other is the key as text. */
function keyBytes(secret: string): Uint8Array<ArrayBuffer> {
  const behind = secret.startsWith(STANDARD_PREFIX) ? fromBase64(secret.slice(STANDARD_PREFIX.length)) : null;
  return behind !== null && behind.length > 0 ? behind : (encoder.encode(secret) as Uint8Array<ArrayBuffer>);
}

function fromBase64(text: string): Uint8Array<ArrayBuffer> | null {
  try {
    return Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
  } catch {
    return null;
  }
}

function concat(a: Uint8Array, b: Uint8Array): Uint8Array<ArrayBuffer> {
  const both = new Uint8Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}
