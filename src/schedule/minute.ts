import type { Env } from "../env.ts";
import { sweepMinute } from "../operations/sweeper.ts";
import { tendWebhooks } from "../operations/webhooks.ts";

/** The one Cron Trigger, `* * * * *`. It may fire twice or not at all: whatever it does is safe to do again. */
export async function everyMinute(controller: ScheduledController, env: Env): Promise<void> {
  await tendWebhooks(env, controller.scheduledTime);
  await sweepMinute(env, controller.scheduledTime);
}
