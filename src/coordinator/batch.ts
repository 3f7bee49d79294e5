import {
  type BatchFacts,
  type BatchRecord,
  batchStatus,
  type Counts,
  type FailureThreshold,
  isFinished,
  zeroCounts,
} from "../domain/batch.ts";
import { type PaceFacts, paceOf } from "../domain/batch-pace.ts";
import { ledgerId } from "../domain/id.ts";
import type { TriggeredBy } from "../domain/run.ts";
import { markedVersion } from "../domain/version-mark.ts";
import type { JobConfig, OpenBatchRequest } from "./protocol.ts";

/** An unsealed batch that has taken nothing for this long says so. */
const INTERRUPTED_MS = 60_000;
/** …and after this long it is sealed as it is. */
export const ABANDONED_MS = 24 * 3_600_000;

/** A batch as the ledger keeps it; one JSON row. */
export interface Batch {
  /** Drawn from the runs' sequence; with `at` it makes the id. */
  seq: number;
  at: number;
  ver: number;
  /** Who holds the pen: an older number can add nothing more. */
  epoch: number;
  sealed: boolean;
  paused: boolean;
  cancel_requested: boolean;
  /** The failure threshold has stopped it. */
  stopped: boolean;
  item_count: number;
  created_count: number;
  duplicate_count: number;
  rejected_count: number;
  counts: Counts;
  max_concurrency: number | null;
  failure_threshold: FailureThreshold | null;
  metadata: Record<string, string>;
  webhook_url: string | null;
  webhook_secret: string | null;
  created_by: string;
  triggered_by: TriggeredBy;
  traceparent: string | null;
  retry_of: string | null;
  /** The version that its items were triggered with. Absent in batches of before it was kept. */
  job_version?: number;
  request_key: string | null;
  /** The boot that serves the request; a new one means it is dead. */
  boot: string | null;
  /** No request is adding to it now. */
  released: boolean;
  last_part_at: number;
  /** The copy in D1 shows that nothing has come for long. */
  interruption_told?: boolean;
  /** Its webhook is on its way. */
  announced?: boolean;
  accepted_at: number | null;
  started_at: number | null;
  finished_at: number | null;
  first_seq: number | null;
  last_seq: number | null;
}

/** @param current the job's version. */
export function newBatch(
  seq: number,
  now: number,
  boot: string | null,
  request: OpenBatchRequest,
  current: number,
): Batch {
  return {
    seq,
    at: now,
    ver: 0,
    epoch: 1,
    sealed: false,
    paused: false,
    cancel_requested: false,
    stopped: false,
    item_count: 0,
    created_count: 0,
    duplicate_count: 0,
    rejected_count: 0,
    counts: zeroCounts(),
    ...request.options,
    created_by: request.created_by,
    triggered_by: request.triggered_by,
    traceparent: request.traceparent,
    retry_of: request.retry_of ?? null,
    job_version: request.job_version ?? current,
    request_key: request.request?.key ?? null,
    boot,
    released: false,
    last_part_at: now,
    accepted_at: null,
    started_at: null,
    finished_at: null,
    first_seq: null,
    last_seq: null,
  };
}

const isInterrupted = (batch: Batch, now: number): boolean => now - batch.last_part_at >= INTERRUPTED_MS;

/** When a batch that takes nothing more in is to be looked after; null: it is sealed. */
export function neglectedAt(batch: Batch): number | null {
  if (batch.sealed) return null;
  return batch.last_part_at + (batch.interruption_told ? ABANDONED_MS : INTERRUPTED_MS);
}

export const batchFacts = (batch: Batch, now: number): BatchFacts => ({
  sealed: batch.sealed,
  interrupted: isInterrupted(batch, now),
  paused: batch.paused,
  cancelRequested: batch.cancel_requested,
  stopped: batch.stopped,
  created: batch.created_count,
  counts: batch.counts,
});

/** Nothing of it may start: its flows wait or are being swept. */
export const isHeld = (batch: Batch): boolean => batch.paused || batch.cancel_requested || batch.stopped;

/** The share of failures among what has finished is beyond what the batch tolerates. */
export function exceedsThreshold(batch: Batch): boolean {
  const t = batch.failure_threshold;
  if (t === null) return false;
  const c = batch.counts;
  const failed = c.failed + c.timed_out + c.crashed + c.expired;
  const finished = failed + c.completed;
  return finished >= t.min_items && failed * 100 > t.percent * finished;
}

/** Stamps a change in commit `ver` with its version, and the end the first time it is reached. */
export function stampChange(batch: Batch, ver: number, job: number, now: number): void {
  batch.ver = markedVersion(ver, batch.seq, job);
  if (batch.finished_at === null && isFinished(batchFacts(batch, now))) batch.finished_at = now;
}

const ids = new WeakMap<Batch, string>();

/** Asked for with every run of the batch, so it is kept. */
export function batchId(batch: Batch, config: JobConfig): string {
  const known = ids.get(batch);
  if (known !== undefined) return known;
  const id = ledgerId({ at: batch.at, seq: batch.seq, lane: 0, job: config.number });
  ids.set(batch, id);
  return id;
}

export function batchRecord(batch: Batch, config: JobConfig, now: number): BatchRecord {
  const pace: PaceFacts = {
    counts: batch.counts,
    created: batch.created_count,
    startedAt: batch.started_at,
    finishedAt: batch.finished_at,
    isHeld: isHeld(batch),
  };
  return {
    id: batchId(batch, config),
    project_id: config.project_id,
    job_id: config.id,
    item_count: batch.item_count,
    created_count: batch.created_count,
    duplicate_count: batch.duplicate_count,
    rejected_count: batch.rejected_count,
    created_by: batch.created_by,
    created_at: batch.at,
    accepted_at: batch.accepted_at,
    started_at: batch.started_at,
    finished_at: batch.finished_at,
    status: batchStatus(batchFacts(batch, now)),
    counts: { ...batch.counts },
    max_concurrency: batch.max_concurrency,
    failure_threshold: batch.failure_threshold,
    metadata: batch.metadata,
    ...paceOf(pace, now),
    retry_of: batch.retry_of,
    job_version: batch.job_version,
    ver: batch.ver,
  };
}
