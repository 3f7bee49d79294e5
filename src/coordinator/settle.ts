import { assertNever } from "../domain/error.ts";
import type { AttemptRecord, RunError, TerminalStatus } from "../domain/run.ts";
import { type Settlement, settle } from "../domain/settlement.ts";
import { vanished } from "./holding-back.ts";
import type { Lane } from "./lane.ts";
import type { Held } from "./lease.ts";
import { type LedgerRun, PLACE } from "./ledger.ts";
import { announceRun } from "./notices.ts";
import type { CallOutcome, CallReport, JobConfig } from "./protocol.ts";
import { bodyKey, expiresAt, isInline, openAttempt, runRecord, runRow } from "./run-record.ts";
import { countAttempt, countEnd, countStart, countWait } from "./stats.ts";
import { noteVersion } from "./version-line.ts";

/** Clock and dice of a settlement. */
export interface Instant {
  now: number;
  random: () => number;
}

interface End {
  status: TerminalStatus;
  error: RunError | null;
  result: string | null;
  resultTruncated: boolean;
}

/** Decides what a report on a held call means, and does it. The permit is freed. */
export function settleReport(lane: Lane, held: Held, run: LedgerRun, report: CallReport, at: Instant): void {
  markStarted(lane, held, report.started_at, at.now);
  stampStart(lane, held, report.started_at, at.now);
  lane.release(held);
  lane.leases.get(held.nonce)?.held.delete(held.seq);
  settleOutcome(lane, held, run, report, at);
}

/**
 * A consumer fell silent: what it held is called again, or crashes. A call that nobody said had begun may have begun all the
 * same, so it counts as a loss too.
 */
export function settleLoss(lane: Lane, held: Held, run: LedgerRun, at: Instant): void {
  lane.limits.settle(held, held.startBy);
  vanished(lane, held);
  lane.release(held);
  settleOutcome(lane, held, run, { outcome: { kind: "lost" }, finished_at: at.now }, at);
}

/** What a report says of the start: rate windows count it from then on, or not at all. */
export function stampStart(lane: Lane, held: Held, startedAt: number | null, now: number): void {
  if (startedAt === null) lane.limits.withdraw(held);
  else lane.limits.settle(held, Math.min(startedAt, now));
}

/** The consumer says that a call has begun. */
export function markStarted(lane: Lane, held: Held, startedAt: number | null, now: number): void {
  if (startedAt === null || held.startedAt !== null) return;
  held.startedAt = Math.min(startedAt, now);
  countStart(lane);
  lane.limits.settle(held, held.startedAt);
  if (held.canceled) return;
  lane.move(held.batch, "dequeued", "executing");
  lane.touch(held.seq);
}

function settleOutcome(
  lane: Lane,
  held: Held,
  run: LedgerRun,
  report: Pick<CallReport, "finished_at" | "environment_fallback"> & { outcome: CallOutcome | { kind: "lost" } },
  at: Instant,
): void {
  const { outcome, finished_at: finishedAt, environment_fallback } = report;
  const { spec } = lane.version(held.version);
  const settlement = settle({
    rules: spec,
    attempt: held.attempt,
    max_attempts: run.doc.max ?? spec.max_attempts,
    fallback: held.fallback,
    environment_fallback,
    lost: run.doc.lost ?? 0,
    outcome,
    now: at.now,
    random: at.random(),
  });
  apply(lane, held, run, settlement, { outcome, finishedAt, now: at.now });
}

interface Call {
  outcome: CallOutcome | { kind: "lost" };
  finishedAt: number;
  now: number;
}

