import type { Env } from "../env.ts";
import { WAKE } from "./protocol.ts";

/** States in which an instance does nothing any more. */
const DEAD = ["complete", "errored", "terminated"];

/**
 * Makes an instance look at its workflow run, or creates it where there is none.
 *
 * @throws what the platform throws, for instance when too many are created at once.
 */
export async function wakeInstance(env: Env, workflowRunId: string): Promise<void> {
  const instance = await findInstance(env, workflowRunId);
  if (instance === null) await createInstance(env, workflowRunId);
  else await instance.sendEvent({ type: WAKE, payload: {} });
}

/** The same, for one that should have moved and did not: where it has died it starts anew; what it did stands in D1. */
export async function reviveInstance(env: Env, workflowRunId: string): Promise<void> {
  const instance = await findInstance(env, workflowRunId);
  if (instance !== null && DEAD.includes((await instance.status()).status)) await instance.restart();
  else await wakeInstance(env, workflowRunId);
}

async function findInstance(env: Env, id: string): Promise<WorkflowInstance | null> {
  try {
    return await env.WORKFLOW_RUNS.get(id);
  } catch (error) {
    if (/not.found/i.test(String(error))) return null;
    throw error;
  }
}

/** One that is there already is as good. */
export async function createInstance(env: Env, id: string): Promise<void> {
  try {
    await env.WORKFLOW_RUNS.create({ id, params: {} });
  } catch (error) {
    if (!/already.exists/i.test(String(error))) throw error;
  }
}
