import { RUN_STATUSES, type RunStatus } from "./run.ts";

/** The batch operation: one bulk request (contract 8). */

export type BatchStatus =
  | "accepting"
  | "interrupted"
  | "queued"
  | "running"
  | "paused"
  | "canceling"
  | "succeeded"
  | "partially_failed"
  | "failed"
  | "canceled";

export type Counts = Record<RunStatus, number>;

export const zeroCounts = (): Counts => Object.fromEntries(RUN_STATUSES.map((s) => [s, 0])) as Counts;

export interface FailureThreshold {
  percent: number;
  min_items: number;
}

/** A batch as the world sees it. Times are Unix milliseconds. */
export interface BatchRecord {
  id: string;
  project_id: string;
  job_id: string;
  item_count: number;
  created_count: number;
  duplicate_count: number;
  rejected_count: number;
  created_by: string;
  created_at: number;
  /** All items taken in. */
  accepted_at: number | null;
  started_at: number | null;
  /** Set once: sealed, and every created run terminal. */
  finished_at: number | null;
  status: BatchStatus;
  counts: Counts;
  max_concurrency: number | null;
  failure_threshold: FailureThreshold | null;
  metadata: Record<string, string>;
  throughput_per_sec: number | null;
  eta_at: number | null;
  retry_of: string | null;
  /** The version of the job that its items were triggered with; absent in batches of before it was kept. */
  job_version?: number;
  /** Counts every change: the projection's guard, the ETag, the events' `id`. */
  ver: number;
}

/** The facts from which a batch's status follows. */
export interface BatchFacts {
  sealed: boolean;
  interrupted: boolean;
  paused: boolean;
  cancelRequested: boolean;
  /** The failure threshold has stopped it. */
  stopped: boolean;
  created: number;
  counts: Counts;
}

const waiting = (c: Counts): number => c.delayed + c.queued;
const inFlight = (c: Counts): number => c.dequeued + c.executing;
const terminalCount = (c: Counts): number => c.completed + c.failed + c.timed_out + c.crashed + c.canceled + c.expired;
export const failedCount = (c: Counts): number => c.failed + c.timed_out + c.crashed + c.expired;

/** Sealed, and every created run terminal. */
export const isFinished = (f: BatchFacts): boolean => f.sealed && waiting(f.counts) + inFlight(f.counts) === 0;

/** Contract 8: one status from the facts, the final ones first. */
export function batchStatus(f: BatchFacts): BatchStatus {
  if (isFinished(f)) {
    if (f.stopped) return "failed";
    if (f.cancelRequested && f.counts.canceled > 0) return "canceled";
    if (f.counts.completed === f.created) return "succeeded";
    if (f.counts.completed > 0) return "partially_failed";
    // Its runs were canceled one by one, or with their job: nothing of it failed.
    return failedCount(f.counts) === 0 && f.counts.canceled > 0 ? "canceled" : "failed";
  }
  if (f.cancelRequested || f.stopped) return "canceling";
  if (f.paused) return "paused";
  if (!f.sealed) return f.interrupted ? "interrupted" : "accepting";
  return inFlight(f.counts) + terminalCount(f.counts) > 0 ? "running" : "queued";
}

/** 0..1: the share of what is known to be there that is terminal. */
export function percentComplete(r: Pick<BatchRecord, "counts" | "created_count" | "finished_at">): number {
  if (r.created_count === 0) return r.finished_at === null ? 0 : 1;
  return terminalCount(r.counts) / r.created_count;
}
