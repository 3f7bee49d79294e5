import { createHash } from "node:crypto";
import { canonicalJson } from "../domain/canonical-json.ts";

/** SHA-256 of the canonical payload (RFC 8785): 64 hex digits. */
export const payloadHash = (payload: string): string =>
  createHash("sha256").update(canonicalJson(payload)).digest("hex");
