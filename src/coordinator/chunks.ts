import type { Batch } from "./batch.ts";
import type { Ledger } from "./ledger.ts";
import type { ItemOutcome } from "./protocol.ts";

/** A bulk answer lists its items up to this index; only these outcomes are kept for a repeat. */
const LISTED_ITEMS = 1000;

interface Chunk {
  first: number;
  n: number;
  hashes: string[];
  outcomes: ItemOutcome[] | null;
}

/** Keeps what a batch has taken in until it is sealed. */
export function saveChunk(
  ledger: Ledger,
  batch: Batch,
  first: number,
  hashes: string[],
  outcomes: ItemOutcome[],
): void {
  if (outcomes.length === 0) return;
  ledger.run(
    "INSERT INTO chunks VALUES (?, ?, ?, ?, ?)",
    batch.seq,
    first,
    outcomes.length,
    JSON.stringify(hashes),
    first < LISTED_ITEMS ? JSON.stringify(outcomes) : null,
  );
}

/**
 * Compares the part of a request that the batch has already taken.
 *
 * @returns an outcome for each repeated item (`taken` where it is no longer kept), or the first index with other bytes.
 */
export function checkRepeat(
  ledger: Ledger,
  batch: Batch,
  first: number,
  hashes: string[],
): { kind: "same"; outcomes: ItemOutcome[] } | { kind: "conflict"; index: number } {
  const outcomes: ItemOutcome[] = [];
  const until = Math.min(first + hashes.length, batch.item_count);
  if (first >= until) return { kind: "same", outcomes };
  let chunk: Chunk | null = null;
  for (let index = first; index < until; index++) {
    if (chunk === null || index >= chunk.first + chunk.n) chunk = chunkAt(ledger, batch, index);
    if (chunk === null || chunk.hashes[index - chunk.first] !== hashes[index - first])
      return { kind: "conflict", index };
    outcomes.push(chunk.outcomes?.[index - chunk.first] ?? { o: "taken" });
  }
  return { kind: "same", outcomes };
}

function chunkAt(ledger: Ledger, batch: Batch, index: number): Chunk | null {
  const row = ledger.all(
    "SELECT first_index, n, hashes, outcomes FROM chunks WHERE batch = ? AND first_index <= ? ORDER BY first_index DESC LIMIT 1",
    batch.seq,
    index,
  )[0];
  if (row === undefined) return null;
  return {
    first: row.first_index as number,
    n: row.n as number,
    hashes: JSON.parse(row.hashes as string) as string[],
    outcomes: row.outcomes === null ? null : (JSON.parse(row.outcomes as string) as ItemOutcome[]),
  };
}

export function forgetChunks(ledger: Ledger, batch: Batch): void {
  ledger.run("DELETE FROM chunks WHERE batch = ?", batch.seq);
}
