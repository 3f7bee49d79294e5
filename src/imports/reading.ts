import { effectiveSettings, intolerable } from "../domain/import.ts";
import { FILE, FINISH_TASK, LIST_TASK, type TaskRow } from "./book.ts";
import { type Desk, decide, follow, liveCounts, setTask, tell, urlOf } from "./desk.ts";
import { filesOf, findFile, saveFile } from "./files.ts";
import { planPage } from "./planning.ts";
import {
  type FileResult,
  type Listed,
  type NextBatch,
  NO_PROGRESS,
  READER_SILENCE_MS,
  type ReportAnswer,
  type TaskName,
  type TaskReport,
  type Work,
} from "./protocol.ts";

/** A file at which so many readers in a row have died is given up. */
const MAX_LOST = 5;
const SAMPLE_ROWS = 100;

/** The next piece of work, leased to whoever asks. */
export function lease(desk: Desk, now: number): Work {
  const { book, state } = desk;
  if (state.isFinished || state.isPaused) return { kind: "idle" };
  const finish = book.task(FINISH_TASK);
  if (finish?.state === "READY") {
    const name = take(desk, finish, now);
    const keepsStreams = state.index.ERROR + state.index.CANCELED > 0 || state.list !== "DONE";
    return { kind: "finish", name, spec: state.spec, batch_ids: state.batch_ids, keepsStreams };
  }
  if (state.end !== null || now < state.notBefore) return { kind: "idle" };
  const list = book.task(LIST_TASK);
  if (list?.state === "READY") {
    const name = take(desk, list, now);
    return { kind: "list", name, spec: state.spec, after: state.after, taken: state.files.total };
  }
  const { input_concurrency } = effectiveSettings(state.spec.settings);
  const task = state.index.RUNNING < input_concurrency ? book.firstIndexTask("READY") : null;
  return task === null ? { kind: "idle" } : leaseIndex(desk, task, now);
}

function leaseIndex(desk: Desk, task: TaskRow, now: number): Work {
  const { state } = desk;
  task.stream ??= state.nextStream++;
  const name = take(desk, task, now);
  return {
    kind: "index",
    name,
    spec: state.spec,
    stream: task.stream,
    previous: task.previous,
    round: state.batch_ids.length - 1,
    batch_id: state.batch_ids[state.batch_ids.length - 1] ?? null,
    range: task.range,
    files: filesOf(desk.book, task, 0),
  };
}

function take(desk: Desk, task: TaskRow, now: number): TaskName {
  desk.state.started_at ??= now;
  task.fence += 1;
  task.boot = desk.boot;
  task.deadline = now + READER_SILENCE_MS;
  setTask(desk, task, "RUNNING");
  return { task: task.id, fence: task.fence };
}

/** The task, where the caller is its present reader. */
function held(desk: Desk, name: TaskName): TaskRow | null {
  const task = desk.book.task(name.task);
  return task !== null && task.state === "RUNNING" && task.fence === name.fence ? task : null;
}

/** Takes back what dead readers hold. */
export function reclaim(desk: Desk, now: number): void {
  for (const task of desk.book.tasks("RUNNING")) {
    if (task.deadline > now && task.boot === desk.boot) continue;
    task.lost += 1;
    if (desk.state.end !== null && task.kind !== "finish") setTask(desk, task, "CANCELED");
    else if (task.lost > MAX_LOST && task.kind === "index") giveUp(desk, task);
    else setTask(desk, task, "READY");
  }
  follow(desk);
}

/** The file that the readers died at is failed; the others of the task go on. */
function giveUp(desk: Desk, task: TaskRow): void {
  const number = task.current?.number ?? filesOf(desk.book, task, 0)[0]?.number;
  task.lost = 0;
  // The next reader asks how far this stream has come: what it brought of the file is not brought again by a retry.
  task.previous = task.stream;
  task.stream = null;
  if (number !== undefined) {
    const progress = task.current?.progress ?? NO_PROGRESS;
    settle(desk, task, { number, error: "its readers died again and again", progress, lines: 0, renewed: null });
  }
  const isOver = task.range !== null || filesOf(desk.book, task, 0).length === 0;
  setTask(desk, task, isOver ? "ERROR" : "READY");
}

// ---------------------------------------------------------------------------------------------- listing

export function listed(
  desk: Desk,
  name: TaskName,
  after: string | null,
  objects: Listed[],
  next: string | null,
  now: number,
): ReportAnswer {
  const { book, state } = desk;
  const task = held(desk, name);
  if (task === null || state.after !== after) return { kind: "stop" };
  planPage(book, state, objects, next);
  task.deadline = now + READER_SILENCE_MS;
  task.lost = 0;
  if (state.isListed) setTask(desk, task, "DONE");
  else if (state.isPaused) setTask(desk, task, "READY");
  else book.saveTask(task);
  follow(desk);
  return state.isListed || state.isPaused ? { kind: "stop" } : { kind: "go_on", files: [] };
}

/** Whoever was taken for dead stays so. */
export function beat(desk: Desk, name: TaskName, now: number): void {
  const task = held(desk, name);
  if (task !== null) desk.book.saveTask({ ...task, deadline: now + READER_SILENCE_MS });
}

export function listFailed(desk: Desk, name: TaskName, error: string): void {
  const task = held(desk, name);
  if (task === null) return;
  setTask(desk, task, "ERROR");
  decide(desk, "failed", error);
  follow(desk);
}

