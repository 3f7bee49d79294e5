import { sql } from "drizzle-orm";
import { drizzle } from "drizzle-orm/d1";
import type { RunStatus } from "../domain/run.ts";
import type { Env } from "../env.ts";

/** Which runs are replayed: a batch's, in index order, or a job's, newest first. */
export type ReplaySource = { batch_id: string } | { job_id: string };

/** A replay of many runs, and how far it has come. */
export interface ReplaySweep {
  project_id: string;
  job_id: string;
  source: ReplaySource;
  statuses: readonly RunStatus[];
  /** What it selects changes no more. */
  isSettled: boolean;
  created_by: string;
  traceparent: string | null;
  /** Where the source is read on, and the index that the first run beyond it has in the new batch. */
  after: string | null;
  index: number;
}

/** Begins one, held until `until` (Unix ms). One that has begun stands as it is. */
export async function insertSweep(env: Env, batchId: string, sweep: ReplaySweep, until: number): Promise<void> {
  await drizzle(env.DB).run(sql`INSERT INTO replay_sweeps (batch_id, claimed_until, doc)
    VALUES (${batchId}, ${until}, ${JSON.stringify(sweep)}) ON CONFLICT (batch_id) DO NOTHING`);
}

/** Takes one until `until`, unless somebody has it; null then, and where it has ended. */
export async function claimSweep(env: Env, batchId: string, now: number, until: number): Promise<ReplaySweep | null> {
  const rows = await drizzle(env.DB).all<{ doc: string }>(sql`UPDATE replay_sweeps SET claimed_until = ${until}
    WHERE batch_id = ${batchId} AND claimed_until <= ${now} RETURNING doc`);
  return rows[0] ? (JSON.parse(rows[0].doc) as ReplaySweep) : null;
}

/** Says how far it has come, and until when it is held. */
export async function saveSweep(env: Env, batchId: string, sweep: ReplaySweep, until: number): Promise<void> {
  await drizzle(env.DB).run(sql`UPDATE replay_sweeps SET claimed_until = ${until}, doc = ${JSON.stringify(sweep)}
    WHERE batch_id = ${batchId}`);
}

export async function deleteSweep(env: Env, batchId: string): Promise<void> {
  await drizzle(env.DB).run(sql`DELETE FROM replay_sweeps WHERE batch_id = ${batchId}`);
}

/** Those that nobody holds, oldest first: their ids rise with time. */
export async function listIdleSweeps(env: Env, now: number, limit: number): Promise<string[]> {
  const rows = await drizzle(env.DB).all<{ batch_id: string }>(
    sql`SELECT batch_id FROM replay_sweeps WHERE claimed_until <= ${now} ORDER BY batch_id LIMIT ${limit}`,
  );
  return rows.map((row) => row.batch_id);
}
