import { INLINE_BODY_BYTES } from "../domain/run.ts";
import { type Batch, batchId } from "./batch.ts";
import { findBatch } from "./batch-book.ts";
import { checkRepeat, saveChunk } from "./chunks.ts";
import { findSeen, remember, type Seen } from "./duplicates.ts";
import type { Flow } from "./flow.ts";
import type { Lane } from "./lane.ts";
import { type LedgerRun, MAX_PARAMETER_CHARS, PLACE, type RunDoc } from "./ledger.ts";
import {
  type AcceptAnswer,
  type AcceptItem,
  type AcceptRequest,
  type ItemOutcome,
  isRejected,
  type JobConfig,
  MAX_BATCH_ITEMS,
  type Refusal,
  type RejectedItem,
} from "./protocol.ts";
import { answeredBefore, rememberRequest } from "./recent-requests.ts";
import { expiresAt, runId, waiting } from "./run-record.ts";

/** Whether the lane may be changed by a caller who judged by `revision`. */
export function refusal(lane: Lane, revision: number, overloaded: boolean): Refusal | null {
  const config = lane.config;
  if (config === null || config.revision < revision) return { kind: "unknown_config" };
  if (config.deleted) return { kind: "deleted" };
  if (config.revision > revision) return { kind: "stale_config", revision: config.revision };
  if (!config.current.spec.enabled) return { kind: "disabled" };
  if (overloaded) return { kind: "overloaded", retry_after_secs: 15 };
  return null;
}

/** Takes items in: decides duplicates, creates runs, counts, all in the transaction that the caller has opened. */
export function accept(lane: Lane, request: AcceptRequest, now: number): AcceptAnswer {
  for (const version of request.versions ?? []) lane.ledger.saveVersion(version);
  if (!request.batch) {
    const before = answeredBefore(lane, request);
    if (before !== null) return before;
    rememberRequest(lane, request, lane.state.nextSeq, now);
    const outcomes = takeItems(lane, request, request.items, null, 0, now);
    return { kind: "accepted", outcomes, item_count: outcomes.length };
  }
  const { first_index, epoch, hashes } = request.batch;
  const batch = findBatch(lane, request.batch.id);
  if (!batch) return { kind: "not_found" };
  if (batch.sealed || batch.cancel_requested || batch.stopped) return { kind: "sealed", item_count: batch.item_count };
  if (batch.epoch !== epoch) return { kind: "fenced" };
  if (first_index > batch.item_count) return { kind: "gap", item_count: batch.item_count };
  const repeat = checkRepeat(lane.ledger, batch, first_index, hashes);
  if (repeat.kind === "conflict") return repeat;
  batch.last_part_at = now;
  batch.interruption_told = false;
  batch.released = false;
  lane.pending.batches.add(batch);

  const room = MAX_BATCH_ITEMS - batch.item_count;
  const fresh = request.items.slice(repeat.outcomes.length);
  const fits = fresh.slice(0, room);
  const first = batch.item_count;
  const outcomes = takeItems(lane, request, fits, batch, first, now);
  saveChunk(
    lane.ledger,
    batch,
    first,
    hashes.slice(repeat.outcomes.length, repeat.outcomes.length + fits.length),
    outcomes,
  );
  if (fits.length < fresh.length) return { kind: "too_many", item_count: batch.item_count };
  return { kind: "accepted", outcomes: [...repeat.outcomes, ...outcomes], item_count: batch.item_count };
}

/** Says what `accept` would do, and changes nothing. */
export function rehearse(lane: Lane, request: AcceptRequest, now: number): AcceptAnswer {
  const seen = seenBefore(lane, request.items, now);
  const version = (lane.config as JobConfig).current.version;
  const outcomes = request.items.map((item, i): ItemOutcome => {
    if (isRejected(item)) return { o: "rejected", error: item.error };
    const earlier = item.identity === undefined ? undefined : seen.get(item.identity);
    if (earlier) return duplicateOf(lane, earlier);
    if (item.identity !== undefined) seen.set(item.identity, { seq: lane.state.nextSeq + i, at: now });
    const run = newRun(request, item, lane.state.nextSeq + i, now, null, null, version);
    return created(lane, run);
  });
  return { kind: "accepted", outcomes, item_count: outcomes.length };
}

