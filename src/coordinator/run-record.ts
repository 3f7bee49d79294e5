import { ledgerId } from "../domain/id.ts";
import {
  type AttemptRecord,
  INLINE_BODY_BYTES,
  type RunError,
  type RunRecord,
  type RunStatus,
  type TriggeredBy,
  type WaitingFor,
} from "../domain/run.ts";
import { packRunDoc, unpackRunDoc } from "../domain/run-doc.ts";
import type { Trace } from "../domain/traceparent.ts";
import type { RunRow } from "../store/projection.ts";
import { batchId } from "./batch.ts";
import { gate, heldUntil } from "./gate.ts";
import { dueAt, type Lane } from "./lane.ts";
import { type LedgerRun, PLACE } from "./ledger.ts";
import type { JobConfig } from "./protocol.ts";
import { batchRoom } from "./room.ts";

/** What a run's end, or its present state, adds to what the ledger holds. */
export interface RunState {
  status: RunStatus;
  attempt: number;
  version: number;
  result: string | null;
  resultTruncated: boolean;
  error: RunError | null;
  startedAt: number | null;
  finishedAt: number | null;
  usedFallback: boolean;
  attempts: AttemptRecord[];
  waitingFor: WaitingFor | null;
  earliest: number | null;
}

export const runId = (config: JobConfig, at: number, seq: number): string =>
  ledgerId({ at, seq, lane: 0, job: config.number });

/** Bytes of UTF-8 are at most three a UTF-16 unit, so short text needs no counting. */
export const isInline = (text: string): boolean =>
  text.length * 3 <= INLINE_BODY_BYTES || new TextEncoder().encode(text).length <= INLINE_BODY_BYTES;

export const bodyKey = (config: JobConfig, id: string, kind: "p" | "r"): string =>
  `runs/${config.project_id}/${id}/${kind === "p" ? "payload" : "result"}`;

/** When a run that has not started is no longer wanted; null: never. */
export function expiresAt(lane: Lane, run: LedgerRun): number | null {
  const ttl = run.doc.ttl ?? lane.version(run.version).spec.run_ttl_secs;
  if (ttl === null || ttl === undefined) return null;
  return Math.max(run.doc.scheduled ?? run.at, run.at) + ttl * 1000;
}

/** The trace that a run belongs to: its own, else its batch's. */
export const traceOfRun = (lane: Lane, run: LedgerRun): Trace | null =>
  run.doc.trace ?? (run.batch === null ? null : (lane.batches.get(run.batch)?.traceparent ?? null));

/** The run as the world sees it. A payload beyond the inline size is left to the caller. */
export function runRecord(lane: Lane, run: LedgerRun, state: RunState): RunRecord {
  const config = lane.config as JobConfig;
  const batch = run.batch === null ? undefined : lane.batches.get(run.batch);
  const version = lane.version(state.version);
  const { spec } = version;
  const doc = run.doc;
  return {
    id: runId(config, run.at, run.seq),
    project_id: config.project_id,
    job_id: config.id,
    job_version: state.version,
    job_version_id: version.version_id,
    batch_id: batch === undefined ? null : batchId(batch, config),
    batch_index: run.idx,
    status: state.status,
    waiting_for: state.waitingFor,
    earliest_start_at: state.earliest,
    attempt: state.attempt,
    max_attempts: doc.max ?? spec.max_attempts,
    payload: run.payload,
    payload_ref: null,
    result: state.result,
    result_ref: null,
    result_truncated: state.resultTruncated,
    error: state.error,
    metadata: { ...spec.default_run_metadata, ...doc.metadata },
    tags: { ...spec.tags, ...doc.tags },
    priority: doc.priority ?? 0,
    concurrency_key: doc.ckey ?? null,
    rate_limit_keys: doc.limits ?? null,
    idempotency_key: doc.idem ?? null,
    triggered_by: (doc.via ?? batch?.triggered_by ?? "api") as TriggeredBy,
    created_by: doc.by ?? batch?.created_by ?? "",
    scheduled_at: doc.scheduled ?? null,
    next_attempt_at: state.status === "delayed" ? (doc.next ?? null) : null,
    created_at: run.at,
    started_at: state.startedAt,
    finished_at: state.finishedAt,
    expires_at: state.startedAt === null ? expiresAt(lane, run) : null,
    replayed_run_id: doc.replayed ?? null,
    used_fallback: state.usedFallback,
    attempts: state.attempts,
  };
}

