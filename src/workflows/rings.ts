import { CONNECTIONS, mapBounded } from "../domain/bounded.ts";
import type { Env } from "../env.ts";
import { logError } from "../log.ts";
import { createInstance, wakeInstance } from "./client.ts";
import { type WorkflowRing, workflowRingSchema } from "./protocol.ts";

/** Too many were created at once, or the platform stumbled. */
const RETRY_SECS = 5;

/** The consumer of the queue "workflows". A ring that is lost all the same is made good by the sweeper. */
export async function handleWorkflowRings(batch: MessageBatch<unknown>, env: Env): Promise<void> {
  const rings = new Map<string, { ring: WorkflowRing; messages: Message<unknown>[] }>();
  for (const message of batch.messages) {
    const read = workflowRingSchema.safeParse(message.body);
    if (!read.success) {
      logError("workflow_ring_invalid", { message_id: message.id }, read.error.message);
      message.ack();
      continue;
    }
    const ring = read.data;
    const known = rings.get(ring.workflow_run_id);
    if (known) known.messages.push(message);
    else rings.set(ring.workflow_run_id, { ring, messages: [message] });
  }
  await mapBounded([...rings.values()], CONNECTIONS, ({ ring, messages }) => answer(env, ring, messages));
}

async function answer(env: Env, { workflow_run_id: id, begins }: WorkflowRing, messages: Message<unknown>[]) {
  try {
    if (begins) await createInstance(env, id);
    else await wakeInstance(env, id);
    for (const message of messages) message.ack();
  } catch (error) {
    logError("workflow_run_not_woken", { workflow_run_id: id }, error);
    // A wake is not worth a second try: the run stands there as overdue, unless it has ended.
    for (const message of messages) {
      if (begins) message.retry({ delaySeconds: RETRY_SECS });
      else message.ack();
    }
  }
}
