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

/** The copy is at most this far behind while D1 takes what it is sent. */
const USUALLY_BEHIND_MS = 1_000;

/**
 * Of when the copy in D1 is, asked before it is read: everything that a job's coordinator changed before then is in it.
 * Over several jobs it is what the copy promises, for asking each of them would cost a call a job.
 */
export async function copyAsOf(env: Env, jobId: string | null, now: number): Promise<number> {
  if (jobId === null) return now - USUALLY_BEHIND_MS;
  const { since } = await coordinatorOf(env, jobId).behindSince();
  return since === null ? now : Math.min(now, since);
}
