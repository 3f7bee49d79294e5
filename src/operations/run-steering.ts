import { coordinatorOf } from "../coordinator/client.ts";
import type { CancelAnswer } from "../coordinator/protocol.ts";
import { CONNECTIONS, mapBounded } from "../domain/bounded.ts";
import { ApiError, assertNever, invalid, notFound } from "../domain/error.ts";
import { isTerminal, type RunStatus } from "../domain/run.ts";
import type { Env } from "../env.ts";
import { runStatuses } from "../store/run-statuses.ts";
import { findRun } from "../store/runs.ts";
import type { Caller } from "./authorize.ts";
import { findHome, findJobForRuns, type Home, homeOf } from "./ledger-home.ts";
import { loadRun, type ShownRun, showRun } from "./runs.ts";

/** What a bulk request did to one of its runs. */
export interface SteerResult {
  id: string;
  outcome: "canceled" | "replayed" | "refused";
  /** The run's status now; for a replay the new run's. Null where there is no such run. */
  status: RunStatus | null;
  /** The new run of a replay. */
  new_run_id: string | null;
  error: { code: string; message: string; details: [] } | null;
}

/** Ids in one bulk request. */
export const MAX_BULK_IDS = 500;

export const refused = (id: string, error: ApiError, status: RunStatus | null = null): SteerResult => ({
  id,
  outcome: "refused",
  status,
  new_run_id: null,
  error: { code: error.code, message: error.message, details: [] },
});

const alreadyEnded = (status: RunStatus): ApiError => new ApiError("conflict", `the run is already ${status}`);

/**
 * Cancels a run: `canceled` at once; a call in flight is aborted soon after.
 *
 * @throws ApiError `not_found`; `conflict` for a run that is terminal.
 */
export async function cancelRun(env: Env, caller: Caller, id: string, project?: string): Promise<ShownRun> {
  const home = await homeOf(env, caller, id, "run", project);
  const answer = await coordinatorOf(env, home.id).cancelRun(id);
  switch (answer.kind) {
    case "canceled":
      return showRun(env, await loadRun(env, home, id));
    case "terminal":
      throw alreadyEnded(answer.status);
    case "not_found": {
      const run = await findRun(env, home.project_id, id);
      throw run ? alreadyEnded(run.status) : notFound("run");
    }
    default:
      return assertNever(answer);
  }
}

/** Cancels up to 500 runs of any jobs, each by itself; results in the order asked for. */
export async function cancelRuns(env: Env, caller: Caller, ids: string[], project?: string): Promise<SteerResult[]> {
  const results = new Map<string, SteerResult>();
  await mapBounded(await byHome(env, caller, ids, project), CONNECTIONS, async ({ home, ids: theirs }) => {
    const answers = await coordinatorOf(env, home.id).cancelRuns(theirs);
    const unknown = theirs.filter((_, i) => answers[i]?.kind === "not_found");
    const copied = await runStatuses(env, home.project_id, unknown);
    theirs.forEach((id, i) => {
      const answer = answers[i];
      if (answer) results.set(id, cancelResult(id, answer, copied.get(id) ?? null));
    });
  });
  return ids.map((id) => results.get(id) ?? refused(id, notFound("run")));
}

function cancelResult(id: string, answer: CancelAnswer, copied: RunStatus | null): SteerResult {
  switch (answer.kind) {
    case "canceled":
      return { id, outcome: "canceled", status: "canceled", new_run_id: null, error: null };
    case "terminal":
      return refused(id, alreadyEnded(answer.status), answer.status);
    case "not_found":
      return copied === null ? refused(id, notFound("run")) : refused(id, alreadyEnded(copied), copied);
    default:
      return assertNever(answer);
  }
}

/** The ids that lead to jobs the caller may see, by job. */
export async function byHome(
  env: Env,
  caller: Caller,
  ids: readonly string[],
  project?: string,
): Promise<{ home: Home; ids: string[] }[]> {
  const groups = new Map<string, { home: Home; ids: string[] }>();
  for (const id of ids) {
    const home = await findHome(env, caller, id, project);
    if (!home) continue;
    const group = groups.get(home.id) ?? { home, ids: [] };
    group.ids.push(id);
    groups.set(home.id, group);
  }
  return [...groups.values()];
}

/**
 * Cancels every run of a job that has a status, at once for the scheduler, swept in the background.
 *
 * @returns the operation's id.
 * @throws ApiError `not_found`; `validation_failed` for a terminal status.
 */
export async function cancelWhere(
  env: Env,
  caller: Caller,
  jobId: string,
  status: RunStatus,
  project?: string,
): Promise<string> {
  if (isTerminal(status)) {
    throw invalid([{ path: "status", message: `${status} is terminal: such runs cannot be canceled` }]);
  }
  const job = await findJobForRuns(env, caller, jobId, project);
  const { operation_id } = await coordinatorOf(env, job.id).cancelWhere({ status });
  return operation_id;
}
