import type { Notice } from "../domain/notice.ts";
import type { ItemRow, RunRow } from "../store/projection.ts";
import { type Ledger, MAX_PARAMETER_CHARS } from "./ledger.ts";

/** A body on its way to R2; it leaves the ledger once it is there. */
export interface Blob {
  seq: number;
  kind: "p" | "r";
  key: string;
}

/** What one commit has for the outside, and must still leave. */
export interface OutboxBody extends OutboxNotes {
  /** Terminal runs: they stand nowhere else in the ledger. */
  runs: RunRow[];
}

/** What is read again before it is sent. */
export interface OutboxNotes {
  /** The numbers of the terminal runs, in the same order. */
  seqs: number[];
  /** Living runs whose copy is behind: read when they are sent, so that ten changes cost one row. */
  touched: number[];
  batches: number[];
  items: ItemRow[];
  blobs: Blob[];
  /** Absent: none. */
  notices?: Notice[];
}

const isEmpty = (b: OutboxBody): boolean =>
  b.runs.length + b.touched.length + b.batches.length + b.items.length + b.blobs.length === 0 && !b.notices?.length;

/**
 * Writes what a commit leaves behind, in rows small enough for one parameter each.
 *
 * @param since of when the oldest thing in it is that D1 has never heard of: a run that ended before it was first copied is as
 *   old as its creation.
 * @returns the rows for D1 that it added.
 */
export function appendOutbox(ledger: Ledger, times: OutboxTimes, since: number, body: OutboxBody): number {
  if (isEmpty(body)) return 0;
  for (const { runs, ...notes } of split(body)) {
    const runsText = JSON.stringify(runs);
    const notesText = JSON.stringify(notes);
    ledger.run(
      "INSERT INTO outbox (at, n, lo, hi, chars, runs, notes) VALUES (?, ?, ?, ?, ?, ?, ?)",
      since,
      runs.length + notes.items.length,
      runs.length > 0 ? Math.min(...notes.seqs) : null,
      runs.length > 0 ? Math.max(...notes.seqs) : null,
      runsText.length + notesText.length,
      runsText,
      notesText,
    );
    times.push(since);
  }
  return body.runs.length + body.items.length;
}

/** What a run's row takes as JSON, about: quotes inside its texts may double them. */
const rowChars = (row: RunRow): number => {
  const [, , , , , , key, tags, payload, doc] = row;
  const errors = doc.attempts?.length ?? 0;
  return (
    600 +
    2 * ((key?.length ?? 0) + (tags?.length ?? 0) + (payload?.length ?? 0) + (doc.result?.length ?? 0)) +
    errors * 3_000 +
    metadataChars(doc.metadata)
  );
};

const metadataChars = (metadata: Record<string, string> | undefined): number =>
  metadata === undefined ? 0 : 2 * JSON.stringify(metadata).length;

/** Nearly always one part; more where results are large. */
function split({ notices, ...body }: OutboxBody): OutboxBody[] {
  const parts: OutboxBody[] = [];
  let current: OutboxBody = { ...body, runs: [], seqs: [], items: [] };
  let chars = 0;
  const roomFor = (size: number): void => {
    if (chars > 0 && chars + size > MAX_PARAMETER_CHARS) {
      parts.push(current);
      current = { runs: [], seqs: [], touched: [], batches: [], items: [], blobs: [] };
      chars = 0;
    }
    chars += size;
  };
  body.runs.forEach((run, i) => {
    roomFor(rowChars(run));
    current.runs.push(run);
    current.seqs.push(body.seqs[i] as number);
  });
  for (const item of body.items) {
    roomFor((item[4]?.length ?? 0) + 120);
    current.items.push(item);
  }
  // No notice arrives before what it speaks of.
  parts.push(notices?.length ? { ...current, notices } : current);
  return parts;
}

export interface OutboxRow {
  id: number;
  /** JSON of the terminal runs' rows: it goes to D1 as it stands. */
  runs: string;
  n: number;
  notes: OutboxNotes;
}

/** The oldest rows, as many as fit one sending. */
export function readOutbox(ledger: Ledger, maxChars: number): OutboxRow[] {
  const sizes = ledger.all("SELECT chars FROM outbox ORDER BY id LIMIT 200");
  let chars = 0;
  let n = 0;
  for (const row of sizes) {
    chars += row.chars as number;
    if (n > 0 && chars > maxChars) break;
    n += 1;
  }
  return ledger.all("SELECT id, n, runs, notes FROM outbox ORDER BY id LIMIT ?", n).map((row) => ({
    id: row.id as number,
    n: row.n as number,
    runs: row.runs as string,
    notes: JSON.parse(row.notes as string) as OutboxNotes,
  }));
}

/** JSON arrays put one behind the other, unread, into as few as fit one parameter each. */
export function packArrays(arrays: string[]): string[] {
  const packed: string[] = [];
  let parts: string[] = [];
  let chars = 0;
  for (const text of arrays) {
    if (text === "[]") continue;
    if (chars > 0 && chars + text.length > MAX_PARAMETER_CHARS) {
      packed.push(`[${parts.join(",")}]`);
      parts = [];
      chars = 0;
    }
    parts.push(text.slice(1, -1));
    chars += text.length;
  }
  if (parts.length > 0) packed.push(`[${parts.join(",")}]`);
  return packed;
}

/** A terminal run that D1 does not have yet. */
export function findInOutbox(ledger: Ledger, seq: number): RunRow | null {
  for (const row of ledger.all("SELECT runs, notes FROM outbox WHERE lo <= ?1 AND hi >= ?1 ORDER BY id DESC", seq)) {
    const at = (JSON.parse(row.notes as string) as OutboxNotes).seqs.indexOf(seq);
    if (at !== -1) return (JSON.parse(row.runs as string) as RunRow[])[at] as RunRow;
  }
  return null;
}

/** Of when the outbox's rows are, in their order, which is not that of their times: read once at the start, then kept. */
export class OutboxTimes {
  private readonly times: number[];

  constructor(ledger: Ledger) {
    this.times = ledger.all("SELECT at FROM outbox ORDER BY id").map((row) => row.at as number);
  }

  push(at: number): void {
    this.times.push(at);
  }

  /** The first `n` have arrived. */
  drop(n: number): void {
    this.times.splice(0, n);
  }

  get oldest(): number | null {
    let oldest: number | null = null;
    for (const at of this.times) if (oldest === null || at < oldest) oldest = at;
    return oldest;
  }
}

/** Rows for D1 that wait: read once at the start, then counted. */
export const countOutbox = (ledger: Ledger): number =>
  (ledger.all("SELECT coalesce(sum(n), 0) AS n FROM outbox")[0]?.n as number | undefined) ?? 0;

export function deleteOutbox(ledger: Ledger, ids: number[]): void {
  if (ids.length === 0) return;
  ledger.run("DELETE FROM outbox WHERE id IN (SELECT value FROM json_each(?))", JSON.stringify(ids));
}
