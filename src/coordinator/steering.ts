import { parseLedgerId } from "../domain/id.ts";
import type { RunRecord, RunStatus, TerminalStatus, WaitingFor } from "../domain/run.ts";
import { findSeen } from "./duplicates.ts";
import type { Flow } from "./flow.ts";
import { gate, heldUntil } from "./gate.ts";
import type { Lane } from "./lane.ts";
import { type LedgerRun, PLACE } from "./ledger.ts";
import { findInOutbox } from "./outbox.ts";
import type { CancelAnswer, JobConfig, LaneHealth } from "./protocol.ts";
import { blockerOf } from "./room.ts";
import { fullWindow, liveState, recordOfRow, runId, runRecord } from "./run-record.ts";
import type { Blocker } from "./scheduler.ts";
import { finishHeld, finishWaiting } from "./settle.ts";
import { startSweep } from "./sweep.ts";

/** The id of the run that an identity leads to. */
export function runOf(lane: Lane, identity: string, now: number): string | null {
  const seen = lane.config && findSeen(lane.ledger, [identity], lane.spec, now).get(identity);
  return seen ? runId(lane.config as JobConfig, seen.at, seen.seq) : null;
}

/** A run as it is now: alive, or ended and not yet in D1. Null: D1 knows, or nobody. */
export function readRun(lane: Lane, id: string): RunRecord | null {
  const parsed = parseLedgerId(id);
  if (parsed === null || lane.config === null) return null;
  const run = lane.ledger.run1(parsed.seq);
  if (run !== null && run.at === parsed.at) {
    const record = runRecord(lane, run, liveState(lane, run));
    record.payload ??= lane.ledger.body(run.seq, "p");
    return record;
  }
  const row = findInOutbox(lane.ledger, parsed.seq);
  if (row === null || row[0] !== id) return null;
  const record = recordOfRow(lane.config, row);
  if (record.payload_ref !== null) record.payload = lane.ledger.body(parsed.seq, "p");
  if (record.result_ref !== null) record.result = lane.ledger.body(parsed.seq, "r");
  return record;
}

export function cancelRun(lane: Lane, id: string, now: number): CancelAnswer {
  const parsed = parseLedgerId(id);
  const justEnded = lane.pending.runs.find((row) => row[0] === id);
  if (justEnded) return { kind: "terminal", status: justEnded[3] as TerminalStatus };
  const run = parsed === null ? null : lane.ledger.run1(parsed.seq);
  if (parsed === null || run === null || run.at !== parsed.at) {
    const ended = readRun(lane, id);
    return ended === null ? { kind: "not_found" } : { kind: "terminal", status: ended.status as TerminalStatus };
  }
  cancelLiving(lane, run, now);
  const row = lane.pending.runs[lane.pending.runs.length - 1];
  if (row === undefined) throw new Error("a canceled run leaves a row");
  const record = recordOfRow(lane.config as JobConfig, row);
  record.payload = run.payload;
  return { kind: "canceled", run: record };
}

/** Cancels a run that waits, or whose call is in flight. */
export function cancelLiving(lane: Lane, run: LedgerRun, now: number): void {
  const held = lane.held.get(run.seq);
  if (held) finishHeld(lane, held, run, now);
  else finishWaiting(lane, run, "canceled", now);
}

export function cancelWhere(lane: Lane, id: string, status: RunStatus | null, now: number): void {
  startSweep(lane, id, status, now);
}

/** What waits, why, and what is in flight. Runs are counted as they move; what each flow waits for is asked of each flow. */
export function laneHealth(lane: Lane): LaneHealth {
  const c = lane.state.counts;
  const waitingFor: LaneHealth["waiting_for"] = {};
  const add = (reason: WaitingFor, n: number): void => {
    if (n > 0) waitingFor[reason] = (waitingFor[reason] ?? 0) + n;
  };
  add("retry", lane.state.retrying);
  add("schedule", c.delayed - lane.state.retrying);
  const now = lane.state.clock;
  const closed = gate(lane, now);
  let queuedFrom: number | null = null;
  if (closed !== null) {
    add(closed.reason, c.queued);
    if (closed.until !== null) queuedFrom = Math.max(closed.until, firstRoom(lane, now) ?? now);
  } else {
    const { blocked, earliest } = countBlocked(lane, now, add);
    const others = Math.max(0, c.queued - blocked);
    if (lane.freePermits === 0) add("concurrency", others);
    queuedFrom = others > 0 && lane.freePermits > 0 ? now : earliest;
  }
  return {
    waiting: c.delayed + c.queued,
    executing: c.executing,
    oldest_waiting_at: oldestWaitingAt(lane),
    earliest_start_at: firstStart(lane, c.queued > 0 ? queuedFrom : null),
    waiting_for: waitingFor,
    concurrency_now: lane.held.size,
    concurrency_limit: lane.concurrencyLimit,
  };
}

/**
 * The first instant at which one of all that wait can start; null: nothing waits, or nobody knows. Of what is delayed it is not
 * asked whose rate windows will be full by then.
 */
function firstStart(lane: Lane, queuedFrom: number | null): number | null {
  const due = lane.state.counts.delayed > 0 ? lane.ledger.firstDue() : null;
  const first = due !== null && queuedFrom !== null ? Math.min(due, queuedFrom) : (due ?? queuedFrom);
  return first === null ? null : lane.window.openingFrom(lane, Math.max(first, heldUntil(lane, lane.state.clock)));
}

/** When the first of the flows has room in every rate window it draws from; null: there is none. */
function firstRoom(lane: Lane, now: number): number | null {
  let first: number | null = null;
  for (const flow of lane.scheduler.flows.values()) {
    if (flow.count === 0) continue;
    first = Math.min(fullWindow(lane, flow.limits, now)?.earliest ?? now, first ?? Number.POSITIVE_INFINITY);
    if (first === now) return first;
  }
  return first;
}

/** Adds what waits behind a batch, a key or a window, by reason; `earliest`: when the first of these windows has room. */
function countBlocked(
  lane: Lane,
  now: number,
  add: (reason: WaitingFor, n: number) => void,
): { blocked: number; earliest: number | null } {
  let blocked = 0;
  let earliest: number | null = null;
  for (const flow of lane.scheduler.flows.values()) {
    const blocker = flow.count > 0 ? blockerOf(lane, flow, now) : null;
    if (blocker === null) continue;
    blocked += flow.count;
    const waiting = waitingBehind(lane, flow, blocker, now);
    add(waiting.waitingFor, flow.count);
    if (waiting.earliest !== null) earliest = Math.min(waiting.earliest, earliest ?? waiting.earliest);
  }
  return { blocked, earliest };
}

/** The same reason, and the same instant, as the flow's runs give themselves. */
function waitingBehind(
  lane: Lane,
  flow: Flow,
  blocker: Blocker,
  now: number,
): { waitingFor: WaitingFor; earliest: number | null } {
  if (blocker.startsWith("batch:")) return { waitingFor: "batch", earliest: null };
  if (blocker.startsWith("key:")) return { waitingFor: "key", earliest: null };
  const full = fullWindow(lane, flow.limits, now);
  if (full === null) throw new Error(`${blocker} blocks a flow and has room`);
  return full;
}

/** The oldest run that no consumer holds: at most as many rows are read as there are permits in use. */
function oldestWaitingAt(lane: Lane): number | null {
  const runs = lane.ledger.runsFrom(0, lane.held.size + 1);
  const first = runs.find((run) => !lane.held.has(run.seq));
  return first === undefined || first.place > PLACE.due ? null : first.at;
}
