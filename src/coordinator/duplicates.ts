import type { JobSpec } from "../domain/job.ts";
import type { Ledger } from "./ledger.ts";

/** How long a key counts on a job without a window (contract 4.3). */
const KEY_WINDOW_MS = 24 * 3_600_000;
/** Log rows forgotten in one go. */
const PURGE_ROWS = 20;

export interface Seen {
  seq: number;
  at: number;
}

const windowMs = (spec: JobSpec): number => (spec.dedup_window_secs ? spec.dedup_window_secs * 1000 : KEY_WINDOW_MS);

/**
 * The earlier runs of these identities that still count at `now`: the window is half open. What Sluice triggers by itself
 * must not be doubled, however short the job's own window.
 */
export function findSeen(ledger: Ledger, identities: string[], spec: JobSpec, now: number): Map<string, Seen> {
  const seen = new Map<string, Seen>();
  if (identities.length === 0) return seen;
  for (const row of ledger.all(
    "SELECT d.identity, d.seq, d.at FROM json_each(?1) j CROSS JOIN dedup d ON d.identity = j.value WHERE d.at > iif(d.identity GLOB 'w:*', ?3, ?2)",
    JSON.stringify(identities),
    now - windowMs(spec),
    now - Math.max(windowMs(spec), KEY_WINDOW_MS),
  )) {
    seen.set(row.identity as string, { seq: row.seq as number, at: row.at as number });
  }
  return seen;
}

/** Remembers who came first. */
export function remember(ledger: Ledger, identities: string[], seqs: number[], now: number): void {
  if (identities.length === 0) return;
  ledger.run(
    `INSERT INTO dedup SELECT i.value, s.value, ?3 FROM json_each(?1) i JOIN json_each(?2) s ON s.key = i.key WHERE true
     ON CONFLICT (identity) DO UPDATE SET seq = excluded.seq, at = excluded.at`,
    JSON.stringify(identities),
    JSON.stringify(seqs),
    now,
  );
  ledger.run(
    "INSERT INTO dedup_log (at, seqs, identities) VALUES (?, ?, ?)",
    now,
    JSON.stringify(seqs),
    JSON.stringify(identities),
  );
}

/** Forgets what no window reaches any more, a bounded number at a time. True while there is more. */
export function purgeSeen(ledger: Ledger, spec: JobSpec, now: number): boolean {
  const until = now - Math.max(windowMs(spec), KEY_WINDOW_MS);
  // Of the oldest alone: where none is old enough, the search for one would be through the whole log.
  const rows = ledger.all(
    `SELECT id, identities FROM dedup_log
     WHERE id IN (SELECT id FROM dedup_log ORDER BY id LIMIT ?) AND at <= ? ORDER BY id`,
    PURGE_ROWS,
    until,
  );
  for (const row of rows) {
    ledger.run(
      "DELETE FROM dedup WHERE identity IN (SELECT value FROM json_each(?)) AND at <= ?",
      row.identities as string,
      until,
    );
    ledger.run("DELETE FROM dedup_log WHERE id = ?", row.id as number);
  }
  return rows.length === PURGE_ROWS;
}
