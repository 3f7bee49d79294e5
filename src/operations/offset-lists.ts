import type { BatchRecord } from "../domain/batch.ts";
import { ApiError } from "../domain/error.ts";
import type { RunRecord } from "../domain/run.ts";
import type { Env } from "../env.ts";
import { type BatchFilter, batchesAt } from "../store/batches.ts";
import type { OffsetPage } from "../store/offset-page.ts";
import { type RunFilter, runsAt } from "../store/runs.ts";
import { copyHasCaughtUp, projectHasCaughtUp } from "./copy.ts";

export { CURRENT } from "../store/runs.ts";

/**
 * Lists by offset, for clients that know no cursors. They wait until the copy has what the caller can know of: a run that
 * was acknowledged is in the list that is asked for next.
 */

/** Rows behind the newest one that can be reached by an offset: each page walks the keys before it. */
export const MAX_OFFSET = 100_000;

const found = <R>(page: OffsetPage<R> | null): OffsetPage<R> => {
  if (page === null) throw new ApiError("bad_request", "too many rows to look at: narrow the list by its filters");
  return page;
};

const caughtUp = (env: Env, { project_id, job_id }: { project_id: string; job_id?: string }, now: number) =>
  job_id === undefined ? projectHasCaughtUp(env, project_id, now) : copyHasCaughtUp(env, job_id);

/** @throws ApiError `bad_request` where too many rows had to be looked at. */
export async function pageOfRunsAt(
  env: Env,
  filter: Omit<RunFilter, "batch_id">,
  offset: number,
  limit: number,
  now: number,
): Promise<OffsetPage<RunRecord>> {
  await caughtUp(env, filter, now);
  return found(await runsAt(env, filter, offset, limit));
}

/** @throws ApiError `bad_request` where too many rows had to be looked at. */
export async function pageOfBatchesAt(
  env: Env,
  filter: BatchFilter,
  offset: number,
  limit: number,
  now: number,
): Promise<OffsetPage<BatchRecord>> {
  await caughtUp(env, filter, now);
  return found(await batchesAt(env, filter, offset, limit));
}
