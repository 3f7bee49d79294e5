import { effectiveSettings } from "../domain/import.ts";
import { type Book, type ImportState, newTask } from "./book.ts";
import { insertFiles, type NewFile } from "./files.ts";
import type { Listed } from "./protocol.ts";

/** An object is cut into at most so many ranges. */
export const MAX_RANGES = 1000;
/** A task of whole objects that are not read has no bytes to be bounded by. */
const MAX_UNREAD_FILES = 10_000;

/**
 * Plans what a page of the listing has brought: small objects are gathered in tasks of `input_aggregation` bytes, bigger
 * ones of plain NDJSON are cut into ranges.
 *
 * @param next the key to list on behind; null at the end.
 */
export function planPage(book: Book, state: ImportState, objects: Listed[], next: string | null): void {
  const settings = effectiveSettings(state.spec.settings);
  const room = settings.max_files === 0 ? objects.length : settings.max_files - state.files.total;
  const files = objects.slice(0, Math.max(0, room)).map((object) => planFile(book, state, object));
  insertFiles(book, files);
  const isFull = settings.max_files > 0 && state.files.total >= settings.max_files;
  state.after = next;
  state.isListed = next === null || isFull;
  const isIdle = state.index.READY + state.index.RUNNING === 0;
  if (state.open !== null && (state.isListed || isIdle)) closeTask(book, state);
}

function planFile(book: Book, state: ImportState, object: Listed): NewFile {
  const number = state.nextFile++;
  state.files.total += 1;
  if (object.skip !== null) {
    state.files.skipped += 1;
    return { ...object, number, task: null, parts: 0 };
  }
  state.bytes.total += object.size;
  const { input_aggregation: size } = effectiveSettings(state.spec.settings);
  if (object.isSplittable && object.size > size) {
    return { ...object, number, task: null, parts: planRanges(book, state, number, object.size, size) };
  }
  const isUnread = state.spec.delivery === "file";
  const { open } = state;
  const isFull =
    open !== null && (isUnread ? open.files >= MAX_UNREAD_FILES : open.bytes > 0 && open.bytes + object.size > size);
  if (isFull) closeTask(book, state);
  state.open ??= { task: state.nextTask++, first: number, last: number, bytes: 0, files: 0 };
  state.open.last = number;
  state.open.bytes += object.size;
  state.open.files += 1;
  return { ...object, number, task: state.open.task, parts: 0 };
}

function planRanges(book: Book, state: ImportState, number: number, bytes: number, wanted: number): number {
  const count = Math.min(MAX_RANGES, Math.ceil(bytes / wanted));
  const size = Math.ceil(bytes / count);
  let ranges = 0;
  for (let from = 0; from < bytes; from += size, ranges++) {
    const task = newTask(state.nextTask++, "index", number, number);
    book.saveTask({ ...task, range: { from, to: Math.min(from + size, bytes) } });
    state.index.READY += 1;
  }
  return ranges;
}

/** No more files for the open task: it may be read. */
function closeTask(book: Book, state: ImportState): void {
  const { open } = state;
  if (open === null) return;
  book.saveTask(newTask(open.task, "index", open.first, open.last));
  state.index.READY += 1;
  state.open = null;
}
