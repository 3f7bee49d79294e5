import { coordinatorOf } from "../coordinator/client.ts";
import type { Env } from "../env.ts";

const POLL_MS = 50;
const POLLS = 60;

/**
 * Waits until the copy in D1 has every change that a job's coordinator has made up to now: what is read from the copy must
 * not leave out what the caller has been told already.
 *
 * @param until Unix milliseconds; only what changed up to then matters.
 * @returns false where the copy is seconds behind.
 */
export async function copyHasCaughtUp(env: Env, jobId: string, until = Number.POSITIVE_INFINITY): Promise<boolean> {
  const coordinator = coordinatorOf(env, jobId);
  let behind = await coordinator.behindSince();
  const mark = Math.min(behind.now, until);
  for (let poll = 0; behind.since !== null && behind.since <= mark; poll++) {
    if (poll === POLLS) return false;
    await new Promise((resume) => setTimeout(resume, POLL_MS));
    behind = await coordinator.behindSince();
  }
  return true;
}
