import { toHex } from "../domain/hex.ts";

/** Digests and fresh secrets. */

export async function sha256(data: string | Uint8Array): Promise<Uint8Array> {
  const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data;
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes as Uint8Array<ArrayBuffer>));
}

export const sha256Hex = async (data: string | Uint8Array): Promise<string> => toHex(await sha256(data));

/** Compares in a time that says nothing about where two texts differ. */
export async function sameSecret(a: string, b: string): Promise<boolean> {
  return crypto.subtle.timingSafeEqual(await sha256(a), await sha256(b));
}

/** `sluice_` and 64 hex digits. */
export const newApiKey = (): string => `sluice_${toHex(crypto.getRandomValues(new Uint8Array(32)))}`;