const seenBefore = (lane: Lane, items: (AcceptItem | RejectedItem)[], now: number): Map<string, Seen> =>
  findSeen(
    lane.ledger,
    items.flatMap((item) => (!isRejected(item) && item.identity !== undefined ? [item.identity] : [])),
    lane.spec,
    now,
  );

/** Makes runs of items, in order; those of a batch stand in it from `firstIndex`. */
export function takeItems(
  lane: Lane,
  request: AcceptRequest,
  items: (AcceptItem | RejectedItem)[],
  batch: Batch | null,
  firstIndex: number,
  now: number,
): ItemOutcome[] {
  const seen = seenBefore(lane, items, now);
  const intake = new Intake(lane, now, batch);
  const version = (lane.config as JobConfig).current.version;
  const outcomes = items.map((item, i): ItemOutcome => {
    const index = batch === null ? null : firstIndex + i;
    if (isRejected(item)) {
      intake.turnedAway(index, "rejected", null, JSON.stringify(item.error));
      return { o: "rejected", error: item.error };
    }
    const earlier = item.identity === undefined ? undefined : seen.get(item.identity);
    if (earlier) {
      const outcome = duplicateOf(lane, earlier);
      intake.turnedAway(index, "duplicate", outcome.of, null);
      return outcome;
    }
    const run = newRun(request, item, lane.state.nextSeq++, now, batch, index, version);
    if (item.identity !== undefined) {
      seen.set(item.identity, { seq: run.seq, at: now });
      intake.identities.push(item.identity);
      intake.identitySeqs.push(run.seq);
    }
    intake.add(run, item.payload);
    if (batch === null && items.length === 1) intake.write();
    return created(lane, run, batch === null && items.length === 1);
  });
  intake.write();
  if (batch) count(lane, batch, outcomes);
  return outcomes;
}

function count(lane: Lane, batch: Batch, outcomes: ItemOutcome[]): void {
  batch.item_count += outcomes.length;
  for (const outcome of outcomes) {
    if (outcome.o === "created") {
      batch.created_count += 1;
      batch.first_seq ??= outcome.seq;
      batch.last_seq = outcome.seq;
    } else if (outcome.o === "duplicate") batch.duplicate_count += 1;
    else batch.rejected_count += 1;
  }
  lane.pending.batches.add(batch);
}

const created = (lane: Lane, run: LedgerRun, explain = true): ItemOutcome & { o: "created" } => {
  const status = run.place === PLACE.due ? "delayed" : "queued";
  if (!explain) return { o: "created", seq: run.seq, at: run.at, status };
  const w = waiting(lane, run);
  return { o: "created", seq: run.seq, at: run.at, status, waiting_for: w.waitingFor, earliest: w.earliest };
};

function duplicateOf(lane: Lane, earlier: Seen): ItemOutcome & { o: "duplicate" } {
  const run = lane.ledger.run1(earlier.seq);
  return {
    o: "duplicate",
    of: runId(lane.config as JobConfig, earlier.at, earlier.seq),
    // A run of this very request is not in the ledger yet.
    status: run !== null ? lane.statusOf(run) : earlier.at === lane.state.clock ? "queued" : null,
  };
}

function newRun(
  request: AcceptRequest,
  item: AcceptItem,
  seq: number,
  now: number,
  batch: Batch | null,
  index: number | null,
  current: number,
): LedgerRun {
  const doc: RunDoc = {};
  if (item.identity !== undefined) doc.identity = item.identity;
  if (item.priority) doc.priority = item.priority;
  if (item.concurrency_key !== undefined) doc.ckey = item.concurrency_key;
  if (item.rate_limit_keys !== undefined) doc.limits = item.rate_limit_keys;
  if (item.idempotency_key !== undefined) doc.idem = item.idempotency_key;
  const isLater = item.scheduled_at !== undefined && item.scheduled_at > now;
  if (item.scheduled_at !== undefined) doc.scheduled = item.scheduled_at;
  if (item.ttl_secs !== undefined) doc.ttl = item.ttl_secs;
  if (item.bounded) doc.bounded = true;
  if (item.tags !== undefined) doc.tags = item.tags;
  if (item.metadata !== undefined) doc.metadata = item.metadata;
  if (item.max_attempts !== undefined) doc.max = item.max_attempts;
  if (item.timeout_secs !== undefined) doc.timeout = item.timeout_secs;
  if (item.version !== undefined) doc.pinned = true;
  if (item.replayed_run_id !== undefined) doc.replayed = item.replayed_run_id;
  if (batch === null) {
    doc.by = request.created_by;
    doc.via = request.triggered_by;
    if (request.traceparent !== null) doc.trace = request.traceparent;
    if (request.workflow) doc.workflow = [request.workflow.run_id, request.workflow.depth];
  }
  return {
    seq,
    place: isLater ? PLACE.due : PLACE.page,
    at: now,
    batch: batch?.seq ?? null,
    idx: index,
    version: item.version ?? current,
    attempt: 0,
    payload: item.payload,
    doc,
  };
}

