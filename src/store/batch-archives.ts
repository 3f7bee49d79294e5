import { sql } from "drizzle-orm";
import { drizzle } from "drizzle-orm/d1";
import type { Env } from "../env.ts";

/** The results of a batch as one object in R2. */
export interface BatchArchive {
  state: ArchiveState;
  key: string;
  /** Of the object, or of the parts written so far. */
  bytes: number;
  rows: number;
  /** `[index, offset]` now and then: lines from that index on begin at that byte. */
  offsets: [index: number, offset: number][];
  /** While it is written. */
  upload: { id: string; parts: { n: number; etag: string }[] } | null;
  /** The last index that is whole in the parts, and how many bytes of the next line stand there too. */
  after: number | null;
  skip: number;
}

export type ArchiveState = "writing" | "done" | "purged";

interface Row {
  state: ArchiveState;
  doc: string;
}

/** The archive of a batch, or null where none was begun. */
export async function findArchive(env: Env, batchId: string): Promise<BatchArchive | null> {
  const rows = await drizzle(env.DB).all<Row>(sql`SELECT state, doc FROM batch_archives WHERE batch_id = ${batchId}`);
  return rows[0] ? { ...(JSON.parse(rows[0].doc) as BatchArchive), state: rows[0].state } : null;
}

export async function saveArchive(env: Env, batchId: string, archive: BatchArchive): Promise<void> {
  const { state, ...doc } = archive;
  await drizzle(env.DB).run(sql`INSERT INTO batch_archives (batch_id, state, doc)
    VALUES (${batchId}, ${state}, ${JSON.stringify(doc)})
    ON CONFLICT (batch_id) DO UPDATE SET state = excluded.state, doc = excluded.doc`);
}

/** One that is being written is given up; a whole one stays. */
export async function dropUnfinishedArchive(env: Env, batchId: string): Promise<void> {
  await drizzle(env.DB).run(sql`DELETE FROM batch_archives WHERE batch_id = ${batchId} AND state = 'writing'`);
}

export async function deleteArchive(env: Env, batchId: string): Promise<void> {
  await drizzle(env.DB).run(sql`DELETE FROM batch_archives WHERE batch_id = ${batchId}`);
}