/** The present state of a run that is not terminal. */
export function liveState(lane: Lane, run: LedgerRun): RunState {
  const held = lane.held.get(run.seq);
  const attempts = [...((run.doc.attempts ?? []) as AttemptRecord[])];
  const last = attempts[attempts.length - 1];
  const started = held?.startedAt ?? null;
  const open = run.doc.open as AttemptRecord | undefined;
  if (open) attempts.push(open);
  else if (held && started !== null) attempts.push(openAttempt(held.attempt, started, held.version));
  return {
    status: lane.statusOf(run),
    attempt: held?.attempt ?? run.attempt,
    version: held?.version ?? run.version,
    result: null,
    resultTruncated: false,
    error: last?.error ?? null,
    startedAt: run.doc.started ?? started,
    finishedAt: null,
    usedFallback: held?.fallback ?? run.doc.fallback === true,
    attempts,
    ...(held ? { waitingFor: null, earliest: null } : waiting(lane, run)),
  };
}

export const openAttempt = (number: number, startedAt: number | null, version: number): AttemptRecord => ({
  number,
  started_at: startedAt,
  finished_at: null,
  http_status: null,
  error: null,
  used_fallback: false,
  job_version: version,
});

/** Why something waits, and the earliest instant at which it can start; null where that is unknown. */
interface Waiting {
  waitingFor: WaitingFor | null;
  earliest: number | null;
}

/**
 * What holds a waiting run back now. Whatever that is, the run starts in the execution window, and not before every hold,
 * open breaker and full rate window that stands in its way has ended.
 */
export function waiting(lane: Lane, run: LedgerRun): Waiting {
  const now = lane.state.clock;
  const full = fullWindow(lane, run.doc.limits ? JSON.stringify(run.doc.limits) : null, now);
  const { waitingFor, earliest } = heldBack(lane, run, full, now);
  if (earliest === null) return { waitingFor, earliest };
  const free = Math.max(earliest, heldUntil(lane, now), full?.earliest ?? now);
  return { waitingFor, earliest: lane.window.openingFrom(lane, free) };
}

function heldBack(lane: Lane, run: LedgerRun, full: FullWindow | null, now: number): Waiting {
  if (run.place === PLACE.due) {
    return { waitingFor: run.doc.next !== undefined ? "retry" : "schedule", earliest: dueAt(run) };
  }
  const closed = gate(lane, now);
  if (closed !== null) return { waitingFor: closed.reason, earliest: closed.until };
  if (batchRoom(lane, run.batch) <= 0) return { waitingFor: "batch", earliest: null };
  const key = run.doc.ckey;
  if (key !== undefined && lane.limits.keyRoom(key) <= 0) return { waitingFor: "key", earliest: null };
  if (full !== null) return full;
  if (lane.freePermits === 0) return { waitingFor: "concurrency", earliest: null };
  return { waitingFor: null, earliest: now };
}

/** A rate window without room, or held, and when that ends. */
interface FullWindow {
  waitingFor: WaitingFor;
  earliest: number;
}

/**
 * Of the windows that runs with these limits draw from, the job's own among them, the one that has room last.
 *
 * @param limits JSON of the names; null: every limit of the job.
 */
export function fullWindow(lane: Lane, limits: string | null, now: number): FullWindow | null {
  let latest: FullWindow | null = null;
  for (const limit of lane.limits.limitsOf(limits)) {
    const at = lane.limits.freeAt(limit, now);
    if (at <= now || (latest !== null && at <= latest.earliest)) continue;
    const isAsked = lane.limits.holds.until(limit.window) === at;
    latest = { waitingFor: isAsked ? "hold" : limit.waitingFor, earliest: at };
  }
  return latest;
}

/** The row for D1. */
export function runRow(record: RunRecord, ver: number): RunRow {
  const {
    project_id: _p,
    job_id: _j,
    id,
    batch_id,
    batch_index,
    status,
    triggered_by,
    concurrency_key,
    tags,
    payload,
    ...doc
  } = record;
  return [
    id,
    batch_id,
    batch_index,
    status,
    ver,
    triggered_by,
    concurrency_key,
    Object.keys(tags).length > 0 ? JSON.stringify(tags) : null,
    payload,
    packRunDoc(doc),
  ];
}

/** Back from the row, for a read before D1 has it. */
export function recordOfRow(config: JobConfig, row: RunRow): RunRecord {
  const [id, batch_id, batch_index, status, , triggered_by, concurrency_key, tags, payload, doc] = row;
  return {
    ...unpackRunDoc(doc),
    id,
    project_id: config.project_id,
    job_id: config.id,
    batch_id,
    batch_index,
    status: status as RunStatus,
    triggered_by: triggered_by as TriggeredBy,
    concurrency_key,
    tags: tags === null ? {} : (JSON.parse(tags) as Record<string, string>),
    payload,
  };
}
