import { type ImportRecord, isEnded } from "../domain/import.ts";
import type { Env } from "../env.ts";
import { importOf } from "../imports/client.ts";
import type { Caller } from "./authorize.ts";
import { getImport } from "./imports.ts";

/** `state`: the first one, and wherever `status` changed; `progress`: other changes. */
export interface ImportEvent {
  event: "state" | "progress";
  record: ImportRecord;
}

/** Looks are this far apart: at most four events a second… */
const LOOK_MS = 250;
/** …and, where nothing happens, no more often than this. */
const IDLE_LOOK_MS = 1_000;
const IDLE_AFTER = 20;

const hasEnded = (record: ImportRecord): boolean => isEnded(record.status) && record.finished_at !== null;

/**
 * Watches an import: its state at once, every change, and its end last. Nothing at all where `seen` is the end.
 *
 * @param seen the version that the caller has seen last.
 * @throws ApiError `not_found`, before the first item.
 */
export async function watchImport(
  env: Env,
  caller: Caller,
  id: string,
  seen: number | null,
  signal: AbortSignal,
  project?: string,
): Promise<AsyncIterable<ImportEvent>> {
  const first = await getImport(env, caller, id, project);
  return changes(env, id, first, seen, signal);
}

async function* changes(
  env: Env,
  id: string,
  first: ImportRecord,
  seen: number | null,
  signal: AbortSignal,
): AsyncGenerator<ImportEvent, undefined> {
  if (hasEnded(first) && first.ver === seen) return undefined;
  yield { event: "state", record: first };
  let told = first;
  let told_as = shown(first);
  for (let quiet = 0; !hasEnded(told) && !signal.aborted; ) {
    await new Promise((resolve) => setTimeout(resolve, quiet > IDLE_AFTER ? IDLE_LOOK_MS : LOOK_MS));
    const record = await importOf(env, id).view();
    // It was deleted meanwhile.
    if (record === null) return undefined;
    const text = shown(record);
    quiet = text === told_as ? quiet + 1 : 0;
    if (quiet > 0) continue;
    yield { event: record.status === told.status && !hasEnded(record) ? "progress" : "state", record };
    told = record;
    told_as = text;
  }
  return undefined;
}

/** What a watcher would see of it. */
const shown = ({ status, percent_complete, files, rows, bytes, tasks, errors, finished_at }: ImportRecord): string =>
  JSON.stringify([status, percent_complete, files, rows, bytes, tasks, errors.length, finished_at]);
