import type { Notice } from "../domain/notice.ts";
import type { RunDoc } from "../domain/run-doc.ts";
import { noticeStatements } from "./notices.ts";

/** One row for the copy of a run. `payload` null leaves what stands there. The guard is `ver`. */
export type RunRow = [
  id: string,
  batchId: string | null,
  batchIndex: number | null,
  status: string,
  ver: number,
  triggeredBy: string,
  concurrencyKey: string | null,
  /** JSON object, or null for none. */
  tags: string | null,
  /** Raw JSON. */
  payload: string | null,
  doc: RunDoc,
];

export type BatchRow = [id: string, status: string, ver: number, doc: string];

export type ItemRow = [batchId: string, index: number, outcome: string, runId: string | null, error: string | null];

/** A job's numbers: what waits and what is in flight, and a `JobStats` as JSON. */
export interface StatsRow {
  at: number;
  ver: number;
  waiting: number;
  executing: number;
  doc: string;
}

export interface Projection {
  projectId: string;
  jobId: string;
  /** JSON of RunRow[], as text: most of it is passed on unread. A statement each. */
  runs: string[];
  batches: BatchRow[];
  items: ItemRow[];
  notices: Notice[];
  /** Set where the lane has become busy: the sweeper is to watch it from then on. */
  busy: { lane: number; since: number } | null;
  stats: StatsRow | null;
}

const UPSERT_RUNS = `INSERT INTO runs
    (project_id, job_id, id, batch_id, batch_index, status, ver, triggered_by, concurrency_key, tags, payload, doc)
  SELECT ?1, ?2, value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->>6, value->>7, value->>8, value->9
  FROM json_each(?3) WHERE true
  ON CONFLICT (project_id, id) DO UPDATE SET status = excluded.status, ver = excluded.ver, doc = excluded.doc,
    payload = coalesce(excluded.payload, payload)
  WHERE excluded.ver > runs.ver`;

const UPSERT_BATCHES = `INSERT INTO batches (project_id, job_id, id, status, ver, doc)
  SELECT ?1, ?2, value->>0, value->>1, value->>2, value->>3 FROM json_each(?3) WHERE true
  ON CONFLICT (project_id, id) DO UPDATE SET status = excluded.status, ver = excluded.ver, doc = excluded.doc
  WHERE excluded.ver > batches.ver`;

const INSERT_ITEMS = `INSERT INTO batch_items (batch_id, item_index, outcome, run_id, error)
  SELECT value->>0, value->>1, value->>2, value->>3, value->>4 FROM json_each(?) WHERE true
  ON CONFLICT (batch_id, item_index) DO NOTHING`;

const MARK_BUSY = `INSERT INTO busy_lanes (job_id, lane, since) VALUES (?, ?, ?)
  ON CONFLICT (job_id, lane) DO UPDATE SET since = excluded.since`;

const UPSERT_STATS = `INSERT INTO job_stats (job_id, at, ver, waiting, executing, doc) VALUES (?, ?, ?, ?, ?, ?)
  ON CONFLICT (job_id) DO UPDATE SET at = excluded.at, ver = excluded.ver, waiting = excluded.waiting,
    executing = excluded.executing, doc = excluded.doc
  WHERE excluded.ver > job_stats.ver`;

/**
 * Writes behind: one transaction, a statement a kind, each row guarded by its version, so that any order and any number of
 * repeats end in the same copy. The caller keeps each kind's JSON within 1.5 MB (a value may have 2 MB). These are D1's own
 * statements: drizzle cannot bind parameters of raw SQL inside a batch.
 *
 * @throws what D1 throws; nothing is written then.
 * @returns rows written, index entries included.
 */
export async function project(d1: D1Database, p: Projection): Promise<number> {
  const statements: D1PreparedStatement[] = [];
  for (const runs of p.runs) statements.push(d1.prepare(UPSERT_RUNS).bind(p.projectId, p.jobId, runs));
  if (p.batches.length > 0) {
    statements.push(d1.prepare(UPSERT_BATCHES).bind(p.projectId, p.jobId, JSON.stringify(p.batches)));
  }
  if (p.items.length > 0) statements.push(d1.prepare(INSERT_ITEMS).bind(JSON.stringify(p.items)));
  statements.push(...noticeStatements(d1, p.projectId, p.jobId, p.notices));
  if (p.busy !== null) statements.push(d1.prepare(MARK_BUSY).bind(p.jobId, p.busy.lane, p.busy.since));
  if (p.stats !== null) {
    const { at, ver, waiting, executing, doc } = p.stats;
    statements.push(d1.prepare(UPSERT_STATS).bind(p.jobId, at, ver, waiting, executing, doc));
  }
  if (statements.length === 0) return 0;
  const results = await d1.batch(statements);
  return results.reduce((sum, r) => sum + r.meta.rows_written, 0);
}
