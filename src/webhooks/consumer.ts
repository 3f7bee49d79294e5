import { type Env, parseSettings } from "../env.ts";
import { logError } from "../log.ts";
import type { ShowBatch } from "./letter.ts";
import { webhookRingSchema } from "./protocol.ts";
import { callReceiver } from "./receiver.ts";

async function answerRing(message: Message, env: Env, ctx: ExecutionContext, showBatch: ShowBatch): Promise<void> {
  const ring = webhookRingSchema.safeParse(message.body);
  if (!ring.success) {
    logError("webhook_ring_invalid", { message_id: message.id }, ring.error.message);
    message.ack();
    return;
  }
  const { project_id, url } = ring.data;
  const work = callReceiver({ project_id, url }, env, showBatch);
  const fault = (error: unknown): void => logError("webhook_fault", { project_id }, error);
  if (parseSettings(env).environment === "development") {
    // The local queue delivers one batch at a time: a slow receiver would delay all others if it were waited for.
    ctx.waitUntil(work.catch(fault));
    message.ack();
    return;
  }
  // A receiver's failures are attempts. Only a database that could not be reached rings once more.
  try {
    await work;
    message.ack();
  } catch (error) {
    fault(error);
    message.retry();
  }
}

/** The handler of the queue "webhooks": every message is a ring. */
export async function handleRings(
  batch: MessageBatch,
  env: Env,
  ctx: ExecutionContext,
  showBatch: ShowBatch,
): Promise<void> {
  await Promise.all(batch.messages.map((message) => answerRing(message, env, ctx, showBatch)));
}
