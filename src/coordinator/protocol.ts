import { z } from "zod";
import type { BatchRecord, FailureThreshold } from "../domain/batch.ts";
import type { CallOutcome } from "../domain/call.ts";
import type { RefusedItem, TriggerItem } from "../domain/item.ts";
import type { JobVersion, Sealed, StatusPattern } from "../domain/job.ts";
import type { RunRecord, RunStatus, TerminalStatus, TriggeredBy, WaitingFor } from "../domain/run.ts";
import type { Trace } from "../domain/traceparent.ts";
import type { CronAnswer, CronRequest } from "./cron-protocol.ts";

import type { ImportIntakeApi } from "./import-protocol.ts";

/**
 * What may be said to a job's coordinator. Every answer is a union: a rejected RPC breaks the caller's stub, so expected
 * outcomes are values. Times are Unix milliseconds.
 */

/** The doorbell: "there is work". It carries none of it. */
export const ticketSchema = z.object({
  v: z.literal(1),
  job: z.string(),
  lane: z.number().int().min(0).max(63),
  /** Names the ticket, so that a doubled one is recognised. */
  id: z.string(),
});
export type Ticket = z.infer<typeof ticketSchema>;

/** What the coordinator must know of its job. Sent on every change, and when it answers `unknown_config`. */
export interface JobConfig {
  id: string;
  number: number;
  project_id: string;
  revision: number;
  paused: boolean;
  deleted: boolean;
  current: JobVersion;
}

export type ConfigureAnswer =
  | { kind: "configured"; revision: number }
  /** Nothing is changed yet: there are versions before this one that it was never told, from this one on. */
  | { kind: "versions_missing"; from: number };

// ---------------------------------------------------------------------------------------------- accepting

/** One valid item, as the rules left it; a replay names the run that it repeats. */
export interface AcceptItem extends TriggerItem {
  replayed_run_id?: string;
  /** `ttl_secs` bounds the whole run, retries included, not only its start. */
  bounded?: true;
}

/** An item that the rules refused. It is counted and listed, and makes no run. */
export type RejectedItem = RefusedItem;

export const isRejected = (item: AcceptItem | RejectedItem): item is RejectedItem => "error" in item;

/** The workflow run that a run belongs to, and its place in its chain. */
export interface WorkflowOrigin {
  run_id: string;
  depth: number;
}

/** ≤ 500 items and ≤ 4 MiB of payload. */
export interface AcceptRequest {
  /** The revision of the configuration that the items were judged by. */
  revision: number;
  /** Versions that items name and that are not the current one. */
  versions?: JobVersion[];
  triggered_by: TriggeredBy;
  created_by: string;
  /** The request's trace, or null. */
  traceparent: Trace | null;
  /** Set for a step of a workflow run: it is told of the run's end. */
  workflow?: WorkflowOrigin;
  /** Present for an item of a batch. `hashes[i]` fingerprints the bytes of item i; it tells a repeat from a conflict. */
  batch?: { id: string; epoch: number; first_index: number; hashes: string[] };
  items: (AcceptItem | RejectedItem)[];
  /** Marks a request of no batch whose items have no identities: asked again, it is answered again. */
  once?: string;
  /** Says what would happen and changes nothing. */
  dry_run?: boolean;
}

/**
 * What became of one item. `created`: `ledgerId({at, seq, lane, job})` is its id. `duplicate`: `status` is null where the
 * ledger no longer knows the earlier run, D1 does.
 */
export type ItemOutcome =
  | {
      o: "created";
      seq: number;
      at: number;
      status: RunStatus;
      waiting_for?: WaitingFor | null;
      earliest?: number | null;
    }
  | { o: "duplicate"; of: string; status: RunStatus | null }
  | { o: "rejected"; error: RejectedItem["error"] }
  /** A repeated item of a batch, taken before; its outcome is counted and no longer listed (index 1,000 and up). */
  | { o: "taken" };

/** Refusals that any call which changes something may meet. */
export type Refusal =
  /** Judged by an older configuration than the coordinator's: load anew and judge again. */
  | { kind: "stale_config"; revision: number }
  /** The coordinator has never heard of this job, or only of an older revision: `configure` first. */
  | { kind: "unknown_config" }
  | { kind: "disabled" }
  | { kind: "deleted" }
  /** The outbox cannot reach D1. */
  | { kind: "overloaded"; retry_after_secs: number };

export type AcceptAnswer =
  | { kind: "accepted"; outcomes: ItemOutcome[]; item_count: number }
  /** A newer request has taken the batch over; this one can add nothing more. */
  | { kind: "fenced" }
  /** An index that was taken with other bytes. */
  | { kind: "conflict"; index: number }
  /** `first_index` is beyond the next index. */
  | { kind: "gap"; item_count: number }
  | { kind: "sealed"; item_count: number }
  | { kind: "not_found" }
  | { kind: "too_many"; item_count: number }
  | Refusal;

