import { type ItemOutcome, MAX_BATCH_ITEMS } from "../coordinator/protocol.ts";
import { invalid } from "../domain/error.ts";
import { TextSet } from "../domain/fingerprint.ts";
import type { Job } from "../domain/job.ts";
import type { Env } from "../env.ts";
import { acceptChunk, type Origin } from "./bulk-accept.ts";
import type { BulkBody } from "./bulk-answer.ts";
import type { Chunk } from "./bulk-chunk.ts";
import { readChunks } from "./bulk-reading.ts";
import { BulkTally } from "./bulk-tally.ts";
import { refuseBadItems } from "./bulk-trigger.ts";
import type { ItemSource } from "./item-source.ts";
import { JobJudge } from "./job-judge.ts";

/**
 * Says what a bulk trigger would do, and does nothing.
 *
 * @throws ApiError as `triggerBulk`.
 */
export async function rehearseBulk(
  env: Env,
  job: Job,
  request: { origin: Origin; atomic: boolean },
  source: ItemSource,
): Promise<BulkBody> {
  const judge = new JobJudge(env, job);
  const tally = new BulkTally(env, job, true);
  const firsts = new TextSet();
  const bad: Chunk[] = [];
  const reading = await readChunks(source, {
    judge,
    from: 0,
    limit: MAX_BATCH_ITEMS,
    judging: () => true,
    deliver: async (chunk) => {
      if (request.atomic) bad.push(chunk);
      const mode = { origin: request.origin, pen: null, dryRun: true, settled: false };
      const outcomes = await acceptChunk(env, judge, chunk, mode);
      await tally.add(chunk.firstIndex, withinRequest(chunk, outcomes, firsts));
    },
  });
  if (reading.digest.count === 0) throw invalid([{ path: "items", message: "must hold at least one item" }]);
  refuseBadItems(bad);
  return { batch_id: null, ...tally.counts, ...tally.shown() };
}

/** An item that repeats another one of the same request duplicates a run that would be there: it has no id to show. */
function withinRequest(chunk: Chunk, outcomes: ItemOutcome[], firsts: TextSet): ItemOutcome[] {
  return outcomes.map((outcome, i) => {
    const item = chunk.items[i];
    const identity = item && "identity" in item ? item.identity : undefined;
    if (identity === undefined) return outcome;
    if (firsts.has(identity)) return { o: "duplicate", of: "", status: null };
    if (outcome.o === "created") firsts.add(identity);
    return outcome;
  });
}
