import { resultHead } from "../domain/result-line.ts";
import type { Env } from "../env.ts";
import { type BatchArchive, findArchive } from "../store/batch-archives.ts";
import {
  type BatchItem,
  cutItems,
  type ItemOutcomeKind,
  itemsWithoutRun,
  listBatchItems,
} from "../store/batch-items.ts";
import type { Page } from "../store/scan.ts";
import { readArchive } from "./archive-reading.ts";
import type { Caller } from "./authorize.ts";
import { loadBatch, WHAT } from "./batches.ts";
import { copyHasCaughtUp } from "./copy.ts";
import { homeOf } from "./ledger-home.ts";
import { TERMINAL } from "./results.ts";

export type { BatchItem, ItemOutcomeKind } from "../store/batch-items.ts";

/** By then the copy has an item, unless it is behind as a whole: pages of an older batch need not wait for newer changes. */
const COPIED_WITHIN_MS = 60_000;

/**
 * A page of a batch's items in index order: all of them, also when its runs are gone.
 *
 * @param after the index to go on after; null from the start.
 * @throws ApiError `not_found`.
 */
export async function pageOfItems(
  env: Env,
  caller: Caller,
  id: string,
  outcome: ItemOutcomeKind | null,
  after: number | null,
  limit: number,
  project?: string,
): Promise<Page<BatchItem, number>> {
  const home = await homeOf(env, caller, id, WHAT, project);
  const { accepted_at, finished_at } = await loadBatch(env, home, id);
  // Where the copy stays behind, what it has is shown all the same.
  await copyHasCaughtUp(env, home.id, accepted_at === null ? undefined : accepted_at + COPIED_WITHIN_MS);
  const batch = { id, project_id: home.project_id };
  const page = await listBatchItems(env, batch, outcome, after, limit);
  if (finished_at === null || outcome === "duplicate" || outcome === "rejected") return page;
  // Asked after the page was read: runs only go once the archive is whole, so a page without one is complete.
  const archive = await findArchive(env, id);
  if (archive === null || archive.state === "writing") return page;
  const created = await archivedItems(env, archive, after, limit + 1);
  const others = outcome === null ? await itemsWithoutRun(env, batch, after, limit + 1) : [];
  return cutItems(
    [...created, ...others].sort((a, b) => a.index - b.index),
    limit,
  );
}

/** Items whose runs an archive has, from beyond an index. */
async function archivedItems(
  env: Env,
  archive: BatchArchive,
  after: number | null,
  count: number,
): Promise<BatchItem[]> {
  const items: BatchItem[] = [];
  for await (const { line } of readArchive(env, archive, TERMINAL, after)) {
    items.push({ ...resultHead(line), outcome: "created", error: null });
    if (items.length === count) break;
  }
  return items;
}