function apply(lane: Lane, held: Held, run: LedgerRun, s: Settlement, call: Call): void {
  const from = held.startedAt === null ? "dequeued" : "executing";
  rememberStart(lane, run, held);
  switch (s.kind) {
    case "completed":
      closeAttempt(lane, run, held, call, null);
      finish(lane, run, from, call.now, {
        status: "completed",
        error: null,
        result: s.result,
        resultTruncated: s.result_truncated,
      });
      return;
    case "failed":
    case "timed_out":
    case "crashed":
      closeAttempt(lane, run, held, call, s.error);
      finish(lane, run, from, call.now, ended(s.kind, s.error));
      return;
    case "retry":
      closeAttempt(lane, run, held, call, s.error);
      run.attempt = held.attempt;
      delete run.doc.fallback;
      waitUnlessDoomed(lane, run, from, s.at, call.now, s.error);
      return;
    case "fallback":
      // Its waiting would never end.
      if (isDoomed(lane, run)) {
        closeAttempt(lane, run, held, call, s.error);
        finish(lane, run, from, call.now, ended("canceled", s.error));
        return;
      }
      run.doc.fallback = true;
      run.doc.open = openAttempt(held.attempt, held.startedAt, held.version);
      wait(lane, run, from, null, call.now);
      return;
    case "again":
    case "aborted":
      if (call.outcome.kind === "lost") run.doc.lost = (run.doc.lost ?? 0) + 1;
      waitUnlessDoomed(lane, run, from, s.kind === "again" ? s.at : null, call.now, null);
      return;
    default:
      assertNever(s);
  }
}

/** A run whose call has begun never expires, and shows the version that the call used. */
function rememberStart(lane: Lane, run: LedgerRun, held: Held): void {
  if (held.startedAt === null) return;
  if (run.doc.started === undefined) {
    const expiry = run.doc.bounded === true ? null : expiresAt(lane, run);
    if (expiry !== null) lane.ledger.deleteExpiry(expiry, run.seq);
    run.doc.started = held.startedAt;
    countWait(lane, run, held.startedAt);
  }
  noteVersion(run, held.version);
}

const ended = (status: TerminalStatus, error: RunError | null): End => ({
  status,
  error,
  result: null,
  resultTruncated: false,
});

/** Its batch or its job was canceled while it executed: it does not wait for another try. */
function isDoomed(lane: Lane, run: LedgerRun): boolean {
  if (lane.config?.deleted) return true;
  const batch = run.batch === null ? undefined : lane.batches.get(run.batch);
  return batch !== undefined && (batch.cancel_requested || batch.stopped);
}

function closeAttempt(lane: Lane, run: LedgerRun, held: Held, call: Call, error: RunError | null): void {
  const open = run.doc.open as AttemptRecord | undefined;
  delete run.doc.open;
  const record: AttemptRecord = {
    number: held.attempt,
    started_at: open?.started_at ?? held.startedAt,
    finished_at: call.finishedAt,
    http_status: call.outcome.kind === "response" ? call.outcome.http_status : null,
    error,
    used_fallback: held.fallback,
    job_version: held.version,
  };
  countAttempt(lane, held.startedAt, call.finishedAt);
  run.doc.attempts = [...(run.doc.attempts ?? []), record];
}

function waitUnlessDoomed(
  lane: Lane,
  run: LedgerRun,
  from: "dequeued" | "executing",
  dueAt: number | null,
  now: number,
  error: RunError | null,
): void {
  if (isDoomed(lane, run)) finish(lane, run, from, now, ended("canceled", error));
  else wait(lane, run, from, dueAt, now);
}

/** Back to waiting: at the head of its line, or until `dueAt`. */
function wait(lane: Lane, run: LedgerRun, from: "dequeued" | "executing", dueAt: number | null, now: number): void {
  if (dueAt !== null && dueAt > now) {
    run.doc.next = dueAt;
    lane.placeDue(run, dueAt);
    lane.move(run.batch, from, "delayed");
  } else {
    delete run.doc.next;
    lane.placeAtHead(run);
    lane.move(run.batch, from, "queued");
  }
  // Its time may have come, and gone by, while a consumer held it.
  const expiry = run.doc.started === undefined ? expiresAt(lane, run) : null;
  if (expiry !== null) lane.ledger.insertExpiry(expiry, run.seq);
  lane.ledger.updateRun(run);
  lane.touch(run.seq);
}

