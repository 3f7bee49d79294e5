import { type BatchRecord, isFinished } from "../domain/batch.ts";
import { ledgerId, parseLedgerId } from "../domain/id.ts";
import { ABANDONED_MS, type Batch, batchFacts, batchId, batchRecord, newBatch, stampChange } from "./batch.ts";
import type { Lane } from "./lane.ts";
import type { Ledger } from "./ledger.ts";
import type {
  BatchAnswer,
  BatchPatch,
  CloseAnswer,
  CloseRequest,
  JobConfig,
  OpenBatchAnswer,
  OpenBatchRequest,
  ResumeBatchAnswer,
  StoredAnswer,
} from "./protocol.ts";
import { seal } from "./seal.ts";
import { startBatchSweep, sweepStopped } from "./sweep.ts";

/** A request that has added nothing for this long is taken for dead, and another with its key may go on. */
const REQUEST_SILENCE_MS = 10_000;
/** Answers of idempotent requests are kept this long (contract 1). */
const REQUEST_KEPT_MS = 24 * 3_600_000;

export function findBatch(lane: Lane, id: string): Batch | null {
  const parsed = parseLedgerId(id);
  const batch = parsed === null ? undefined : lane.batches.get(parsed.seq);
  return batch !== undefined && batch.at === parsed?.at ? batch : null;
}

const idOf = (lane: Lane, batch: Batch): string => batchId(batch, lane.config as JobConfig);

const currentVersion = (lane: Lane): number => (lane.config as JobConfig).current.version;

/** The batch as it will stand when this transaction is over. */
function record(lane: Lane, batch: Batch, now: number): BatchRecord {
  const config = lane.config as JobConfig;
  if (lane.pending.batches.has(batch)) stampChange(batch, lane.state.ver, config.number, now);
  return batchRecord(batch, config, now);
}

export function openBatch(lane: Lane, request: OpenBatchRequest, now: number): OpenBatchAnswer {
  if (request.request !== null) {
    const earlier = earlierRequest(lane, request.request, now);
    if (earlier !== null) return earlier;
  }
  const batch = newBatch(lane.state.nextSeq++, now, lane.settings.bootId, request, currentVersion(lane));
  lane.batches.set(batch.seq, batch);
  lane.pending.batches.add(batch);
  if (request.request !== null) {
    lane.ledger.run(
      "INSERT OR REPLACE INTO requests VALUES (?, ?, ?, NULL, ?)",
      request.request.key,
      request.request.fingerprint,
      batch.seq,
      now,
    );
  }
  return { kind: "opened", batch_id: idOf(lane, batch), epoch: batch.epoch, item_count: 0, resumed: false };
}

function earlierRequest(
  lane: Lane,
  request: { key: string; fingerprint: string },
  now: number,
): OpenBatchAnswer | null {
  const row = lane.ledger.all("SELECT * FROM requests WHERE key = ? AND at > ?", request.key, now - REQUEST_KEPT_MS)[0];
  if (row === undefined) return null;
  if (row.fingerprint !== request.fingerprint) return { kind: "conflict" };
  if (row.answer !== null) {
    const { batch_id, ...answer } = JSON.parse(row.answer as string) as StoredAnswer & { batch_id: string };
    return { kind: "answered", batch_id, answer };
  }
  const batch = lane.batches.get(row.batch as number);
  // To start afresh would do twice what was taken in.
  if (batch === undefined || batch.sealed) {
    const opened = { at: row.at as number, seq: row.batch as number, lane: 0 };
    return { kind: "closed", batch_id: ledgerId({ ...opened, job: (lane.config as JobConfig).number }) };
  }
  const silence = now - batch.last_part_at;
  const isSameBoot = batch.boot === lane.settings.bootId;
  if (!batch.released && isSameBoot && silence < REQUEST_SILENCE_MS) {
    return { kind: "running", retry_after_secs: Math.ceil((REQUEST_SILENCE_MS - silence) / 1000) };
  }
  takePen(lane, batch, now);
  return {
    kind: "opened",
    batch_id: idOf(lane, batch),
    epoch: batch.epoch,
    item_count: batch.item_count,
    resumed: true,
  };
}

function takePen(lane: Lane, batch: Batch, now: number): void {
  batch.epoch += 1;
  batch.released = false;
  batch.boot = lane.settings.bootId;
  batch.last_part_at = now;
  batch.interruption_told = false;
  lane.pending.batches.add(batch);
}

export function resumeBatch(lane: Lane, id: string, now: number): ResumeBatchAnswer {
  const batch = findBatch(lane, id);
  if (batch === null) return { kind: "not_found" };
  if (batch.sealed || batch.cancel_requested || batch.stopped) return { kind: "sealed", item_count: batch.item_count };
  takePen(lane, batch, now);
  return { kind: "resumed", epoch: batch.epoch, item_count: batch.item_count };
}

