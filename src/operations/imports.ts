import { ApiError, assertNever, notFound } from "../domain/error.ts";
import { isUuid } from "../domain/id.ts";
import { type ImportFile, type ImportRecord, isEnded, type Reject } from "../domain/import.ts";
import type { Env } from "../env.ts";
import { importOf } from "../imports/client.ts";
import { finishImport } from "../imports/finish-task.ts";
import type { RejectPart, SteerAnswer } from "../imports/protocol.ts";
import * as store from "../store/imports.ts";
import { type Caller, projectScope } from "./authorize.ts";
import { importPorts, openBatch, rejectsPrefix } from "./import-ports.ts";

/** Reading and steering imports. Their own objects are never behind; lists read the copy. */

export type ImportFilter = store.ImportFilter;

const WHAT = "import";
const PARTS_PER_PAGE = 200;
/** What is being read when an import is deleted stops within this time. */
const DELETE_TRIES = 100;
const DELETE_PAUSE_MS = 50;

/** The copy's row: whose it is. */
async function rowOf(env: Env, caller: Caller, id: string, named?: string): Promise<ImportRecord> {
  const projectId = projectScope(caller, named);
  const record = isUuid(id) ? await store.selectImport(env.DB, id) : null;
  if (!record || (projectId !== null && record.spec.project_id !== projectId)) throw notFound(WHAT);
  return record;
}

/** @throws ApiError `not_found`. */
export async function getImport(env: Env, caller: Caller, id: string, named?: string): Promise<ImportRecord> {
  const row = await rowOf(env, caller, id, named);
  return (await importOf(env, id).view()) ?? row;
}

/** Newest first; one more than the limit where there is another page. */
export const listImports = (
  env: Env,
  filter: ImportFilter,
  page: { limit: number; before: string | null },
): Promise<ImportRecord[]> => store.listImports(env.DB, filter, page);

/**
 * A page of an import's files in the order of the listing.
 *
 * @param after the number to go on after; null from the start.
 */
export async function pageOfFiles(
  env: Env,
  caller: Caller,
  id: string,
  after: number | null,
  limit: number,
  named?: string,
): Promise<{ rows: ImportFile[]; next: number | null }> {
  await rowOf(env, caller, id, named);
  const files = await importOf(env, id).files(after ?? 0, limit + 1);
  const rows = files.slice(0, limit);
  return { rows, next: files.length > limit ? (rows[rows.length - 1]?.number ?? null) : null };
}

/** The rejects so far as NDJSON, part by part as they are asked for. */
export async function rejectsOf(
  env: Env,
  caller: Caller,
  id: string,
  named?: string,
): Promise<AsyncGenerator<string, void>> {
  await rowOf(env, caller, id, named);
  return rejectTexts(env, id);
}

async function* rejectTexts(env: Env, id: string): AsyncGenerator<string, void> {
  for (let after = 0; ; ) {
    const parts = await importOf(env, id).rejectParts(after, PARTS_PER_PAGE);
    for (const part of parts) {
      const stored = await env.BLOBS.get(part.key);
      if (stored !== null) yield numbered(await stored.text(), part);
      after = part.number;
    }
    if (parts.length < PARTS_PER_PAGE) return;
  }
}

/** Lines of a range are counted from the range's start until all before it have been read. */
function numbered(text: string, { firstLine }: RejectPart): string {
  if (firstLine === 0) return text;
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => {
      const reject = JSON.parse(line) as Reject;
      const isKnown = firstLine !== null && reject.line !== null;
      return `${JSON.stringify({ ...reject, line: isKnown ? (reject.line ?? 0) + firstLine : null })}\n`;
    })
    .join("");
}

// ---------------------------------------------------------------------------------------------- steering

export type Steering = "pause" | "resume" | "cancel";

/**
 * One that is canceled repeats no more; where it only waited for its cron that is all there is to do.
 *
 * @throws ApiError `not_found`; `conflict` once it has ended.
 */
export async function steerImport(
  env: Env,
  caller: Caller,
  id: string,
  how: Steering,
  named?: string,
): Promise<ImportRecord> {
  await rowOf(env, caller, id, named);
  const wouldRepeat = how === "cancel" && (await store.stopRepeating(env.DB, id));
  const answer = await importOf(env, id)[how]();
  return answer.kind === "refused" && wouldRepeat ? answer.record : settled(env, answer);
}

/**
 * Does again what failed, in a further batch of its own.
 *
 * @throws ApiError `not_found`; `conflict` while it runs, after a cancel, and where nothing failed.
 */
export async function retryImport(env: Env, caller: Caller, id: string, named?: string): Promise<ImportRecord> {
  await rowOf(env, caller, id, named);
  const own = importOf(env, id);
  const record = await own.view();
  if (record === null) throw notFound(WHAT);
  const isRetryable = record.status === "failed" || record.status === "done_with_errors";
  const hasFailed = record.files.failed > 0 || record.status === "failed";
  const batch =
    isRetryable && hasFailed && record.finished_at !== null && !record.spec.settings.dry_run
      ? await openBatch(env, record.spec, record.batch_ids.length)
      : null;
  return settled(env, await own.retry(batch?.batch_id ?? null));
}

async function settled(env: Env, answer: SteerAnswer): Promise<ImportRecord> {
  switch (answer.kind) {
    case "steered":
      await store.copyImport(env.DB, answer.record);
      return answer.record;
    case "refused":
      throw new ApiError("conflict", answer.why);
    case "not_found":
      throw notFound(WHAT);
    default:
      return assertNever(answer);
  }
}

/**
 * Forgets an import, its files and rejects; one that runs is canceled first. What it has handed over stays with its batch
 * operation, and what was read to its end is remembered as imported.
 */
export async function deleteImport(env: Env, caller: Caller, id: string, named?: string): Promise<void> {
  const { spec } = await rowOf(env, caller, id, named);
  const own = importOf(env, id);
  await own.cancel();
  await ended(env, id);
  await store.deleteImport(env.DB, id);
  await own.erase();
  await deleteBlobs(env, rejectsPrefix(spec));
}

/** Waits until what is being read has stopped, and ends the import properly. */
async function ended(env: Env, id: string): Promise<void> {
  const own = importOf(env, id);
  for (let attempt = 0; attempt < DELETE_TRIES; attempt++) {
    const record = await own.view();
    if (record === null || (isEnded(record.status) && record.finished_at !== null)) return;
    const work = await own.lease();
    if (work.kind === "finish") await finishImport(work, own, importPorts(env));
    else await new Promise((resolve) => setTimeout(resolve, DELETE_PAUSE_MS));
  }
}

async function deleteBlobs(env: Env, prefix: string): Promise<void> {
  for (;;) {
    const { objects, truncated } = await env.BLOBS.list({ prefix });
    if (objects.length > 0) await env.BLOBS.delete(objects.map((object) => object.key));
    if (!truncated) return;
  }
}
