import type { FileStatus, ImportFile } from "../domain/import.ts";
import { type Book, FILE, type TaskRow } from "./book.ts";
import type { FileEntry, Listed, Progress } from "./protocol.ts";

/** Files given to a reader at once. */
const FILES_PER_LEASE = 500;
const STATUS: Record<number, FileStatus> = { 0: "pending", 1: "done", 2: "failed", 3: "skipped" };

export interface FileRow {
  number: number;
  key: string;
  etag: string;
  size: number;
  status: number;
  task: number | null;
  parts: number;
  read: number;
  delivered: number;
  rejected: number;
  error: string | null;
  progress: Progress | null;
  floor: number;
}

const rowOf = (row: Record<string, SqlStorageValue>): FileRow => ({
  number: row.number as number,
  key: row.key as string,
  etag: row.etag as string,
  size: row.size as number,
  status: row.status as number,
  task: row.task as number | null,
  parts: row.parts as number,
  read: row.read as number,
  delivered: row.delivered as number,
  rejected: row.rejected as number,
  error: row.error as string | null,
  progress: row.progress === null ? null : (JSON.parse(row.progress as string) as Progress),
  floor: row.floor as number,
});

export function findFile(book: Book, number: number): FileRow | null {
  const row = book.all("SELECT * FROM files WHERE number = ?", number)[0];
  return row === undefined ? null : rowOf(row);
}

export const saveFile = (book: Book, file: FileRow): void =>
  book.run(
    `UPDATE files SET etag = ?, size = ?, status = ?, parts = ?, read = ?, delivered = ?, rejected = ?, error = ?,
     progress = ?, floor = ? WHERE number = ?`,
    file.etag,
    file.size,
    file.status,
    file.parts,
    file.read,
    file.delivered,
    file.rejected,
    file.error,
    file.progress === null ? null : JSON.stringify(file.progress),
    file.floor,
    file.number,
  );

/** A file as it is planned: `task` is null for one that is skipped or read in ranges. */
export interface NewFile extends Listed {
  number: number;
  task: number | null;
  parts: number;
}

/** Writes a page of files in one statement. */
export function insertFiles(book: Book, files: NewFile[]): void {
  const rows = files.map((f) => [
    f.number,
    f.key,
    f.etag,
    f.size,
    f.skip === null ? FILE.pending : FILE.skipped,
    f.task,
    f.parts,
    f.skip,
  ]);
  book.run(
    `INSERT INTO files SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->>6, 0, 0, 0,
     value->>7, NULL, 0 FROM json_each(?)`,
    JSON.stringify(rows),
  );
}

/** What a reader of a task is to read next, behind the file numbered `after`. */
export function filesOf(book: Book, task: TaskRow, after: number): FileEntry[] {
  const rows =
    task.range === null
      ? book.all(
          "SELECT * FROM files WHERE number > ? AND number <= ? AND task = ? AND status = 0 ORDER BY number LIMIT ?",
          Math.max(after, task.first - 1),
          task.last,
          task.id,
          FILES_PER_LEASE,
        )
      : book.all("SELECT * FROM files WHERE number = ? AND number > ?", task.first, after);
  return rows.map(rowOf).map(({ number, key, etag, size, progress, floor, error }) => ({
    ...{ number, key, etag, size, floor },
    progress: task.current?.number === number ? task.current.progress : progress,
    isRetry: error !== null && task.range === null,
  }));
}

/** Files as they are shown, in the order of the listing. `unsettled`: tasks in whose files reading stands, or was stopped. */
export function shownFiles(book: Book, unsettled: TaskRow[], after: number, limit: number): ImportFile[] {
  const current = new Map<number, { read: number; rejected: number; isStopped: boolean }>();
  for (const task of unsettled) {
    if (task.current === null) continue;
    const { number, progress } = task.current;
    const sum = current.get(number) ?? { read: 0, rejected: 0, isStopped: true };
    current.set(number, {
      read: sum.read + progress.read,
      rejected: sum.rejected + progress.rejected,
      isStopped: sum.isStopped && task.state === "CANCELED",
    });
  }
  return book.all("SELECT * FROM files WHERE number > ? ORDER BY number LIMIT ?", after, limit).map((row) => {
    const file = rowOf(row);
    const live = file.status === FILE.pending ? current.get(file.number) : undefined;
    return {
      ...{ number: file.number, key: file.key, etag: file.etag, size: file.size },
      status: live === undefined || live.isStopped ? (STATUS[file.status] ?? "pending") : "running",
      rows: file.read + (live?.read ?? 0),
      rejects: file.rejected + (live?.rejected ?? 0),
      error: file.error,
    };
  });
}

/** Done files behind a number: what the history is to know. */
export const doneFiles = (book: Book, after: number, limit: number): { number: number; key: string; etag: string }[] =>
  book
    .all("SELECT number, key, etag FROM files WHERE number > ? AND status = 1 ORDER BY number LIMIT ?", after, limit)
    .map((row) => ({ number: row.number as number, key: row.key as string, etag: row.etag as string }));