// ---------------------------------------------------------------------------------------------- reading

export function report(desk: Desk, given: TaskReport, now: number): ReportAnswer {
  const { book, state } = desk;
  const task = held(desk, given.name);
  if (task === null) return { kind: "stop" };
  task.deadline = now + READER_SILENCE_MS;
  if (given.settled.length > 0 || given.current?.progress.unit !== task.current?.progress.unit) task.lost = 0;
  for (const result of given.settled) settle(desk, task, result);
  const bad = given.settled.find((result) => result.error !== null);
  // A range keeps where it was left, for a retry; a whole file keeps it itself.
  task.current =
    bad !== undefined && task.range !== null ? { number: bad.number, progress: bad.progress } : given.current;
  keepParts(desk, task, given);
  if (given.end?.kind === "abort") decide(desk, given.end.isCanceled ? "canceled" : "failed", given.end.reason);
  else if (bad !== undefined && state.spec.on_error === "abort") decide(desk, "failed", null);
  book.saveTask(task);
  refuseTooMany(desk);
  const answer = conclude(desk, task, given, now);
  follow(desk);
  return answer;
}

function refuseTooMany(desk: Desk): void {
  const { rows } = liveCounts(desk);
  const { forgiven, spec } = desk.state;
  const counted = { read: rows.read - forgiven.read, rejected: rows.rejected - forgiven.rejected };
  const reason = intolerable(spec, counted);
  if (reason !== null) decide(desk, "failed", reason);
}

function conclude(desk: Desk, task: TaskRow, { end, wantsAfter }: TaskReport, now: number): ReportAnswer {
  const { state } = desk;
  // A range that was told is over, whatever its reader has still to say: told once more, it would count twice.
  const isTold = task.range !== null && task.lines !== null;
  if (end?.kind === "done" || isTold) {
    setTask(desk, task, task.failed > 0 ? "ERROR" : "DONE");
    return { kind: "stop" };
  }
  if (state.end !== null) {
    setTask(desk, task, "CANCELED");
    return { kind: "stop" };
  }
  if (end?.kind === "leaving") {
    if (end.why !== null) tell(state.warnings, end.why);
    state.notBefore = Math.max(state.notBefore, now + end.afterMs);
    setTask(desk, task, "READY");
    return { kind: "stop" };
  }
  if (state.isPaused) {
    setTask(desk, task, "READY");
    return { kind: "stop" };
  }
  return { kind: "go_on", files: wantsAfter === null ? [] : filesOf(desk.book, task, wantsAfter) };
}

function keepParts(desk: Desk, task: TaskRow, { part, sample }: TaskReport): void {
  const { book, state } = desk;
  if (part !== null) {
    book.run("INSERT OR IGNORE INTO rejects (task, key, n) VALUES (?, ?, ?)", task.id, part.key, part.count);
  }
  for (const text of sample.slice(0, Math.max(0, SAMPLE_ROWS - state.sampled))) {
    state.sampled += 1;
    book.run("INSERT INTO sample VALUES (?, ?)", state.sampled, text);
  }
}

/** A file, or a range of one, has been read to its end, or cannot be read on. */
function settle(desk: Desk, task: TaskRow, result: FileResult): void {
  const { book, state } = desk;
  const file = findFile(book, result.number);
  if (file === null || file.status !== FILE.pending) return;
  const { progress, error, renewed } = result;
  if (renewed !== null) {
    state.bytes.total += renewed.size - file.size;
    Object.assign(file, renewed);
  }
  file.read += progress.read;
  file.delivered += progress.delivered;
  file.rejected += progress.rejected;
  state.rows.read += progress.read;
  state.rows.delivered += progress.delivered;
  state.rows.rejected += progress.rejected;
  state.bytes.done += task.range === null ? file.size : task.range.to - task.range.from;
  if (error !== null) {
    task.failed += 1;
    file.error = error;
    tell(state.errors, `${urlOf(state, file.key)}: ${error}`);
  } else if (task.range === null) file.error = null;
  if (task.range === null) file.progress = error === null ? null : progress;
  else {
    task.lines = result.lines;
    file.parts -= 1;
  }
  if (file.parts === 0) {
    file.status = file.error === null ? FILE.done : FILE.failed;
    if (file.error === null) state.files.done += 1;
    else state.files.failed += 1;
  }
  saveFile(book, file);
}

/** The stream that a task had before is fenced off: what it brought is not brought again. */
export function fenced(desk: Desk, name: TaskName, place: { file: number; unit: number } | null): ReportAnswer {
  const { book } = desk;
  const task = held(desk, name);
  if (task === null) return { kind: "stop" };
  task.previous = null;
  book.saveTask(task);
  const file = place === null ? null : findFile(book, place.file);
  if (file !== null && place !== null && file.floor < place.unit) saveFile(book, { ...file, floor: place.unit });
  return { kind: "go_on", files: filesOf(book, task, 0) };
}

/** Whoever was taken for dead opens no batch: the import may have ended, and its rows would be brought again. */
export function batchOpened(desk: Desk, name: TaskName, round: number, batchId: string): NextBatch {
  const { batch_ids } = desk.state;
  if (held(desk, name) === null) return { kind: "stop", isKnown: batch_ids.includes(batchId) };
  if (batch_ids.length === round) batch_ids.push(batchId);
  const last = batch_ids.length - 1;
  return { kind: "use", round: last, batch_id: batch_ids[last] as string };
}
