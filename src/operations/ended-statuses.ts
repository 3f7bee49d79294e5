import { coordinatorOf } from "../coordinator/client.ts";
import type { Job } from "../domain/job.ts";
import { isTerminal, type RunStatus } from "../domain/run.ts";
import type { Env } from "../env.ts";
import { runStatuses } from "../store/run-statuses.ts";
import { copyHasCaughtUp } from "./copy.ts";

/** Runs that the coordinator is asked for one by one; of more, the copy is waited for. */
const MAX_ASKED = 6;

/**
 * The statuses of runs that a job's ledger has forgotten: they have ended, and those that ended a moment ago are not in the
 * copy yet, or not as ended. Ids of runs that are no longer kept are left out.
 */
export async function endedStatuses(env: Env, job: Job, ids: readonly string[]): Promise<Map<string, RunStatus>> {
  const copied = await runStatuses(env, job.project_id, ids);
  const found = new Map([...copied].filter(([, status]) => isTerminal(status)));
  const missing = ids.filter((id) => !found.has(id));
  if (missing.length === 0) return found;
  if (missing.length > MAX_ASKED) await copyHasCaughtUp(env, job.id);
  else {
    const runs = await Promise.all(missing.map((id) => coordinatorOf(env, job.id).getRun(id)));
    for (const run of runs) if (run !== null) found.set(run.id, run.status);
    if (missing.every((id) => found.has(id))) return found;
  }
  // It may have arrived in between.
  return new Map([...(await runStatuses(env, job.project_id, missing)), ...found]);
}
