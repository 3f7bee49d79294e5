import { sql } from "drizzle-orm";
import { drizzle } from "drizzle-orm/d1";
import type { ImportRecord } from "../domain/import.ts";

/** What is kept of an import for clients that know it as a batch ingest job. Times are Unix milliseconds. */
export interface IngestJobRow {
  import_id: string;
  project_id: string;
  name: string;
  description: string | null;
  /** `project.table`, as it was given. */
  table_name: string;
  claimed_at: number;
  modified_at: number;
}

export interface IngestJob {
  row: IngestJobRow;
  record: ImportRecord;
}

/** A name that was claimed for an import that has not come to be within this time is free. */
const CLAIM_MS = 60_000;

/** False where another job of the project has the name. A repeat of the same claim is a success. */
export async function claimName(db: D1Database, row: IngestJobRow): Promise<boolean> {
  const [, , found] = await db.batch<{ import_id: string }>([
    db
      .prepare(
        `DELETE FROM ingest_jobs WHERE project_id = ?1 AND name = ?2 AND claimed_at < ?3
         AND NOT EXISTS (SELECT 1 FROM imports WHERE id = ingest_jobs.import_id)`,
      )
      .bind(row.project_id, row.name, row.claimed_at - CLAIM_MS),
    db
      .prepare(
        `INSERT INTO ingest_jobs (import_id, project_id, name, description, table_name, claimed_at, modified_at)
         VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
      )
      .bind(
        ...[row.import_id, row.project_id, row.name, row.description],
        ...[row.table_name, row.claimed_at, row.modified_at],
      ),
    db.prepare("SELECT import_id FROM ingest_jobs WHERE project_id = ? AND name = ?").bind(row.project_id, row.name),
  ]);
  return found?.results[0]?.import_id === row.import_id;
}

/** Gives a name back, where no import came of the claim. */
export async function releaseName(db: D1Database, importId: string): Promise<void> {
  await db
    .prepare("DELETE FROM ingest_jobs WHERE import_id = ?1 AND NOT EXISTS (SELECT 1 FROM imports WHERE id = ?1)")
    .bind(importId)
    .run();
}

/** @throws a unique violation of `ingest_jobs.name`. */
export async function updateIngestJob(
  db: D1Database,
  importId: string,
  change: Pick<IngestJobRow, "name" | "description" | "modified_at">,
): Promise<void> {
  await db
    .prepare("UPDATE ingest_jobs SET name = ?, description = ?, modified_at = ? WHERE import_id = ?")
    .bind(change.name, change.description, change.modified_at, importId)
    .run();
}

export const selectIngestJob = (db: D1Database, importId: string): Promise<IngestJobRow | null> =>
  db.prepare("SELECT * FROM ingest_jobs WHERE import_id = ?").bind(importId).first<IngestJobRow>();

/** Newest first, with the copies of their imports. */
export async function listIngestJobs(
  db: D1Database,
  projectId: string,
  page: { limit: number; before: string | null },
): Promise<IngestJob[]> {
  const before = page.before === null ? sql`` : sql`AND j.import_id < ${page.before}`;
  const rows = await drizzle(db).all<IngestJobRow & { doc: string }>(
    sql`SELECT j.*, i.doc FROM ingest_jobs AS j CROSS JOIN imports AS i
      WHERE j.project_id = ${projectId} ${before} AND i.id = j.import_id
      ORDER BY j.import_id DESC LIMIT ${page.limit}`,
  );
  return rows.map(({ doc, ...row }) => ({ row, record: JSON.parse(doc) as ImportRecord }));
}

export async function deleteIngestJob(db: D1Database, importId: string): Promise<void> {
  await db.prepare("DELETE FROM ingest_jobs WHERE import_id = ?").bind(importId).run();
}
