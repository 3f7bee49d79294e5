import type { RunStatus } from "../domain/run.ts";
import type { Batch } from "./batch.ts";
import type { Lane } from "./lane.ts";
import type { LedgerRun } from "./ledger.ts";
import { seal } from "./seal.ts";
import { finishHeld, finishWaiting } from "./settle.ts";

/** Ledger rows a step looks at: a step is one transaction. */
const STEP_ROWS = 500;

/** A cancel of many, in effect at once and carried out step by step, in order of creation. */
export interface Sweep {
  id: string;
  /** Only this batch's runs. */
  batch: number | null;
  /** Only runs of this status; null: whatever waits. */
  status: RunStatus | null;
  cursor: number;
  until: number;
}

function save(lane: Lane, sweep: Sweep): void {
  lane.sweeps.set(sweep.id, sweep);
  lane.ledger.run(
    "INSERT INTO sweeps VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET doc = excluded.doc",
    sweep.id,
    JSON.stringify(sweep),
  );
}

/** Cancels what waits of a batch: its flows are taken out at once, so nothing of it starts any more. */
export function startBatchSweep(lane: Lane, batch: Batch, now: number): void {
  const id = `batch:${batch.seq}`;
  if (lane.sweeps.has(id) || batch.first_seq === null || batch.last_seq === null) return;
  for (const flow of [...lane.scheduler.flows.values()]) if (flow.batch === batch.seq) lane.forgetFlow(flow);
  lane.ledger.run("DELETE FROM pages WHERE flow IN (SELECT id FROM flows WHERE batch = ?)", batch.seq);
  lane.ledger.run("DELETE FROM heads WHERE flow IN (SELECT id FROM flows WHERE batch = ?)", batch.seq);
  lane.ledger.run("DELETE FROM flows WHERE batch = ?", batch.seq);
  save(lane, { id, batch: batch.seq, status: null, cursor: batch.first_seq, until: batch.last_seq });
  stepSweeps(lane, now, 1);
}

/** Cancels what waits of the batches that this transaction has stopped. They take no more items, so that they can end. */
export function sweepStopped(lane: Lane, now: number): void {
  for (const batch of lane.pending.stopped.splice(0)) {
    if (!batch.sealed) seal(lane, batch, now);
    startBatchSweep(lane, batch, now);
  }
}

/** Cancels what waits of the whole lane, or what has a status. */
export function startSweep(lane: Lane, id: string, status: RunStatus | null, now: number): void {
  if (status === "executing" || status === "dequeued") {
    for (const held of [...lane.held.values()]) {
      const run = lane.ledger.run1(held.seq);
      if (run !== null && !held.canceled && lane.statusOf(run) === status) finishHeld(lane, held, run, now);
    }
    return;
  }
  if (status === null || status === "queued") {
    for (const flow of [...lane.scheduler.flows.values()]) lane.forgetFlow(flow);
    for (const table of ["pages", "heads", "flows"]) lane.ledger.run(`DELETE FROM ${table}`);
  }
  save(lane, { id, batch: null, status, cursor: 0, until: lane.state.nextSeq - 1 });
  stepSweeps(lane, now, 1);
}

/** A run that a sweep is about to cancel: nothing else may move it. */
export function isSwept(lane: Lane, run: LedgerRun): boolean {
  for (const sweep of lane.sweeps.values()) if (matches(lane, sweep, run)) return true;
  return false;
}

function matches(lane: Lane, sweep: Sweep, run: LedgerRun): boolean {
  if (run.seq < sweep.cursor || run.seq > sweep.until || lane.held.has(run.seq)) return false;
  if (sweep.batch !== null && run.batch !== sweep.batch) return false;
  return sweep.status === null || lane.statusOf(run) === sweep.status;
}

/** Carries out up to `steps` steps. True while there is more to do. */
export function stepSweeps(lane: Lane, now: number, steps: number): boolean {
  for (let i = 0; i < steps; i++) {
    const sweep = lane.sweeps.values().next().value;
    if (sweep === undefined) return false;
    lane.forgetEnded();
    const runs = lane.ledger.runsFrom(sweep.cursor, STEP_ROWS, sweep.until);
    const doomed = runs.filter((run) => matches(lane, sweep, run));
    for (const run of doomed) finishWaiting(lane, run, "canceled", now);
    lane.forgetEnded();
    const last = runs[runs.length - 1];
    if (runs.length < STEP_ROWS || last === undefined) {
      lane.sweeps.delete(sweep.id);
      lane.ledger.run("DELETE FROM sweeps WHERE id = ?", sweep.id);
    } else save(lane, { ...sweep, cursor: last.seq + 1 });
  }
  return lane.sweeps.size > 0;
}
