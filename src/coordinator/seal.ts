import type { Batch } from "./batch.ts";
import { forgetChunks } from "./chunks.ts";
import type { Lane } from "./lane.ts";

/** No more items: the pen is taken away, and what was kept for comparing repeats is forgotten. */
export function seal(lane: Lane, batch: Batch, now: number): void {
  batch.sealed = true;
  batch.accepted_at = now;
  batch.epoch += 1;
  forgetChunks(lane.ledger, batch);
  lane.pending.batches.add(batch);
}
