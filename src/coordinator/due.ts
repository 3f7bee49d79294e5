import type { Lane } from "./lane.ts";
import { PLACE } from "./ledger.ts";
import { finishOverdue, finishWaiting } from "./settle.ts";
import { isSwept } from "./sweep.ts";

/** Rows one transaction moves. */
const STEP_ROWS = 500;

/** Delayed runs whose time has come go to the head of their lines. True while there is more. */
export function promoteDue(lane: Lane, now: number): boolean {
  const rows = lane.ledger.dueBefore(now, STEP_ROWS);
  const runs = new Map(lane.ledger.runs(rows.map((r) => r.seq)).map((r) => [r.seq, r]));
  for (const { at, seq } of rows) {
    const run = runs.get(seq);
    if (run === undefined || run.place !== PLACE.due) {
      lane.ledger.deleteDue(at, seq);
      continue;
    }
    // A sweep is about to cancel it: it stays `delayed` and only leaves the clock's table.
    if (isSwept(lane, run)) {
      lane.ledger.deleteDue(at, seq);
      continue;
    }
    lane.takeOut(run);
    delete run.doc.next;
    lane.placeAtHead(run);
    lane.ledger.updateRun(run);
    lane.move(run.batch, "delayed", "queued");
    lane.touch(seq);
  }
  return rows.length === STEP_ROWS;
}

/**
 * Runs that have waited too long expire; one that has had an attempt never does, unless its time bounds all of it. True while
 * there is more.
 */
export function expireWaiting(lane: Lane, now: number): boolean {
  const rows = lane.ledger.expiriesBefore(now, STEP_ROWS);
  const runs = new Map(lane.ledger.runs(rows.map((r) => r.seq)).map((r) => [r.seq, r]));
  for (const { at, seq } of rows) {
    lane.ledger.deleteExpiry(at, seq);
    const run = runs.get(seq);
    if (run === undefined || isSwept(lane, run)) continue;
    if (run.doc.bounded === true) {
      finishOverdue(lane, run, now);
      continue;
    }
    if (lane.held.has(seq)) continue;
    if (run.attempt > 0 || run.doc.started !== undefined) continue;
    finishWaiting(lane, run, "expired", now);
  }
  return rows.length === STEP_ROWS;
}