/** A batch holds at most this many items. */
export const MAX_BATCH_ITEMS = 1_000_000;
export const MAX_CHUNK_ITEMS = 500;
export const MAX_CHUNK_BYTES = 4 * 1024 * 1024;

export interface BatchOptions {
  max_concurrency: number | null;
  failure_threshold: FailureThreshold | null;
  metadata: Record<string, string>;
  webhook_url: string | null;
  webhook_secret: Sealed | null;
}

export interface OpenBatchRequest {
  revision: number;
  created_by: string;
  traceparent: Trace | null;
  triggered_by: TriggeredBy;
  options: BatchOptions;
  retry_of?: string;
  /** The job version that all of its items name; absent: none. */
  job_version?: number;
  /** The request's Idempotency-Key, with a fingerprint of everything but the items. */
  request: { key: string; fingerprint: string } | null;
}

/** The stored answer of a bulk request. `digest` is the fingerprint of all of its items' bytes. */
export interface StoredAnswer {
  digest: string;
  item_count: number;
  body: string;
}

export type OpenBatchAnswer =
  /** `resumed`: an earlier request with this key died; `item_count` items stand already. */
  | { kind: "opened"; batch_id: string; epoch: number; item_count: number; resumed: boolean }
  /** The same key, finished: compare the digest, then answer again. */
  | { kind: "answered"; batch_id: string; answer: StoredAnswer }
  /** The first request with this key is still running. */
  | { kind: "running"; retry_after_secs: number }
  /** Somebody else has closed its batch before all items were in. */
  | { kind: "closed"; batch_id: string }
  /** The same key with other options. */
  | { kind: "conflict" }
  | Refusal;

/** A further part of an open batch asks for the pen. */
export type ResumeBatchAnswer =
  | { kind: "resumed"; epoch: number; item_count: number }
  | { kind: "sealed"; item_count: number }
  | { kind: "not_found" };

export interface CloseRequest {
  batch_id: string;
  epoch: number;
  /** False leaves the batch open for more parts. */
  seal: boolean;
  expected_count?: number;
  /** Kept for a repeat of the request; null where it had no key. */
  answer: StoredAnswer | null;
}

export type CloseAnswer =
  | { kind: "closed"; batch: BatchRecord }
  | { kind: "fenced" }
  | { kind: "count_mismatch"; item_count: number }
  | { kind: "sealed"; item_count: number }
  | { kind: "not_found" };

// ---------------------------------------------------------------------------------------------- delivering

export type { CallOutcome } from "../domain/call.ts";

/** The report on one grant. Runs are named by their ledger sequence number. */
export interface CallReport {
  seq: number;
  attempt: number;
  fallback: boolean;
  /** On the consumer's clock; null for a call not begun. */
  started_at: number | null;
  finished_at: number;
  outcome: CallOutcome;
  /** The job's environment gives it a fallback, whether its version has one or not. */
  environment_fallback?: boolean;
}

/** One call to make. */
export interface CallGrant {
  seq: number;
  /** The run's creation time: with `seq` it makes the id. */
  at: number;
  attempt: number;
  fallback: boolean;
  /** The version to use; its plan stands in `Grant.plans` or was sent in this invocation before. */
  version: number;
  payload: string;
  timeout_ms: number;
  /** Later than this many milliseconds after the request was sent the call is not begun but given back. */
  start_within_ms: number;
  batch_id: string | null;
  batch_index: number | null;
  traceparent: Trace | null;
}

/** What a call needs of a job version. Secrets are sealed: only the consumer opens them. */
export interface CallPlan {
  version: number;
  slug: string;
  endpoint_url: string;
  fallback_endpoint_url: string | null;
  endpoint_method: string;
  endpoint_headers: Record<string, Sealed>;
  endpoint_signing_secret: Sealed | null;
  environment_id: string | null;
  /** The job's own, so that only the body of a success travels as a result; absent or null: 2xx. */
  success_statuses?: StatusPattern[] | null;
}

/**
 * Report and lease in one: the answer to results is the next work. `(ticket, nonce, sequence)` names the request; the
 * same triple gets the same answer, so a lost reply orphans nothing.
 */
