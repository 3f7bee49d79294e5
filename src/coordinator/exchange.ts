import { batchId } from "./batch.ts";
import { learn, probe, vanished } from "./holding-back.ts";
import type { Lane } from "./lane.ts";
import { type Held, type Lease, newHeld } from "./lease.ts";
import type { LedgerRun } from "./ledger.ts";
import {
  type CallGrant,
  type CallPlan,
  type CallReport,
  type ExchangeAnswer,
  type ExchangeRequest,
  type JobConfig,
  LEASE_MS,
} from "./protocol.ts";
import { blockerOf } from "./room.ts";
import { expiresAt, traceOfRun } from "./run-record.ts";
import { finishPicked, type Instant, markStarted, settleLoss, settleReport, stampStart } from "./settle.ts";
import { versionInUse } from "./version-line.ts";

/** A lease's payloads together, in UTF-16 units: three bytes each at worst, so 8 MiB hold. */
const MAX_GRANT_CHARS = 2_700_000;
/** A granted run stays in memory until its report when its payload is no longer than this. */
const KEPT_PAYLOAD_CHARS = 4096;
/** Runs in one lease at most. */
const MAX_GRANT_RUNS = 100;

/** Report and lease in one transaction (protocol.ts). */
export function exchange(lane: Lane, request: ExchangeRequest, at: Instant): ExchangeAnswer {
  const lease = leaseOf(lane, request, at.now);
  if (lease === null) {
    for (const report of request.results) settleLate(lane, report, at);
    return { kind: "disowned" };
  }
  if (lease.sequence === request.sequence) return answerAgain(lane, lease, request);
  lease.sequence = request.sequence;
  heardOf(lane, lease, at.now);
  lane.pending.leases.add(lease);
  takeReports(lane, lease, request, at);
  if (request.leaving) {
    leave(lane, lease, at);
    return answer(lane, [], [], []);
  }
  const calls = grant(lane, lease, request.want, at);
  const abort = [...lease.held.values()].filter((h) => h.canceled).map((h) => h.seq);
  if (lease.held.size === 0) lane.leases.delete(lease.nonce);
  return answer(lane, calls, abort, plansFor(lane, calls, request.plans));
}

/**
 * How long the answer may wait for work, in ms. A grant's call must begin within a time that its consumer counts from the
 * sending of this request, so waiting takes no more than half of it.
 */
export function patienceOf(lane: Lane, request: ExchangeRequest, answer: ExchangeAnswer): number {
  const isIdle = answer.kind === "granted" && answer.calls.length === 0 && !lane.leases.has(request.nonce);
  if (!isIdle || request.want === 0 || request.leaving || request.patience_ms === undefined) return 0;
  return Math.min(request.patience_ms, Math.floor(lane.limits.startWithinMs(null) / 2));
}

/** Takes back what consumers held that have fallen silent, or that belong to an earlier boot. */
export function reclaim(lane: Lane, at: Instant): void {
  for (const lease of lane.leases.values()) {
    const isDead = lane.settings.bootId !== null && lease.boot !== lane.settings.bootId;
    if (!isDead && at.now - lease.receivedAt < LEASE_MS) {
      // Of this boot, or of none, the next ones were heard of later.
      if (lane.settings.bootId === null) break;
      continue;
    }
    const runs = new Map(lane.ledger.runs([...lease.held.keys()]).map((r) => [r.seq, r]));
    for (const held of lease.held.values()) {
      const run = runs.get(held.seq);
      if (run === undefined || held.canceled) dropHeld(lane, held);
      else settleLoss(lane, held, run, at);
    }
    lane.leases.delete(lease.nonce);
    lane.pending.leases.add(lease);
  }
  lane.forgetEnded();
}

/** The consumer's lease; null where it was taken back. */
function leaseOf(lane: Lane, request: ExchangeRequest, now: number): Lease | null {
  const known = lane.leases.get(request.nonce);
  if (known) return request.sequence < known.sequence ? null : known;
  // A lease that held nothing is forgotten, so only what comes with calls in flight proves a loss.
  if (request.results.length > 0 || request.started.length > 0) return null;
  const lease: Lease = {
    nonce: request.nonce,
    ticket: request.ticket,
    sequence: 0,
    receivedAt: now,
    boot: request.boot,
    held: new Map(),
  };
  lane.leases.set(lease.nonce, lease);
  return lease;
}

/** Leases stand in the order in which they were heard of last. */
function heardOf(lane: Lane, lease: Lease, now: number): void {
  lease.receivedAt = now;
  lane.leases.delete(lease.nonce);
  lane.leases.set(lease.nonce, lease);
}

