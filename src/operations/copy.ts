import { coordinatorOf } from "../coordinator/client.ts";
import { CONNECTIONS } from "../domain/bounded.ts";
import type { Env } from "../env.ts";
import { listBusyJobs } from "../store/busy-lanes.ts";

const POLL_MS = 50;
/** A list waits so long for the copy, for however many jobs it asks. */
const PATIENCE_MS = 3_000;

/**
 * Waits until the copy in D1 has every change that a job's coordinator has made up to now: what is read from the copy must
 * not leave out what the caller has been told already.
 *
 * @param until Unix milliseconds; only what changed up to then matters.
 * @returns false where the copy is seconds behind.
 */
export function copyHasCaughtUp(env: Env, jobId: string, until = Number.POSITIVE_INFINITY): Promise<boolean> {
  return hasCaughtUpBy(env, jobId, until, Date.now() + PATIENCE_MS);
}

async function hasCaughtUpBy(env: Env, jobId: string, until: number, deadline: number): Promise<boolean> {
  const first = await hasSent(env, jobId, until, deadline);
  // A run that has ended meanwhile, before it was ever copied, leaves as of its end: by then it stood in nobody's way.
  const last = first === "after a while" ? await hasSent(env, jobId, until, deadline) : first;
  return last !== "not yet";
}

/** Waits until everything is sent that was changed up to now: whether it was, and whether that took a while. */
async function hasSent(
  env: Env,
  jobId: string,
  until: number,
  deadline: number,
): Promise<"already" | "after a while" | "not yet"> {
  const coordinator = coordinatorOf(env, jobId);
  let behind = await coordinator.behindSince();
  const mark = Math.min(behind.now, until);
  let hasWaited = false;
  while (behind.since !== null && behind.since <= mark) {
    if (Date.now() >= deadline) return "not yet";
    hasWaited = true;
    await new Promise((resume) => setTimeout(resume, POLL_MS));
    behind = await coordinator.behindSince();
  }
  return hasWaited ? "after a while" : "already";
}

/** Jobs of a project that this isolate has changed something of lately; they may not be known as busy yet. */
const CHANGED_MS = 10_000;
const MAX_CHANGED = 2_000;
const changed = new Map<string, { projectId: string; at: number }>();

/** Says that something was asked of a job's coordinator which lists are to show. */
export function noteChange(job: { id: string; project_id: string }, now: number): void {
  changed.delete(job.id);
  changed.set(job.id, { projectId: job.project_id, at: now });
  for (const [id, { at }] of changed) {
    if (at >= now - CHANGED_MS && changed.size <= MAX_CHANGED) break;
    changed.delete(id);
  }
}

/** Busy jobs of a project that are asked; more of them at once would make a list dear. */
const MAX_ASKED = 60;

/**
 * The same for all jobs of a project that are at work: idle ones have nothing to tell, and are not woken. However many are
 * behind, they are waited for together.
 */
export async function projectHasCaughtUp(env: Env, projectId: string, now: number): Promise<void> {
  const lately = [...changed].filter(([, c]) => c.projectId === projectId && c.at >= now - CHANGED_MS);
  const busy = await listBusyJobs(env.DB, projectId, MAX_ASKED);
  const ids = [...new Set([...lately.map(([id]) => id).reverse(), ...busy])].slice(0, MAX_ASKED).values();
  const deadline = Date.now() + PATIENCE_MS;
  const askInTurn = async (): Promise<void> => {
    for (const id of ids) {
      if (Date.now() >= deadline) return;
      await hasCaughtUpBy(env, id, Number.POSITIVE_INFINITY, deadline);
    }
  };
  await Promise.all(Array.from({ length: CONNECTIONS }, askInTurn));
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
