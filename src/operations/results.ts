import type { BatchRecord } from "../domain/batch.ts";
import { ApiError } from "../domain/error.ts";
import { resultLine } from "../domain/result-line.ts";
import { isTerminal, RUN_STATUSES, type RunStatus } from "../domain/run.ts";
import type { Env } from "../env.ts";
import { findArchive } from "../store/batch-archives.ts";
import { type EndedRun, pageOfBatchRuns } from "../store/batch-runs.ts";
import { readArchive } from "./archive-reading.ts";
import type { Caller } from "./authorize.ts";
import { getBatch } from "./batches.ts";
import { copyHasCaughtUp } from "./copy.ts";

export const TERMINAL = RUN_STATUSES.filter((status) => isTerminal(status));

/** What a page holds at most, about, and how many rows it begins with. */
const PAGE_CHARS = 2_000_000;
const FIRST_ROWS = 200;
const MAX_ROWS = 5_000;
/** Bodies of up to 1 MiB that are held at once; six connections may wait at once. */
const BODIES_AT_ONCE = 6;

/** One run's line, with the index that it stands at. */
export interface IndexedLine {
  index: number;
  line: string;
}

export interface ResultsQuery {
  /** Only these; empty: every terminal status. */
  statuses?: readonly RunStatus[];
  /** Only lines beyond this index; null from the start. */
  after: number | null;
  project?: string;
}

/**
 * The results of a batch's runs that have ended, in index order, however many: they are read as they are taken. Of a
 * finished batch they are all there, also when its runs are gone.
 *
 * @throws ApiError `not_found`; `unavailable` where the copy of a finished batch is behind.
 */
export async function batchResults(
  env: Env,
  caller: Caller,
  id: string,
  { statuses, after, project }: ResultsQuery,
): Promise<AsyncGenerator<IndexedLine, void>> {
  const batch = await getBatch(env, caller, id, project);
  const isCopied = await copyHasCaughtUp(env, batch.job_id, batch.finished_at ?? undefined);
  if (!isCopied && batch.finished_at !== null) {
    throw new ApiError("unavailable", "the results are still being recorded; try again", { retryAfterSecs: 1 });
  }
  return readResults(env, batch, statuses?.length ? statuses : TERMINAL, after);
}

function readResults(
  env: Env,
  batch: BatchRecord,
  statuses: readonly RunStatus[],
  from: number | null,
): AsyncGenerator<IndexedLine, void> {
  return endedLines(env, batch, statuses, from, async (after) => {
    // Asked after a page was read: runs only go once the archive is whole, so a page without one is complete.
    const archive = batch.finished_at === null ? null : await findArchive(env, batch.id);
    return archive === null || archive.state === "writing" ? null : readArchive(env, archive, statuses, after);
  });
}

/**
 * A batch's runs of some statuses as lines, from beyond an index on, as long as the copy has them.
 *
 * @param instead asked for every page before it is used: other lines from `after` on, to the end, or null.
 */
export async function* endedLines(
  env: Env,
  batch: BatchRecord,
  statuses: readonly RunStatus[],
  from: number | null,
  instead: (after: number | null) => Promise<AsyncGenerator<IndexedLine, void> | null>,
): AsyncGenerator<IndexedLine, void> {
  let after = from;
  for (let rows = FIRST_ROWS; ; ) {
    const page = await pageOfBatchRuns(env, batch, statuses, after, rows);
    const others = await instead(after);
    if (others !== null) {
      yield* others;
      return;
    }
    let chars = 0;
    for await (const one of linesOf(env, page.rows)) {
      chars += one.line.length;
      yield one;
    }
    if (page.next === null) return;
    after = page.next;
    const mean = page.rows.length === 0 ? 0 : chars / page.rows.length;
    rows = mean === 0 ? rows : Math.max(BODIES_AT_ONCE, Math.min(MAX_ROWS, Math.floor(PAGE_CHARS / mean)));
  }
}

/** Lines of runs, with the results that R2 keeps, some of them fetched side by side. */
async function* linesOf(env: Env, runs: readonly EndedRun[]): AsyncGenerator<IndexedLine> {
  for (let i = 0; i < runs.length; ) {
    const group = runs.slice(i, groupEnd(runs, i));
    const results = await Promise.all(group.map((run) => resultOf(env, run)));
    for (const [k, run] of group.entries()) {
      yield { index: run.index, line: resultLine({ ...run, result: results[k] ?? null }) };
    }
    i += group.length;
  }
}

/** As many runs as may hold so many bodies. */
function groupEnd(runs: readonly EndedRun[], from: number): number {
  let bodies = 0;
  for (let i = from; i < runs.length; i++) {
    if (runs[i]?.result_ref && ++bodies > BODIES_AT_ONCE) return i;
  }
  return runs.length;
}

async function resultOf(env: Env, run: EndedRun): Promise<string | null> {
  if (run.result !== null || run.result_ref === null) return run.result;
  return (await (await env.BLOBS.get(run.result_ref))?.text()) ?? null;
}
