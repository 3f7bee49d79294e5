import type { Env } from "../env.ts";
import { wakeInstance } from "./client.ts";
import { type WorkflowRing, workflowRingSchema } from "./protocol.ts";

/** Instances woken at once: six connections may be open in one invocation. */
const PARALLEL = 6;
/** Too many are created at once, or the platform stumbled. */
const RETRY_SECS = 5;

/** The consumer of the queue "workflows". A ring that is lost all the same is made good by the sweeper. */
export async function handleWorkflowRings(batch: MessageBatch<unknown>, env: Env): Promise<void> {
  const rings = new Map<string, Message<unknown>[]>();
  for (const message of batch.messages) {
    const ring = workflowRingSchema.safeParse(message.body);
    if (!ring.success) {
      console.error(JSON.stringify({ event: "workflow_ring_not_understood" }));
      message.ack();
    } else rings.set(ring.data.workflow_run_id, [...(rings.get(ring.data.workflow_run_id) ?? []), message]);
  }
  const all = [...rings];
  for (let i = 0; i < all.length; i += PARALLEL) {
    await Promise.all(all.slice(i, i + PARALLEL).map(([id, messages]) => wake(env, id, messages)));
  }
}

async function wake(env: Env, id: WorkflowRing["workflow_run_id"], messages: Message<unknown>[]): Promise<void> {
  try {
    await wakeInstance(env, id);
    for (const message of messages) message.ack();
  } catch (error) {
    console.error(JSON.stringify({ event: "workflow_run_not_woken", workflow_run_id: id, error: String(error) }));
    for (const message of messages) message.retry({ delaySeconds: RETRY_SECS });
  }
}