/** Collects the runs of one request, and writes like with like. */
class Intake {
  readonly identities: string[] = [];
  readonly identitySeqs: number[] = [];
  private readonly lane: Lane;
  private readonly now: number;
  private readonly batch: Batch | null;
  /** Neighbours that differ in nothing but index and payload. */
  private uniform: { first: LedgerRun; payloads: string[]; chars: number } | null = null;
  private readonly lines = new Map<Flow, number[]>();

  constructor(lane: Lane, now: number, batch: Batch | null) {
    this.lane = lane;
    this.now = now;
    this.batch = batch;
  }

  turnedAway(index: number | null, outcome: string, runId: string | null, error: string | null): void {
    if (this.batch === null || index === null) return;
    const id = this.lane.config as JobConfig;
    this.lane.pending.items.push([batchId(this.batch, id), index, outcome, runId, error]);
  }

  add(run: LedgerRun, payload: string): void {
    const status = run.place === PLACE.due ? "delayed" : "queued";
    this.lane.move(run.batch, null, status);
    if (run.place === PLACE.due) {
      this.lane.ledger.insertDue(run.doc.scheduled as number, run.seq);
    } else {
      const flow = this.lane.flowOf(run);
      const seqs = this.lines.get(flow);
      if (seqs) seqs.push(run.seq);
      else this.lines.set(flow, [run.seq]);
    }
    const expiry = expiresAt(this.lane, run);
    if (expiry !== null) this.lane.ledger.insertExpiry(expiry, run.seq);
    this.insert(run, payload);
  }

  private insert(run: LedgerRun, payload: string): void {
    const isPlain = Object.keys(run.doc).length === 0 && payload.length * 3 <= INLINE_BODY_BYTES;
    const u = this.uniform;
    if (
      isPlain &&
      u !== null &&
      follows(u.first, u.payloads.length, run) &&
      u.chars + payload.length < MAX_PARAMETER_CHARS
    ) {
      u.payloads.push(payload);
      u.chars += payload.length;
      return;
    }
    this.flushUniform();
    if (isPlain) {
      this.uniform = { first: run, payloads: [payload], chars: payload.length };
      return;
    }
    if (payload.length * 3 > INLINE_BODY_BYTES && new TextEncoder().encode(payload).length > INLINE_BODY_BYTES) {
      this.lane.ledger.putBody(run.seq, "p", payload);
      this.lane.ledger.insertRun({ ...run, payload: null });
    } else this.lane.ledger.insertRun(run);
  }

  private flushUniform(): void {
    const u = this.uniform;
    if (u === null) return;
    const { seq, at, batch, idx, version } = u.first;
    this.lane.ledger.insertUniform(seq, at, batch, idx, version, u.payloads);
    this.uniform = null;
  }

  write(): void {
    this.flushUniform();
    for (const [flow, seqs] of this.lines) {
      this.lane.ledger.insertPage(flow.id, seqs);
      this.lane.scheduler.appended(flow, seqs.length);
    }
    this.lines.clear();
    remember(this.lane.ledger, this.identities, this.identitySeqs, this.now);
    this.identities.length = 0;
    this.identitySeqs.length = 0;
  }
}

const follows = (first: LedgerRun, n: number, run: LedgerRun): boolean =>
  run.seq === first.seq + n &&
  run.idx === (first.idx === null ? null : first.idx + n) &&
  run.version === first.version &&
  run.place === first.place;
