import { CONNECTIONS, mapBounded } from "../domain/bounded.ts";
import type { Notice } from "../domain/notice.ts";
import type { Env } from "../env.ts";
import { type BatchRow, type ItemRow, project, type RunRow } from "../store/projection.ts";
import { batchRecord } from "./batch.ts";
import type { Lane } from "./lane.ts";
import { MAX_PARAMETER_CHARS } from "./ledger.ts";
import { type Blob, deleteOutbox, type OutboxRow, packArrays, readOutbox } from "./outbox.ts";
import type { JobConfig } from "./protocol.ts";
import { bodyKey, liveState, runRecord, runRow } from "./run-record.ts";
import { gatherStats } from "./stats.ts";

/** New runs read in one go. */
const CREATED_ROWS = 1_000;

/** One sending: what leaves, and what may be forgotten once it has arrived. */
export interface Shipment {
  /** JSON arrays of run rows, each small enough for one parameter. */
  runs: string[];
  batches: BatchRow[];
  items: ItemRow[];
  blobs: Blob[];
  notices: Notice[];
  /** Outbox rows that it covers. */
  ids: number[];
  /** How many of the outbox's rows for D1 they hold. */
  outboxRows: number;
  /** Runs up to here have a row in D1 afterwards. */
  projectedSeq: number;
  /** Batches whose end it tells. */
  ended: { seq: number; ver: number }[];
  busy: boolean;
  stats: ReturnType<typeof gatherStats>;
}

/**
 * Gathers what is old enough to leave. New runs are read from their table, so that one which has ended meanwhile costs a
 * single row; so are living runs whose state changed.
 *
 * @param upTo runs created after this instant stay for the next sending.
 */
export function gather(lane: Lane, upTo: number): Shipment | null {
  const config = lane.config;
  if (config === null) return null;
  const rows = readOutbox(lane.ledger, MAX_PARAMETER_CHARS / 2);
  const created = gatherCreated(lane, upTo);
  const touched = gatherTouched(lane, rows, created.firstSeq);
  const batchSeqs = new Set(rows.flatMap((r) => r.notes.batches));
  const batches: BatchRow[] = [];
  const ended: Shipment["ended"] = [];
  for (const seq of batchSeqs) {
    const batch = lane.batches.get(seq);
    if (!batch) continue;
    const record = batchRecord(batch, config, lane.state.clock);
    batches.push([record.id, record.status, record.ver, JSON.stringify(record)]);
    if (batch.finished_at !== null) ended.push({ seq, ver: batch.ver });
  }
  const shipment: Shipment = {
    runs: packArrays([...created.rows, ...touched, ...rows.map((r) => r.runs)]),
    batches,
    items: rows.flatMap((r) => r.notes.items),
    blobs: [...created.blobs, ...rows.flatMap((r) => r.notes.blobs)],
    notices: rows.flatMap((r) => r.notes.notices ?? []),
    ids: rows.map((r) => r.id),
    outboxRows: rows.reduce((sum, r) => sum + r.n, 0),
    projectedSeq: created.projectedSeq,
    ended,
    busy: !lane.state.busyTold && isBusy(lane),
    stats: gatherStats(lane, lane.state.clock),
  };
  lane.copyingUpTo = Math.max(lane.copyingUpTo, shipment.projectedSeq);
  return shipment.ids.length === 0 &&
    shipment.projectedSeq === lane.state.projectedSeq &&
    !shipment.busy &&
    shipment.stats === null
    ? null
    : shipment;
}

/** There is something that an alarm or a ticket must still happen for. */
export function isBusy(lane: Lane): boolean {
  const c = lane.state.counts;
  return (
    c.delayed + c.queued + c.dequeued + c.executing > 0 ||
    lane.batches.size > 0 ||
    lane.sweeps.size > 0 ||
    lane.held.size > 0
  );
}

