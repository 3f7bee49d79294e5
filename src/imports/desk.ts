import { effectiveSettings, type ImportEnd, type ImportRecord, progress, type TaskState } from "../domain/import.ts";
import { objectUrl, parseObjectUrl } from "../domain/object-url.ts";
import { type Book, FINISH_TASK, type ImportState, LIST_TASK, newTask, type TaskRow } from "./book.ts";

/** An import under way: its tables, and its counters in memory. */
export interface Desk {
  book: Book;
  state: ImportState;
  /** Names the runtime; null where it is not to be told apart. */
  boot: string | null;
}

const MAX_TOLD = 100;

export function tell(list: string[], text: string): void {
  if (list.includes(text)) return;
  if (list.length < MAX_TOLD) list.push(text);
  else list[MAX_TOLD - 1] = `… and more; see the files and the rejects`;
}

export function urlOf(state: ImportState, key: string): string {
  const place = parseObjectUrl(state.spec.source.url);
  return typeof place === "string" ? key : objectUrl(place, key);
}

/** Every change of a task's state goes through here, so that the counts are those of the tasks. */
export function setTask(desk: Desk, task: TaskRow, next: TaskState): void {
  if (task.kind === "index") {
    desk.state.index[task.state] -= 1;
    desk.state.index[next] += 1;
  } else if (task.kind === "list") desk.state.list = next;
  task.state = next;
  desk.book.saveTask(task);
}

/** Ends the import: what has not begun will not; what is being read stops at its next report. */
export function decide(desk: Desk, end: ImportEnd, reason: string | null): void {
  const { book, state } = desk;
  if (reason !== null) tell(state.errors, reason);
  if (state.end !== null) return;
  state.end = end;
  state.isPaused = false;
  state.open = null;
  book.run("UPDATE tasks SET state = 'CANCELED' WHERE state = 'READY' AND kind = 'index'");
  state.index.CANCELED += state.index.READY;
  state.index.READY = 0;
  const list = book.task(LIST_TASK);
  if (list !== null && (list.state === "READY" || list.state === "RUNNING")) setTask(desk, list, "CANCELED");
}

const isSettled = ({ list, index, open }: ImportState): boolean =>
  list !== "READY" && list !== "RUNNING" && index.READY + index.RUNNING === 0 && open === null;

/** What follows from a change: the end, once every task has settled. */
export function follow(desk: Desk): void {
  const { book, state } = desk;
  if (state.isFinished || !isSettled(state)) return;
  if (state.end === null) {
    state.end = state.files.failed > 0 || state.rows.rejected > 0 ? "done_with_errors" : "done";
    if (state.files.total === 0) tell(state.warnings, "no object matched");
  }
  const finish = book.task(FINISH_TASK) ?? newTask(FINISH_TASK, "finish", 0, 0);
  if (finish.fence === 0 || finish.state === "CANCELED") setTask(desk, finish, "READY");
}

const nonZero = (counts: Record<TaskState, number>): Partial<Record<TaskState, number>> =>
  Object.fromEntries(Object.entries(counts).filter(([, n]) => n > 0));

function statusOf(state: ImportState): ImportRecord["status"] {
  const { end, index } = state;
  if (end !== null && (state.isFinished || end === "failed" || end === "canceled")) return end;
  if (state.isPaused) return "paused";
  if (state.started_at === null) return "ready";
  return !state.isListed && index.RUNNING + index.DONE + index.ERROR === 0 && end === null ? "listing" : "running";
}

/** Counts of settled files and of what is being read. */
export function liveCounts({ book, state }: Desk): Pick<ImportRecord, "rows" | "bytes"> {
  const rows = { ...state.rows };
  const bytes = { ...state.bytes };
  for (const task of unsettled(book)) {
    const { current } = task;
    if (current === null) continue;
    rows.read += current.progress.read;
    rows.delivered += current.progress.delivered;
    rows.rejected += current.progress.rejected;
    bytes.done += current.progress.bytes;
  }
  bytes.done = Math.min(bytes.done, bytes.total);
  return { rows, bytes };
}

/** Tasks in whose files reading stands, or was stopped. */
export const unsettled = (book: Book): TaskRow[] => [
  ...book.tasks("RUNNING"),
  ...book.tasks("READY").filter((task) => task.current !== null),
  ...book.tasks("CANCELED").filter((task) => task.current !== null),
];

/** What has been shown of progress is not taken back, by an eviction neither. */
export function advance(desk: Desk): void {
  const { state } = desk;
  const { bytes } = liveCounts(desk);
  const { isListed, isFinished, end } = state;
  state.percent = progress(state.percent, { isListed, isSettled: isFinished, end, bytes });
}

export function recordOf(desk: Desk): ImportRecord {
  const { book, state } = desk;
  const { rows, bytes } = liveCounts(desk);
  advance(desk);
  return {
    spec: state.spec,
    batch_id: state.batch_ids[state.batch_ids.length - 1] ?? null,
    batch_ids: state.batch_ids,
    status: statusOf(state),
    percent_complete: state.percent,
    files: state.files,
    rows,
    bytes,
    tasks: { LIST: { [state.list]: 1 }, INDEX: nonZero(state.index) },
    errors: state.errors,
    warnings: state.warnings,
    sample: book.all("SELECT text FROM sample ORDER BY number").map((row) => row.text as string),
    effective_settings: effectiveSettings(state.spec.settings),
    started_at: state.started_at,
    finished_at: state.finished_at,
    ver: state.ver,
  };
}