export function releaseBatch(lane: Lane, id: string, epoch: number): void {
  const batch = findBatch(lane, id);
  if (batch === null || batch.epoch !== epoch || batch.sealed) return;
  batch.released = true;
  lane.pending.batches.add(batch);
}

export function closeBatch(lane: Lane, request: CloseRequest, now: number): CloseAnswer {
  const batch = findBatch(lane, request.batch_id);
  if (batch === null) return { kind: "not_found" };
  // Sealing takes the pen away: whoever sealed and did not hear of it asks again, or another has sealed meanwhile.
  const isSealed = batch.sealed && batch.epoch === request.epoch + 1;
  if (batch.epoch !== request.epoch && !isSealed) return { kind: "fenced" };
  if (request.expected_count !== undefined && request.expected_count !== batch.item_count) {
    return { kind: "count_mismatch", item_count: batch.item_count };
  }
  if (request.seal && !batch.sealed) seal(lane, batch, now);
  batch.released = true;
  lane.pending.batches.add(batch);
  if (request.answer !== null && batch.request_key !== null) {
    lane.ledger.run(
      "UPDATE requests SET answer = ? WHERE key = ? AND batch = ?",
      JSON.stringify({ ...request.answer, batch_id: request.batch_id }),
      batch.request_key,
      batch.seq,
    );
  }
  return { kind: "closed", batch: record(lane, batch, now) };
}

export function sealBatch(lane: Lane, id: string, expected: number | null, now: number): CloseAnswer {
  const batch = findBatch(lane, id);
  if (batch === null) return { kind: "not_found" };
  if (isFinished(batchFacts(batch, now))) return { kind: "sealed", item_count: batch.item_count };
  if (expected !== null && expected !== batch.item_count) {
    return { kind: "count_mismatch", item_count: batch.item_count };
  }
  if (!batch.sealed) seal(lane, batch, now);
  return { kind: "closed", batch: record(lane, batch, now) };
}

/** Batches that nobody has added to for a day are sealed as they are; answers older than a day are forgotten. */
export function tendBatches(lane: Lane, now: number): void {
  for (const seq of lane.openBatches.due(now)) {
    const batch = lane.batches.get(seq);
    if (batch === undefined) continue;
    if (now - batch.last_part_at >= ABANDONED_MS) seal(lane, batch, now);
    // The copy in D1 shows an interruption only when it is told of it.
    else batch.interruption_told = true;
    lane.pending.batches.add(batch);
  }
  forgetRequests(lane.ledger, now);
}

/** Forgets what no repeat is compared with any more, a bounded number at a time. */
export function forgetRequests(ledger: Ledger, now: number): void {
  ledger.run(
    "DELETE FROM requests WHERE key IN (SELECT key FROM requests WHERE at <= ? LIMIT 100)",
    now - REQUEST_KEPT_MS,
  );
}

export function cancelBatch(lane: Lane, id: string, now: number): BatchAnswer {
  const batch = findBatch(lane, id);
  if (batch === null) return { kind: "not_found" };
  if (batch.finished_at !== null) return { kind: "finished" };
  if (!batch.cancel_requested) {
    batch.cancel_requested = true;
    if (!batch.sealed) seal(lane, batch, now);
    startBatchSweep(lane, batch, now);
  }
  lane.pending.batches.add(batch);
  return { kind: "batch", batch: record(lane, batch, now) };
}

/** Nothing of a paused batch starts; what executes goes on. Doing it again changes nothing. */
export function pauseBatch(lane: Lane, id: string, paused: boolean, now: number): BatchAnswer {
  const batch = findBatch(lane, id);
  if (batch === null) return { kind: "not_found" };
  if (batch.finished_at !== null) return { kind: "finished" };
  if (batch.paused !== paused) {
    batch.paused = paused;
    lane.pending.batches.add(batch);
    if (!paused) lane.scheduler.wake(`batch:${batch.seq}`);
  }
  return { kind: "batch", batch: record(lane, batch, now) };
}

export function patchBatch(
  lane: Lane,
  id: string,
  patch: BatchPatch,
  now: number,
): BatchAnswer | { kind: "precondition_failed"; ver: number } {
  const batch = findBatch(lane, id);
  if (batch === null) return { kind: "not_found" };
  if (patch.if_vers?.includes(batch.ver) === false) return { kind: "precondition_failed", ver: batch.ver };
  if (batch.finished_at !== null) return { kind: "finished" };
  if (patch.max_concurrency !== undefined) batch.max_concurrency = patch.max_concurrency;
  if (patch.failure_threshold !== undefined) batch.failure_threshold = patch.failure_threshold;
  if (patch.metadata !== undefined) batch.metadata = patch.metadata;
  lane.pending.batches.add(batch);
  lane.scheduler.wake(`batch:${batch.seq}`);
  lane.stopBeyondThreshold(batch);
  sweepStopped(lane, now);
  return { kind: "batch", batch: record(lane, batch, now) };
}
