import type { CallOutcome } from "./call.ts";
import { splitLimitName } from "./rate-limit-names.ts";

/** A job is held back no longer than this by one answer, whatever it asks for (contract 4.9). */
const MAX_HOLD_MS = 5 * 60 * 1000;

/** How long an answer asks to be left alone, in ms: the `Retry-After` of a 429 or 503. Null: it does not ask. */
export function holdAsked(outcome: CallOutcome): number | null {
  if (outcome.kind !== "response") return null;
  return outcome.http_status === 429 || outcome.http_status === 503 ? outcome.retry_after_ms : null;
}

/** Until when nothing that the hold covers starts; Unix ms. Of several holds the longest counts. */
export const holdUntil = (retryAfterMs: number, now: number): number => now + Math.min(retryAfterMs, MAX_HOLD_MS);

/**
 * What an answer to a run with these `rate_limit_keys` holds: the partitions that it drew from, as `name:partition`; null
 * where it drew from none, and so the whole job is held.
 */
export function heldPartitions(keys: readonly string[] | null): string[] | null {
  const partitions = (keys ?? []).filter((key) => splitLimitName(key).partition !== null);
  return partitions.length > 0 ? partitions : null;
}
