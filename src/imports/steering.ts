import { FILE, FINISH_TASK, LIST_TASK, type TaskRow } from "./book.ts";
import { type Desk, decide, follow, recordOf, setTask } from "./desk.ts";
import { findFile, saveFile } from "./files.ts";
import type { Amendment, SteerAnswer } from "./protocol.ts";

const steered = (desk: Desk): SteerAnswer => ({ kind: "steered", record: recordOf(desk) });
const refused = (desk: Desk, why: string): SteerAnswer => ({ kind: "refused", record: recordOf(desk), why });

/** What is being read stops at its next report, and is given back. */
export function pause(desk: Desk): SteerAnswer {
  const { state } = desk;
  if (state.end !== null) return refused(desk, "the import has ended");
  state.isPaused = true;
  return steered(desk);
}

export function resume(desk: Desk): SteerAnswer {
  const { state } = desk;
  if (state.end !== null) return refused(desk, "the import has ended");
  state.isPaused = false;
  state.notBefore = 0;
  return steered(desk);
}

/** A file that is being read goes on as it began. */
export function amend(desk: Desk, { name, settings }: Amendment): SteerAnswer {
  const { spec } = desk.state;
  desk.state.spec = { ...spec, name: name ?? spec.name, settings: { ...spec.settings, ...settings } };
  return steered(desk);
}

/** What has been handed over stays so: its batch operation goes on. */
export function cancel(desk: Desk): SteerAnswer {
  const { state } = desk;
  if (state.end !== null) return refused(desk, "the import has ended");
  decide(desk, "canceled", null);
  follow(desk);
  return steered(desk);
}

/** Does again what failed, and only that; of an import that was stopped by its failures, what is left of it. */
export function retry(desk: Desk, batchId: string | null): SteerAnswer {
  const { book, state } = desk;
  if (!state.isFinished) return refused(desk, "the import has not ended");
  if (state.end === "canceled") return refused(desk, "a canceled import is not taken up again");
  const isToDo = state.index.ERROR + state.index.CANCELED > 0 || state.list !== "DONE";
  if (!isToDo) return refused(desk, "no file has failed");
  const list = book.task(LIST_TASK);
  if (list !== null && state.list !== "DONE") setTask(desk, list, "READY");
  for (const task of [...book.tasks("ERROR"), ...book.tasks("CANCELED")]) if (task.kind === "index") again(desk, task);
  const finish = book.task(FINISH_TASK);
  if (finish !== null) setTask(desk, finish, "CANCELED");
  Object.assign(state, {
    end: null,
    isFinished: false,
    finished_at: null,
    errors: [],
    notBefore: 0,
    // Progress is that of the new attempt.
    percent: 0,
    forgiven: { read: state.rows.read, rejected: state.rows.rejected },
  });
  if (batchId !== null) state.batch_ids.push(batchId);
  return steered(desk);
}

function again(desk: Desk, task: TaskRow): void {
  const { book, state } = desk;
  for (const row of failedFiles(desk, task)) {
    const file = findFile(book, row);
    if (file === null) continue;
    if (file.status === FILE.failed) {
      file.status = FILE.pending;
      state.files.failed -= 1;
    }
    const { read, delivered, rejected } = task.range === null ? file : (task.current?.progress ?? NOTHING);
    state.rows.read -= read;
    state.rows.delivered -= delivered;
    state.rows.rejected -= rejected;
    state.bytes.done -= task.range === null ? file.size : task.range.to - task.range.from;
    file.read -= read;
    file.delivered -= delivered;
    file.rejected -= rejected;
    if (task.range !== null) {
      file.parts += 1;
      file.error = null;
    }
    saveFile(book, file);
  }
  task.failed = 0;
  task.lost = 0;
  task.lines = null;
  if (task.stream !== null) {
    task.previous = task.stream;
    task.stream = null;
  }
  setTask(desk, task, "READY");
}

const NOTHING = { read: 0, delivered: 0, rejected: 0 };

function failedFiles({ book }: Desk, task: TaskRow): number[] {
  if (task.range !== null) return task.state === "ERROR" ? [task.first] : [];
  return book
    .all(
      "SELECT number FROM files WHERE number >= ? AND number <= ? AND task = ? AND status = 2",
      task.first,
      task.last,
      task.id,
    )
    .map((row) => row.number as number);
}