/** The one way to a terminal status: counts, the copy's last row, and the ledger forgets the run. */
export function finish(
  lane: Lane,
  run: LedgerRun,
  from: "delayed" | "queued" | "dequeued" | "executing",
  now: number,
  end: End,
): void {
  const config = lane.config as JobConfig;
  const attempts = (run.doc.attempts ?? []) as AttemptRecord[];
  // The primary was called, and the fallback will not be.
  const open = run.doc.open as AttemptRecord | undefined;
  if (open) attempts.push({ ...open, finished_at: now });
  const last = attempts[attempts.length - 1];
  const record = runRecord(lane, run, {
    status: end.status,
    attempt: last?.number ?? run.attempt,
    version: run.version,
    result: end.result,
    resultTruncated: end.resultTruncated,
    error: end.error,
    startedAt: run.doc.started ?? null,
    finishedAt: now,
    usedFallback: last?.used_fallback ?? false,
    attempts,
    waitingFor: null,
    earliest: null,
  });
  const projected = run.seq <= lane.state.projectedSeq;
  if (!projected) lane.pending.since = Math.min(lane.pending.since, run.at);
  if (run.payload === null) {
    record.payload_ref = bodyKey(config, record.id, "p");
    if (projected) lane.ledger.deleteBody(run.seq, "p");
    else lane.pending.blobs.push({ seq: run.seq, kind: "p", key: record.payload_ref });
  } else if (projected) record.payload = null;
  if (record.result !== null && !isInline(record.result)) {
    record.result_ref = bodyKey(config, record.id, "r");
    lane.ledger.putBody(run.seq, "r", record.result);
    lane.pending.blobs.push({ seq: run.seq, kind: "r", key: record.result_ref });
    record.result = null;
  }
  const expiry = run.doc.started === undefined || run.doc.bounded === true ? expiresAt(lane, run) : null;
  if (expiry !== null) lane.ledger.deleteExpiry(expiry, run.seq);
  if (run.doc.via === "cron") lane.ledger.forgetCronRun(run.seq);
  lane.move(run.batch, from, end.status);
  countEnd(lane, end.status);
  lane.pending.runs.push(runRow(record, lane.state.ver));
  lane.pending.seqs.push(run.seq);
  lane.pending.deleted.push(run.seq);
  announceRun(lane, run, record);
}

/** Ends a run that waits. */
export function finishWaiting(
  lane: Lane,
  run: LedgerRun,
  status: "canceled" | "expired",
  now: number,
  error: RunError | null = null,
): void {
  const from = run.place === PLACE.due ? "delayed" : "queued";
  lane.takeOut(run);
  finish(lane, run, from, now, ended(status, error));
}

/** Ends a run that was just taken out of its line and cannot go. */
export function finishPicked(lane: Lane, run: LedgerRun, status: "canceled" | "expired", now: number): void {
  finish(lane, run, "queued", now, ended(status, null));
}

/** Ends a run whose call is in flight: terminal at once, the permit stays until the call is aborted. */
export function finishHeld(lane: Lane, held: Held, run: LedgerRun, now: number, end = ended("canceled", null)): void {
  const from = held.startedAt === null ? "dequeued" : "executing";
  held.canceled = true;
  rememberStart(lane, run, held);
  if (held.startedAt !== null) {
    const call: Call = { outcome: { kind: "aborted" }, finishedAt: now, now };
    closeAttempt(lane, run, held, call, end.error);
  }
  finish(lane, run, from, now, end);
  const lease = lane.leases.get(held.nonce);
  if (lease) lane.pending.leases.add(lease);
}

/** Ends a run whose time bounds all of it: `timed_out` in the middle of a call, `expired` before its first. */
export function finishOverdue(lane: Lane, run: LedgerRun, now: number): void {
  const held = lane.held.get(run.seq);
  if (held?.canceled) return;
  const message = `not finished within ${run.doc.ttl} s`;
  const error: RunError = { class: "timeout", message, http_status: null };
  if (held) {
    finishHeld(lane, held, run, now, ended(held.startedAt === null ? "canceled" : "timed_out", error));
    return;
  }
  const hasStarted = run.attempt > 0 || run.doc.started !== undefined;
  finishWaiting(lane, run, hasStarted ? "canceled" : "expired", now, error);
}