export interface ExchangeRequest {
  ticket: string;
  /** Made by the invocation that asks; another nonce gets only new work. */
  nonce: string;
  sequence: number;
  boot: string | null;
  /** When it was sent first, on the consumer's clock: instants in it are understood by their distance from this one. */
  sent_at: number;
  /** Free slots of the pump. 0: only report. */
  want: number;
  /** Versions whose plans this invocation holds. */
  plans: number[];
  results: CallReport[];
  /** Calls begun since the last exchange and still in flight. */
  started: { seq: number; at: number }[];
  /** The invocation ends: what it still holds is given back. */
  leaving: boolean;
  /** Where there is nothing for it, and it holds nothing, the answer may wait so long for work to come. Absent: not at all. */
  patience_ms?: number;
}

export type ExchangeAnswer =
  | {
      kind: "granted";
      job: { id: string; number: number; project_id: string; lane: number };
      calls: CallGrant[];
      plans: CallPlan[];
      /** Runs of this consumer that were canceled: abort their calls. */
      abort: number[];
    }
  /** This consumer was declared dead and its runs were given to others: abort everything. */
  | { kind: "disowned" };

/** A consumer aborts its calls this long after it sent its last acknowledged exchange. */
export const CONSUMER_SILENCE_MS = 12_000;
/** The coordinator takes a lease back this long after it received the last exchange. */
export const LEASE_MS = 15_000;
/** A consumer with calls in flight says so at least this often; also the bound of a cancel's abort. */
export const HEARTBEAT_MS = 3_000;

// ---------------------------------------------------------------------------------------------- steering and reading

export type CancelAnswer =
  | { kind: "canceled"; run: RunRecord }
  | { kind: "terminal"; status: TerminalStatus }
  /** Not in the ledger: terminal and in D1, or never there. */
  | { kind: "not_found" };

export type BatchAnswer = { kind: "batch"; batch: BatchRecord } | { kind: "finished" } | { kind: "not_found" };

export interface BatchPatch {
  max_concurrency?: number | null;
  failure_threshold?: FailureThreshold | null;
  metadata?: Record<string, string>;
  /** `If-Match`: each `ver` that the caller allows for. */
  if_vers?: number[];
}

export interface LaneHealth {
  waiting: number;
  executing: number;
  oldest_waiting_at: number | null;
  waiting_for: Partial<Record<WaitingFor, number>>;
  /** When the first of what waits can start; null: nothing waits, or nobody knows. */
  earliest_start_at: number | null;
  /** Calls in flight, those handed to a consumer included. */
  concurrency_now: number;
  /** How many may be: the adaptive limit's present value, where there is one. */
  concurrency_limit: number;
}

/** The Durable Object's methods. Each is one transaction, or a read. */
export interface CoordinatorApi extends ImportIntakeApi {
  /** `between`: versions that the coordinator has asked for. */
  configure(config: JobConfig, between?: JobVersion[]): Promise<ConfigureAnswer>;
  accept(request: AcceptRequest): Promise<AcceptAnswer>;
  fireCron(request: CronRequest): Promise<CronAnswer>;
  openBatch(request: OpenBatchRequest): Promise<OpenBatchAnswer>;
  resumeBatch(batchId: string): Promise<ResumeBatchAnswer>;
  closeBatch(request: CloseRequest): Promise<CloseAnswer>;
  /** The client of this request vanished: the next one with its key need not wait. */
  releaseBatch(batchId: string, epoch: number): Promise<void>;
  /** `POST …/seal`: closes an open batch whoever holds the pen. */
  sealBatch(batchId: string, expectedCount: number | null): Promise<CloseAnswer>;

  exchange(request: ExchangeRequest): Promise<ExchangeAnswer>;

  getRun(id: string): Promise<RunRecord | null>;
  /** The newest run with an identity that still counts; null where there is none. */
  runOf(identity: string): Promise<string | null>;
  getBatch(id: string): Promise<BatchRecord | null>;
  cancelRun(id: string): Promise<CancelAnswer>;
  /** Up to 500 at once; answers in order. */
  cancelRuns(ids: string[]): Promise<CancelAnswer[]>;
  cancelBatch(id: string): Promise<BatchAnswer>;
  pauseBatch(id: string, paused: boolean): Promise<BatchAnswer>;
  /** Cancels every waiting run (of a status), in effect at once, swept in the background. */
  cancelWhere(filter: { status: RunStatus | null }): Promise<{ operation_id: string }>;
  patchBatch(id: string, patch: BatchPatch): Promise<BatchAnswer | { kind: "precondition_failed"; ver: number }>;
  health(): Promise<LaneHealth>;
  /** `since`: when the oldest change was made that D1 does not have yet; null: it has them all. `now`: by the same clock. */
  behindSince(): Promise<{ now: number; since: number | null }>;

  /** The sweeper's question: re-arms what was lost, and says whether the lane may be left alone. */
  sweep(boot: string | null): Promise<{ idle: boolean }>;
}