function takeReports(lane: Lane, lease: Lease, request: ExchangeRequest, at: Instant): void {
  // The consumer's clock is another's: what lay so long before its sending lay at least so long before our receiving.
  const toOurs = at.now - request.sent_at;
  const inFlight = lane.held.size;
  for (const { seq, at: startedAt } of request.started) {
    const held = lease.held.get(seq);
    if (held) markStarted(lane, held, startedAt + toOurs, at.now);
  }
  const unread = request.results.filter((r) => lease.held.get(r.seq)?.run === undefined).map((r) => r.seq);
  const runs = new Map(lane.ledger.runs(unread).map((r) => [r.seq, r]));
  for (const report of request.results) {
    const held = lease.held.get(report.seq);
    if (!held || held.attempt !== report.attempt || held.fallback !== report.fallback) continue;
    const run = held.run ?? runs.get(report.seq);
    const ours = onOurClock(report, toOurs);
    learn(lane, held, ours, inFlight, at.now);
    if (held.canceled || run === undefined) {
      stampStart(lane, held, ours.started_at, at.now);
      dropHeld(lane, held);
      lease.held.delete(held.seq);
    } else settleReport(lane, held, run, ours, at);
  }
  lane.forgetEnded();
}

const onOurClock = (report: CallReport, offset: number): CallReport => ({
  ...report,
  started_at: report.started_at === null ? null : report.started_at + offset,
  finished_at: report.finished_at + offset,
});

/** A result that came after its lease was taken back still counts, unless a newer try was leased. */
function settleLate(lane: Lane, report: CallReport, at: Instant): void {
  const run = lane.ledger.run1(report.seq);
  if (run === null || lane.held.has(report.seq) || run.attempt + 1 !== report.attempt) return;
  if (report.outcome.kind === "given_back" || report.outcome.kind === "aborted") return;
  if ((run.doc.fallback === true) !== report.fallback) return;
  const from = lane.statusOf(run);
  lane.takeOut(run);
  lane.move(run.batch, from, "dequeued");
  const held = newHeld(run.seq, "", 0, run.batch, run.doc.ckey ?? null, at.now);
  held.attempt = report.attempt;
  held.fallback = report.fallback;
  held.version = run.version;
  lane.hold(held);
  lane.limits.restore(held);
  settleReport(lane, held, run, { ...report, started_at: report.started_at === null ? null : at.now }, at);
  lane.forgetEnded();
}

function leave(lane: Lane, lease: Lease, at: Instant): void {
  const runs = new Map(lane.ledger.runs([...lease.held.keys()]).map((r) => [r.seq, r]));
  for (const held of [...lease.held.values()]) {
    const run = runs.get(held.seq);
    if (run === undefined || held.canceled) dropHeld(lane, held);
    else {
      vanished(lane, held);
      const outcome = { kind: "given_back", reason: "the consumer left" } as const;
      const { seq, attempt, fallback } = held;
      settleReport(lane, held, run, { seq, attempt, fallback, started_at: null, finished_at: at.now, outcome }, at);
    }
  }
  lane.leases.delete(lease.nonce);
}

/** Frees the permit of a run that has ended already. Its call may have begun: its stamps stay. */
function dropHeld(lane: Lane, held: Held): void {
  lane.limits.settle(held, held.startBy);
  vanished(lane, held);
  lane.release(held);
}

// ------------------------------------------------------------------ granting

function grant(lane: Lane, lease: Lease, want: number, at: Instant): CallGrant[] {
  const calls: CallGrant[] = [];
  let chars = 0;
  for (;;) {
    lane.wakeRefilled(at.now);
    const room = Math.min(want, MAX_GRANT_RUNS) - calls.length;
    if (room <= 0 || chars >= MAX_GRANT_CHARS) return calls;
    const picked = pick(lane, lease, room, at.now);
    if (picked.length === 0) return calls;
    const runs = new Map(lane.ledger.runs(picked.map((h) => h.seq)).map((r) => [r.seq, r]));
    for (const held of picked) {
      const run = runs.get(held.seq);
      if (run === undefined) unpick(lane, lease, held);
      else if (chars >= MAX_GRANT_CHARS) putBack(lane, lease, held, run);
      else if (isExpired(lane, run, at.now)) {
        unpick(lane, lease, held);
        finishPicked(lane, run, "expired", at.now);
      } else {
        const call = begin(lane, held, run, at.now);
        chars += call.payload.length;
        calls.push(call);
      }
    }
  }
}

