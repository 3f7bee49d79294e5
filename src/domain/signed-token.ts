import { fromHex, toHex } from "./hex.ts";
import { parseSealingKeys, type SealingKey } from "./secret.ts";

/**
 * Text with a MAC behind it, `<text>.<mac>`: what it says is believed without being looked up. Each purpose has a key of its
 * own, derived from the deployment's sealing keys.
 */

const encoder = new TextEncoder();

/**
 * @param keys `ENCRYPTION_KEYS`; the newest signs.
 * @throws Error saying what is wrong with the keys.
 */
export async function signToken(keys: string, purpose: string, text: string): Promise<string> {
  const mac = await crypto.subtle.sign("HMAC", await macKey(parseSealingKeys(keys)[0], purpose), encoder.encode(text));
  return `${text}.${toHex(new Uint8Array(mac))}`;
}

/**
 * The text of a token, or null where it is forged, damaged or of another purpose. Compared in constant time.
 *
 * @throws Error saying what is wrong with the keys.
 */
export async function openToken(keys: string, purpose: string, token: string): Promise<string | null> {
  const [, text = "", mac = ""] = /^(.{1,512})\.([0-9a-f]{64})$/.exec(token) ?? [];
  if (mac === "") return null;
  for (const key of parseSealingKeys(keys)) {
    if (await crypto.subtle.verify("HMAC", await macKey(key, purpose), fromHex(mac), encoder.encode(text))) return text;
  }
  return null;
}

async function macKey(key: SealingKey, purpose: string): Promise<CryptoKey> {
  const secret = await crypto.subtle.importKey("raw", key.bytes, "HKDF", false, ["deriveKey"]);
  return crypto.subtle.deriveKey(
    { name: "HKDF", hash: "SHA-256", salt: new Uint8Array(), info: encoder.encode(`sluice ${purpose}`) },
    secret,
    { name: "HMAC", hash: "SHA-256", length: 256 },
    false,
    ["sign", "verify"],
  );
}
