import { and, sql } from "drizzle-orm";
import { drizzle } from "drizzle-orm/d1";
import { type ImportRecord, type ImportStatus, isEnded } from "../domain/import.ts";

/** Imports as the copy knows them: their own objects are never behind. */

interface Row {
  doc: string;
}

const toRecord = (row: Row): ImportRecord => JSON.parse(row.doc) as ImportRecord;

/** The sample may be large, and is shown by the import itself. */
const docOf = (record: ImportRecord): string => JSON.stringify({ ...record, sample: [] });

/** Nothing happens where the id is taken: a repeated request made it. */
export async function insertImport(db: D1Database, record: ImportRecord, nextAt: number | null): Promise<void> {
  const { spec } = record;
  await db
    .prepare(
      `INSERT INTO imports (id, project_id, job_id, credential_id, repeat_of, status, is_open, next_at, ver, doc)
       VALUES (?, ?, ?, ?, ?, ?, 1, ?, 0, ?) ON CONFLICT (id) DO NOTHING`,
    )
    .bind(
      spec.id,
      spec.project_id,
      spec.job_id,
      spec.source.credential_id,
      spec.repeat_of,
      record.status,
      nextAt,
      docOf(record),
    )
    .run();
}

/** Any order and any number of repeats end in the same copy. */
export async function copyImport(db: D1Database, record: ImportRecord): Promise<void> {
  const isOpen = !isEnded(record.status) || record.finished_at === null;
  await db
    .prepare("UPDATE imports SET status = ?, is_open = ?, ver = ?, doc = ? WHERE id = ? AND ver < ?")
    .bind(record.status, isOpen ? 1 : 0, record.ver, docOf(record), record.spec.id, record.ver)
    .run();
}

export async function selectImport(db: D1Database, id: string): Promise<ImportRecord | null> {
  const row = await db.prepare("SELECT doc FROM imports WHERE id = ?").bind(id).first<Row>();
  return row && toRecord(row);
}

export interface ImportFilter {
  project_id: string;
  job_id?: string;
  status?: ImportStatus;
}

/** Newest first, one more than `limit` where there are more. */
export async function listImports(
  db: D1Database,
  filter: ImportFilter,
  page: { limit: number; before: string | null },
): Promise<ImportRecord[]> {
  const { project_id, job_id, status } = filter;
  const index = sql.raw(job_id === undefined ? "imports_by_project" : "imports_by_job");
  const matches = and(
    sql`project_id = ${project_id}`,
    job_id === undefined ? undefined : sql`job_id = ${job_id}`,
    status === undefined ? undefined : sql`status = ${status}`,
    page.before === null ? undefined : sql`id < ${page.before}`,
  );
  const rows = await drizzle(db).all<Row>(
    sql`SELECT doc FROM imports INDEXED BY ${index} WHERE ${matches} ORDER BY id DESC LIMIT ${page.limit + 1}`,
  );
  return rows.map(toRecord);
}

export async function deleteImport(db: D1Database, id: string): Promise<void> {
  await db.prepare("DELETE FROM imports WHERE id = ?").bind(id).run();
}

/** Imports that may still have work, behind an id. */
export async function listOpenImports(db: D1Database, after: string, limit: number): Promise<ImportRecord[]> {
  const { results } = await db
    .prepare("SELECT doc FROM imports WHERE is_open = 1 AND id > ? ORDER BY id LIMIT ?")
    .bind(after, limit)
    .all<Row>();
  return results.map(toRecord);
}

export interface DueRepeat {
  record: ImportRecord;
  next_at: number;
  /** It, or a repetition of it, has not ended. */
  is_busy: boolean;
}

/** Imports whose cron repeats them by now. */
export async function listDueRepeats(db: D1Database, now: number, limit: number): Promise<DueRepeat[]> {
  const { results } = await db
    .prepare(
      `SELECT doc, next_at, is_open = 1 OR EXISTS (
         SELECT 1 FROM imports AS r WHERE r.repeat_of = i.id AND r.is_open = 1
       ) AS is_busy FROM imports AS i WHERE next_at IS NOT NULL AND next_at <= ? ORDER BY next_at LIMIT ?`,
    )
    .bind(now, limit)
    .all<Row & { next_at: number; is_busy: number }>();
  return results.map((row) => ({ record: toRecord(row), next_at: row.next_at, is_busy: row.is_busy === 1 }));
}

/** True where it would have been repeated. */
export async function stopRepeating(db: D1Database, id: string): Promise<boolean> {
  const { meta } = await db
    .prepare("UPDATE imports SET next_at = NULL WHERE id = ? AND next_at IS NOT NULL")
    .bind(id)
    .run();
  return meta.changes > 0;
}

export async function setNextRepeat(db: D1Database, id: string, from: number, nextAt: number): Promise<void> {
  await db.prepare("UPDATE imports SET next_at = ? WHERE id = ? AND next_at = ?").bind(nextAt, id, from).run();
}
