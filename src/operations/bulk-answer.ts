import { MAX_BATCH_ITEMS, type StoredAnswer } from "../coordinator/protocol.ts";
import { ApiError } from "../domain/error.ts";
import type { BulkCounts, ItemResult } from "./bulk-tally.ts";

/** The answer of a bulk request, as the wire shows it. */
export interface BulkBody extends BulkCounts {
  /** Null for a rehearsal. */
  batch_id: string | null;
  results: ItemResult[] | null;
  results_truncated: boolean;
}

interface Kept {
  body: BulkBody;
  overflown: boolean;
}

/** What is kept of an answer for a repeat of the request. */
export const keepAnswer = (body: BulkBody, overflown: boolean, digest: string, count: number): StoredAnswer => ({
  digest,
  item_count: count,
  body: JSON.stringify({ body, overflown } satisfies Kept),
});

/**
 * The kept answer once more.
 *
 * @param digest of the items that the repeat has sent.
 * @throws ApiError `conflict` where they are others; what the first request was refused with.
 */
export function replayAnswer(answer: StoredAnswer, digest: string): BulkBody {
  if (answer.digest !== digest) throw new ApiError("conflict", "Idempotency-Key: was used with other items");
  const { body, overflown } = JSON.parse(answer.body) as Kept;
  if (!overflown) return body;
  const { batch_id, total, created, duplicates, rejected } = body;
  throw new ApiError(
    "payload_too_large",
    `a batch operation has at most ${MAX_BATCH_ITEMS} items; the first ${total} are taken, the others are not`,
    { extra: { batch_id, total, created, duplicates, rejected } },
  );
}
