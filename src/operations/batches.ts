import { coordinatorOf } from "../coordinator/client.ts";
import type { BatchAnswer, BatchPatch, CoordinatorApi } from "../coordinator/protocol.ts";
import type { BatchRecord } from "../domain/batch.ts";
import { ApiError, assertNever, notFound } from "../domain/error.ts";
import type { Env } from "../env.ts";
import { type BatchFilter, findBatch, listBatches } from "../store/batches.ts";
import type { Page } from "../store/scan.ts";
import type { Caller } from "./authorize.ts";
import { type Home, homeOf } from "./ledger-home.ts";

export type { BatchFilter } from "../store/batches.ts";

/** What PATCH may change. `null` takes a limit away. */
export type BatchChange = Omit<BatchPatch, "if_vers">;

export const WHAT = "batch operation";

/**
 * A batch operation, never behind: its coordinator knows it until the copy does.
 *
 * @throws ApiError `not_found`.
 */
export async function getBatch(env: Env, caller: Caller, id: string, project?: string): Promise<BatchRecord> {
  return loadBatch(env, await homeOf(env, caller, id, WHAT, project), id);
}

export async function loadBatch(env: Env, home: Home, id: string): Promise<BatchRecord> {
  const batch = (await coordinatorOf(env, home.id).getBatch(id)) ?? (await findBatch(env, home.project_id, id));
  if (!batch) throw notFound(WHAT);
  return batch;
}

/** A page of batch operations, newest first, as the copy knows them. */
export const pageOfBatches = (
  env: Env,
  filter: BatchFilter,
  after: string | null,
  limit: number,
): Promise<Page<BatchRecord>> => listBatches(env, filter, after, limit);

/**
 * Changes a batch that is not finished.
 *
 * @param ifVers the states the caller allows for, or null for any.
 * @throws ApiError `not_found`; `conflict` for a finished batch; `precondition_failed`.
 */
export async function patchBatch(
  env: Env,
  caller: Caller,
  id: string,
  change: BatchChange,
  ifVers: number[] | null,
  project?: string,
): Promise<BatchRecord> {
  const home = await homeOf(env, caller, id, WHAT, project);
  const patch: BatchPatch = ifVers === null ? change : { ...change, if_vers: ifVers };
  const answer = await coordinatorOf(env, home.id).patchBatch(id, patch);
  switch (answer.kind) {
    case "batch":
      return answer.batch;
    case "precondition_failed":
      throw changedSince();
    case "finished":
    case "not_found":
      return refuseFinished(await loadBatch(env, home, id), ifVers);
    default:
      return assertNever(answer);
  }
}

/**
 * Cancels a batch: its waiting runs at once, while its executing ones finish and are counted.
 *
 * @throws ApiError `not_found`; `conflict` for a finished batch.
 */
export const cancelBatch = (env: Env, caller: Caller, id: string, project?: string): Promise<BatchRecord> =>
  steer(env, caller, id, project, (coordinator) => coordinator.cancelBatch(id));

/**
 * Pauses a batch: nothing more of it starts, what executes goes on.
 *
 * @throws ApiError `not_found`; `conflict` for a finished batch.
 */
export const pauseBatch = (env: Env, caller: Caller, id: string, project?: string): Promise<BatchRecord> =>
  steer(env, caller, id, project, (coordinator) => coordinator.pauseBatch(id, true));

/**
 * Lets a paused batch go on.
 *
 * @throws ApiError `not_found`; `conflict` for a finished batch.
 */
export const resumeBatch = (env: Env, caller: Caller, id: string, project?: string): Promise<BatchRecord> =>
  steer(env, caller, id, project, (coordinator) => coordinator.pauseBatch(id, false));

async function steer(
  env: Env,
  caller: Caller,
  id: string,
  project: string | undefined,
  ask: (coordinator: CoordinatorApi) => Promise<BatchAnswer>,
): Promise<BatchRecord> {
  const home = await homeOf(env, caller, id, WHAT, project);
  const answer = await ask(coordinatorOf(env, home.id));
  switch (answer.kind) {
    case "batch":
      return answer.batch;
    case "finished":
    case "not_found":
      return refuseFinished(await loadBatch(env, home, id), null);
    default:
      return assertNever(answer);
  }
}

const changedSince = (): ApiError => new ApiError("precondition_failed", "If-Match: the batch operation has changed");

function refuseFinished(batch: BatchRecord, ifVers: number[] | null): never {
  if (ifVers?.includes(batch.ver) === false) throw changedSince();
  throw new ApiError("conflict", `the batch operation is already finished: ${batch.status}`);
}