/** Limits are checked against permits and stamps in use, so each pick takes its own before the next one is made. */
function pick(lane: Lane, lease: Lease, room: number, now: number): Held[] {
  const picked: Held[] = [];
  while (picked.length < room && lane.room(now) > 0) {
    const next = lane.scheduler.take((flow) => blockerOf(lane, flow, now));
    if (next === null) break;
    const { seq, flow } = next;
    const held = newHeld(seq, lease.nonce, lease.sequence, flow.batch, flow.key, now);
    held.startBy = now + Math.min(lane.limits.startWithinMs(flow.limits), lane.window.openForMs(lane, now));
    lane.hold(held);
    lane.limits.draw(held, flow.limits);
    probe(lane, now);
    lease.held.set(held.seq, held);
    picked.push(held);
  }
  return picked;
}

/** It does not go after all. */
function unpick(lane: Lane, lease: Lease, held: Held): void {
  lane.limits.withdraw(held);
  vanished(lane, held);
  lane.release(held);
  lease.held.delete(held.seq);
}

/** No room for its payload in this answer: it goes first the next time. */
function putBack(lane: Lane, lease: Lease, held: Held, run: LedgerRun): void {
  unpick(lane, lease, held);
  lane.placeAtHead(run);
  lane.ledger.updateRun(run);
}

const isExpired = (lane: Lane, run: LedgerRun, now: number): boolean => {
  if (run.attempt > 0 || run.doc.fallback || run.doc.started !== undefined) return false;
  const at = expiresAt(lane, run);
  return at !== null && now >= at;
};

function begin(lane: Lane, held: Held, run: LedgerRun, now: number): CallGrant {
  if (run.payload !== null && run.payload.length <= KEPT_PAYLOAD_CHARS) held.run = run;
  held.attempt = run.attempt + 1;
  held.fallback = run.doc.fallback === true;
  held.version = versionInUse(lane, run);
  lane.move(run.batch, "queued", "dequeued");
  const batch = run.batch === null ? undefined : lane.batches.get(run.batch);
  if (batch && batch.started_at === null) batch.started_at = now;
  return callGrant(lane, held, run);
}

function callGrant(lane: Lane, held: Held, run: LedgerRun): CallGrant {
  const { spec } = lane.version(held.version);
  const batch = run.batch === null ? undefined : lane.batches.get(run.batch);
  return {
    seq: run.seq,
    at: run.at,
    attempt: held.attempt,
    fallback: held.fallback,
    version: held.version,
    payload: run.payload ?? lane.ledger.body(run.seq, "p") ?? "{}",
    timeout_ms: (run.doc.timeout ?? spec.timeout_secs) * 1000,
    start_within_ms: held.startBy - held.grantedAt,
    batch_id: batch ? batchId(batch, lane.config as JobConfig) : null,
    batch_index: run.idx,
    traceparent: traceOfRun(lane, run),
  };
}

// ------------------------------------------------------------------ answering

function answer(lane: Lane, calls: CallGrant[], abort: number[], plans: CallPlan[]): ExchangeAnswer {
  const config = lane.config as JobConfig;
  return {
    kind: "granted",
    job: { id: config.id, number: config.number, project_id: config.project_id, lane: 0 },
    calls,
    plans,
    abort,
  };
}

/** The same triple gets the same answer: what this request was granted and still holds. */
function answerAgain(lane: Lane, lease: Lease, request: ExchangeRequest): ExchangeAnswer {
  const mine = [...lease.held.values()].filter((h) => h.sequence === request.sequence && !h.canceled);
  const runs = new Map(lane.ledger.runs(mine.map((h) => h.seq)).map((r) => [r.seq, r]));
  const calls = mine.flatMap((held) => {
    const run = runs.get(held.seq);
    return run === undefined ? [] : [callGrant(lane, held, run)];
  });
  const abort = [...lease.held.values()].filter((h) => h.canceled).map((h) => h.seq);
  return answer(lane, calls, abort, plansFor(lane, calls, request.plans));
}

function plansFor(lane: Lane, calls: CallGrant[], known: number[]): CallPlan[] {
  const missing = new Set(calls.map((c) => c.version).filter((v) => !known.includes(v)));
  return [...missing].map((v) => {
    const { spec } = lane.version(v);
    return {
      version: v,
      slug: spec.slug,
      endpoint_url: spec.endpoint_url,
      fallback_endpoint_url: spec.fallback_endpoint_url,
      endpoint_method: spec.endpoint_method,
      endpoint_headers: spec.endpoint_headers,
      endpoint_signing_secret: spec.endpoint_signing_secret,
      environment_id: spec.environment_id,
      success_statuses: spec.success_statuses,
    };
  });
}
