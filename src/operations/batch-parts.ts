import { coordinatorOf } from "../coordinator/client.ts";
import { MAX_BATCH_ITEMS } from "../coordinator/protocol.ts";
import type { BatchRecord } from "../domain/batch.ts";
import { ApiError, assertNever, invalid } from "../domain/error.ts";
import type { Env } from "../env.ts";
import type { Caller } from "./authorize.ts";
import { loadBatch, WHAT } from "./batches.ts";
import { acceptChunk, type Origin, type Pen, releasePen } from "./bulk-accept.ts";
import type { BulkBody } from "./bulk-answer.ts";
import { readChunks } from "./bulk-reading.ts";
import { BulkTally } from "./bulk-tally.ts";
import type { ItemSource } from "./item-source.ts";
import { JobJudge } from "./job-judge.ts";
import { homeOf } from "./ledger-home.ts";

/** A batch operation in parts: its items come in several requests, each at the next index. */

/** What became of a part. */
export interface PartBody extends BulkBody {
  batch_id: string;
  /** Items of the batch so far. */
  item_count: number;
  /** Items of this part that were taken before and whose outcome is no longer at hand. */
  taken: number;
}

/**
 * Adds items to an open batch. Those at an index that was taken already are compared and skipped.
 *
 * @param fromIndex of the first item.
 * @throws ApiError `not_found`; `conflict` where the batch is closed, `fromIndex` is beyond its next index, a newer request
 *   goes on with it, or an item was taken with other bytes; `payload_too_large` beyond a million items, those before kept.
 */
export async function addItems(
  env: Env,
  caller: Caller,
  batchId: string,
  fromIndex: number,
  origin: Origin,
  source: ItemSource,
  project?: string,
): Promise<PartBody> {
  const job = await homeOf(env, caller, batchId, WHAT, project);
  const coordinator = coordinatorOf(env, job.id);
  // Before the pen is taken: a part that does not fit takes it from nobody.
  const batch = await loadBatch(env, job, batchId);
  refuseRetry(batch);
  if (fromIndex > batch.item_count) throw gap(batchId, batch.item_count);
  const pen = await takePen(env, job.id, batch);
  try {
    const judge = new JobJudge(env, job);
    const tally = new BulkTally(env, job, false);
    const reading = await readChunks(source, {
      judge,
      from: fromIndex,
      limit: MAX_BATCH_ITEMS - fromIndex,
      judging: () => true,
      deliver: async (chunk) => {
        const mode = { origin, pen, dryRun: false, settled: false };
        await tally.add(chunk.firstIndex, await acceptChunk(env, judge, chunk, mode));
      },
    });
    if (reading.overflown) throw full(batchId);
    if (reading.digest.count === 0) throw invalid([{ path: "items", message: "must hold at least one item" }]);
    const closed = await coordinator.closeBatch({ batch_id: batchId, epoch: pen.epoch, seal: false, answer: null });
    const item_count = closed.kind === "closed" ? closed.batch.item_count : fromIndex + tally.counts.total;
    return { batch_id: batchId, item_count, ...tally.counts, taken: tally.taken, ...tally.shown() };
  } catch (error) {
    await releasePen(env, job, pen);
    throw error;
  }
}

async function takePen(env: Env, jobId: string, batch: BatchRecord): Promise<Pen> {
  const resumed = await coordinatorOf(env, jobId).resumeBatch(batch.id);
  switch (resumed.kind) {
    case "resumed":
      return { batchId: batch.id, epoch: resumed.epoch };
    case "sealed":
    case "not_found":
      throw new ApiError("conflict", "the batch operation is closed: it takes no more items", {
        extra: { batch_id: batch.id, item_count: batch.item_count },
      });
    default:
      return assertNever(resumed);
  }
}

/** What a retry takes in it brings itself, and ends itself: its pen is nobody else's. */
function refuseRetry({ id, retry_of, accepted_at, item_count }: BatchRecord): void {
  if (retry_of === null || accepted_at !== null) return;
  throw new ApiError("conflict", `the batch operation is being filled by the retry of ${retry_of}`, {
    extra: { batch_id: id, item_count },
  });
}

const gap = (batchId: string, count: number): ApiError =>
  new ApiError("conflict", `from_index: the next index is ${count}`, {
    details: [{ path: "from_index", message: `the next index is ${count}` }],
    extra: { batch_id: batchId, item_count: count },
  });

const full = (batchId: string): ApiError =>
  new ApiError(
    "payload_too_large",
    `a batch operation has at most ${MAX_BATCH_ITEMS} items; the others are not taken`,
    {
      extra: { batch_id: batchId, item_count: MAX_BATCH_ITEMS },
    },
  );

/**
 * Closes an open batch. Closing one that is closed and not finished changes nothing.
 *
 * @param expectedCount of items, or null for any.
 * @throws ApiError `not_found`; `conflict` where it is finished, is being filled by a retry, or has another count of items.
 */
export async function sealBatch(
  env: Env,
  caller: Caller,
  batchId: string,
  expectedCount: number | null,
  project?: string,
): Promise<BatchRecord> {
  const job = await homeOf(env, caller, batchId, WHAT, project);
  refuseRetry(await loadBatch(env, job, batchId));
  const answer = await coordinatorOf(env, job.id).sealBatch(batchId, expectedCount);
  switch (answer.kind) {
    case "closed":
      return answer.batch;
    case "count_mismatch":
      throw new ApiError("conflict", `expected_count: the batch operation has ${answer.item_count} items`, {
        details: [{ path: "expected_count", message: `the batch operation has ${answer.item_count} items` }],
        extra: { batch_id: batchId, item_count: answer.item_count },
      });
    case "sealed":
    case "not_found":
    case "fenced": {
      const batch = await loadBatch(env, job, batchId);
      throw new ApiError("conflict", `the batch operation is already finished: ${batch.status}`, {
        extra: { batch_id: batchId, item_count: batch.item_count },
      });
    }
    default:
      return assertNever(answer);
  }
}
