import { type ImportEnd, type ImportSpec, type RowCounts, TASK_STATES, type TaskState } from "../domain/import.ts";
import { BOOK_MIGRATIONS } from "./book-schema.ts";
import type { Progress } from "./protocol.ts";

/** The import's counters and decisions: one row, written with every change. */
export interface ImportState {
  spec: ImportSpec;
  ver: number;
  batch_ids: string[];
  isPaused: boolean;
  /** Decided; it has ended when `isFinished`. */
  end: ImportEnd | null;
  isFinished: boolean;
  started_at: number | null;
  finished_at: number | null;
  /** The last key that was listed. */
  after: string | null;
  isListed: boolean;
  files: { total: number; done: number; failed: number; skipped: number };
  /** Of settled files. What is being read comes on top. */
  rows: RowCounts;
  bytes: { total: number; done: number };
  /** What is not held against the import any more, since a retry. */
  forgiven: { read: number; rejected: number };
  errors: string[];
  warnings: string[];
  sampled: number;
  nextFile: number;
  nextTask: number;
  nextStream: number;
  /** The task that further small files are added to. */
  open: { task: number; first: number; last: number; bytes: number; files: number } | null;
  percent: number;
  /** INDEX tasks by state. */
  index: Record<TaskState, number>;
  list: TaskState;
  /** Readers wait until then: a reader has left and said how long. */
  notBefore: number;
}

export const LIST_TASK = 1;
export const FINISH_TASK = 2;
const FIRST_INDEX_TASK = 3;

export const newState = (spec: ImportSpec, batchId: string | null): ImportState => ({
  spec,
  ver: 0,
  batch_ids: batchId === null ? [] : [batchId],
  isPaused: false,
  end: null,
  isFinished: false,
  started_at: null,
  finished_at: null,
  after: null,
  isListed: false,
  files: { total: 0, done: 0, failed: 0, skipped: 0 },
  rows: { read: 0, delivered: 0, rejected: 0 },
  bytes: { total: 0, done: 0 },
  forgiven: { read: 0, rejected: 0 },
  errors: [],
  warnings: [],
  sampled: 0,
  nextFile: 1,
  nextTask: FIRST_INDEX_TASK,
  nextStream: 1,
  open: null,
  percent: 0,
  index: Object.fromEntries(TASK_STATES.map((s) => [s, 0])) as Record<TaskState, number>,
  list: "READY",
  notBefore: 0,
});

export interface TaskRow {
  id: number;
  kind: "list" | "index" | "finish";
  state: TaskState;
  /** Numbers of the first and last file that may be its. */
  first: number;
  last: number;
  range: { from: number; to: number } | null;
  stream: number | null;
  previous: number | null;
  fence: number;
  boot: string | null;
  deadline: number;
  /** Readers that died in a row without getting on. */
  lost: number;
  failed: number;
  current: { number: number; progress: Progress } | null;
  lines: number | null;
}

export const FILE = { pending: 0, done: 1, failed: 2, skipped: 3 } as const;

type Value = string | number | null;

/** The tables. It decides nothing. */
export class Book {
  private readonly sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.sql = sql;
  }

  exists(): boolean {
    return this.all("SELECT 1 FROM sqlite_master WHERE name = 'state'").length > 0;
  }

  migrate(): void {
    this.sql.exec("CREATE TABLE IF NOT EXISTS migrations (name TEXT PRIMARY KEY)");
    const done = new Set(this.all("SELECT name FROM migrations").map((row) => row.name));
    for (const { name, sql } of BOOK_MIGRATIONS) {
      if (done.has(name)) continue;
      this.sql.exec(sql);
      this.run("INSERT INTO migrations VALUES (?)", name);
    }
  }

  all(sql: string, ...values: Value[]): Record<string, SqlStorageValue>[] {
    return this.sql.exec(sql, ...values).toArray();
  }

  run(sql: string, ...values: Value[]): void {
    this.sql.exec(sql, ...values);
  }

  loadState(): ImportState | null {
    const row = this.all("SELECT doc FROM state")[0];
    return row === undefined ? null : (JSON.parse(row.doc as string) as ImportState);
  }

  saveState(state: ImportState): void {
    this.run(
      "INSERT INTO state VALUES (1, ?) ON CONFLICT (id) DO UPDATE SET doc = excluded.doc",
      JSON.stringify(state),
    );
  }

  task(id: number): TaskRow | null {
    const row = this.all("SELECT * FROM tasks WHERE id = ?", id)[0];
    return row === undefined ? null : taskOf(row);
  }

  tasks(state: TaskState, limit = -1): TaskRow[] {
    return this.all("SELECT * FROM tasks WHERE state = ? ORDER BY id LIMIT ?", state, limit).map(taskOf);
  }

  /** Running and ready ones are few, or read one at a time. */
  firstIndexTask(state: TaskState): TaskRow | null {
    const row = this.all(
      "SELECT * FROM tasks WHERE state = ? AND id >= ? ORDER BY id LIMIT 1",
      state,
      FIRST_INDEX_TASK,
    )[0];
    return row === undefined ? null : taskOf(row);
  }

  saveTask(task: TaskRow): void {
    this.run(
      `INSERT OR REPLACE INTO tasks VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      task.id,
      task.kind,
      task.state,
      task.first,
      task.last,
      task.range?.from ?? null,
      task.range?.to ?? null,
      task.stream,
      task.previous,
      task.fence,
      task.boot,
      task.deadline,
      task.lost,
      task.failed,
      task.current === null ? null : JSON.stringify(task.current),
      task.lines,
    );
  }
}

export const newTask = (id: number, kind: TaskRow["kind"], first: number, last: number): TaskRow => ({
  id,
  kind,
  state: "READY",
  first,
  last,
  range: null,
  stream: null,
  previous: null,
  fence: 0,
  boot: null,
  deadline: 0,
  lost: 0,
  failed: 0,
  current: null,
  lines: null,
});

const taskOf = (row: Record<string, SqlStorageValue>): TaskRow => ({
  id: row.id as number,
  kind: row.kind as TaskRow["kind"],
  state: row.state as TaskState,
  first: row.first as number,
  last: row.last as number,
  range: row.range_from === null ? null : { from: row.range_from as number, to: row.range_to as number },
  stream: row.stream as number | null,
  previous: row.previous as number | null,
  fence: row.fence as number,
  boot: row.boot as string | null,
  deadline: row.deadline as number,
  lost: row.lost as number,
  failed: row.failed as number,
  current: row.current === null ? null : (JSON.parse(row.current as string) as TaskRow["current"]),
  lines: row.lines as number | null,
});
