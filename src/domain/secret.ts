import type { Sealed } from "./job.ts";

/**
 * Secrets at rest: AES-256-GCM, `v1.<key id>.<iv>.<ciphertext>` in base64url. The additional data binds a secret to its
 * job and field, so that a row copied elsewhere opens nothing.
 */
export interface SealingKey {
  id: string;
  /** 32 bytes. */
  bytes: Uint8Array<ArrayBuffer>;
}

export const IV_BYTES = 12;
const KEY_BYTES = 32;
const KEY_ID = /^[A-Za-z0-9_-]{1,32}$/;

/** Where a secret stands: `endpoint_signing_secret`, `webhook_secret`, or a header's value. */
export type SecretField = "endpoint_signing_secret" | "webhook_secret" | `endpoint_headers.${string}`;

/** The additional data of a job's secret. Header names are compared without case. */
export const secretAad = (jobId: string, field: SecretField): string => `job:${jobId}:${field.toLowerCase()}`;

/** The additional data of an environment's variable. */
export const variableAad = (environmentId: string, name: string): string => `environment:${environmentId}:${name}`;

/** The additional data of a part of a credential. */
export const credentialAad = (id: string, field: "access_key_id" | "secret_access_key"): string =>
  `credential:${id}:${field}`;

/**
 * Parses `ENCRYPTION_KEYS`: `id:base64(32 bytes)`, comma separated; the first seals, all of them open.
 *
 * @throws Error saying what is wrong with it, never what it holds.
 */
export function parseSealingKeys(keys: string): [SealingKey, ...SealingKey[]] {
  const parsed = keys.split(",").map((entry, i) => {
    const [id, encoded, ...rest] = entry.trim().split(":");
    const bytes = encoded === undefined || rest.length > 0 ? null : fromBase64(encoded);
    if (!id || !KEY_ID.test(id) || bytes?.length !== KEY_BYTES) {
      throw new Error(`ENCRYPTION_KEYS: entry ${i + 1} is not id:base64 of ${KEY_BYTES} bytes`);
    }
    return { id, bytes };
  });
  const [first, ...others] = parsed;
  if (!first) throw new Error("ENCRYPTION_KEYS: is empty");
  if (new Set(parsed.map((k) => k.id)).size < parsed.length) throw new Error("ENCRYPTION_KEYS: an id stands twice");
  return [first, ...others];
}

/**
 * Encrypts a secret with the newest key.
 *
 * @param keys `ENCRYPTION_KEYS`.
 * @param aad from `secretAad`.
 * @param iv 12 random bytes, never used before.
 */
export async function sealSecret(
  keys: string,
  plain: string,
  aad: string,
  iv: Uint8Array<ArrayBuffer>,
): Promise<Sealed> {
  const [key] = parseSealingKeys(keys);
  const cipher = await crypto.subtle.encrypt(gcm(iv, aad), await importKey(key), new TextEncoder().encode(plain));
  return ["v1", key.id, toBase64Url(iv), toBase64Url(new Uint8Array(cipher))].join(".");
}

/**
 * Decrypts what `sealSecret` made, with whichever key made it.
 *
 * @throws Error where the key is gone, or the secret was altered or stands in another place. It never shows the secret.
 */
export async function openSealed(keys: string, sealed: Sealed, aad: string): Promise<string> {
  const [version, keyId, iv, cipher] = sealed.split(".");
  const ivBytes = iv === undefined ? null : fromBase64(iv);
  const cipherBytes = cipher === undefined ? null : fromBase64(cipher);
  if (version !== "v1" || !ivBytes || !cipherBytes) throw new Error("a sealed secret is damaged");
  const key = parseSealingKeys(keys).find((k) => k.id === keyId);
  if (!key) throw new Error(`ENCRYPTION_KEYS lacks the key ${keyId} of a sealed secret`);
  try {
    return new TextDecoder().decode(await crypto.subtle.decrypt(gcm(ivBytes, aad), await importKey(key), cipherBytes));
  } catch {
    throw new Error("a sealed secret does not open: it was altered or belongs elsewhere");
  }
}

const gcm = (iv: Uint8Array<ArrayBuffer>, aad: string) => ({
  name: "AES-GCM",
  iv,
  additionalData: new TextEncoder().encode(aad),
});

const importKey = (key: SealingKey): Promise<CryptoKey> =>
  crypto.subtle.importKey("raw", key.bytes, "AES-GCM", false, ["encrypt", "decrypt"]);

function toBase64Url(bytes: Uint8Array): string {
  const text = btoa(Array.from(bytes, (b) => String.fromCharCode(b)).join(""));
  return text.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/** Both alphabets, padded or not; null where the text is neither. */
function fromBase64(text: string): Uint8Array<ArrayBuffer> | null {
  if (!/^[A-Za-z0-9+/_-]*={0,2}$/.test(text)) return null;
  try {
    return Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
  } catch {
    return null;
  }
}