function gatherCreated(
  lane: Lane,
  upTo: number,
): { rows: string[]; blobs: Blob[]; projectedSeq: number; firstSeq: number } {
  const config = lane.config as JobConfig;
  const firstSeq = lane.state.projectedSeq + 1;
  const newest = lane.state.nextSeq - 1;
  if (firstSeq > newest) return { rows: [], blobs: [], projectedSeq: newest, firstSeq };
  const rows: string[] = [];
  const blobs: Blob[] = [];
  let chars = 0;
  let last = lane.state.projectedSeq;
  const runs = lane.ledger.runsFrom(firstSeq, CREATED_ROWS, newest);
  for (const run of runs) {
    if (run.at > upTo) return { rows, blobs, projectedSeq: last, firstSeq };
    const record = runRecord(lane, run, liveState(lane, run));
    if (run.payload === null) {
      record.payload_ref = bodyKey(config, record.id, "p");
      blobs.push({ seq: run.seq, kind: "p", key: record.payload_ref });
    }
    const row = rowText(runRow(record, lane.state.ver));
    chars += row.length;
    if (rows.length > 0 && chars > MAX_PARAMETER_CHARS / 2) return { rows, blobs, projectedSeq: last, firstSeq };
    rows.push(row);
    last = run.seq;
  }
  return { rows, blobs, projectedSeq: runs.length < CREATED_ROWS ? newest : last, firstSeq };
}

/** One row as an array of rows, ready to be packed. */
const rowText = (row: RunRow): string => `[${JSON.stringify(row)}]`;

function gatherTouched(lane: Lane, rows: OutboxRow[], firstCreated: number): string[] {
  const seqs = new Set(rows.flatMap((r) => r.notes.touched).filter((seq) => seq < firstCreated));
  return lane.ledger.runs([...seqs]).map((run) => {
    const record = runRecord(lane, run, liveState(lane, run));
    // Projected before: what stands there stays.
    if (run.payload === null) record.payload_ref = bodyKey(lane.config as JobConfig, record.id, "p");
    record.payload = null;
    return rowText(runRow(record, lane.state.ver));
  });
}

/**
 * Sends a shipment: bodies to R2, then rows to D1.
 *
 * @throws what R2 or D1 throws; all of it is sent again then, and harmless when it arrives twice.
 * @returns rows written in D1.
 */
export async function ship(env: Env, lane: Lane, shipment: Shipment, now: number): Promise<number> {
  const config = lane.config as JobConfig;
  // A body is read when its turn comes: a thousand of them at once would not fit the object's memory.
  await mapBounded(shipment.blobs, CONNECTIONS, async ({ seq, kind, key }) => {
    const body = lane.ledger.body(seq, kind);
    if (body !== null) await env.BLOBS.put(key, body);
  });
  return project(env.DB, {
    projectId: config.project_id,
    jobId: config.id,
    runs: shipment.runs,
    batches: shipment.batches,
    items: shipment.items,
    notices: shipment.notices,
    busy: shipment.busy ? { lane: 0, since: now } : null,
    stats: shipment.stats?.row ?? null,
  });
}

/** It has arrived: the ledger forgets what D1 has now. */
export function settleShipment(lane: Lane, shipment: Shipment): void {
  deleteOutbox(lane.ledger, shipment.ids);
  lane.outboxTimes.drop(shipment.ids.length);
  lane.outboxRows -= shipment.outboxRows;
  lane.state.projectedSeq = Math.max(lane.state.projectedSeq, shipment.projectedSeq);
  if (shipment.busy) lane.state.busyTold = true;
  if (shipment.stats !== null) lane.state.statsTold = shipment.stats.told;
  for (const { seq, kind } of shipment.blobs) {
    // A living run's payload is still to be sent to its endpoint.
    if (kind === "r" || lane.ledger.run1(seq) === null) lane.ledger.deleteBody(seq, kind);
  }
  for (const { seq, ver } of shipment.ended) {
    if (lane.batches.get(seq)?.ver !== ver) continue;
    lane.batches.delete(seq);
    lane.ledger.run("DELETE FROM batches WHERE seq = ?", seq);
  }
}
