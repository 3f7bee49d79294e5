import type { Env } from "../env.ts";
import { logError } from "../log.ts";
import { fireDueCrons } from "../operations/crons.ts";
import { tendImports } from "../operations/import-minute.ts";
import { removeRemains } from "../operations/project-removal.ts";
import { carryOnIdle } from "../operations/replay-sweep.ts";
import { retain } from "../operations/retention.ts";
import { sweepMinute } from "../operations/sweeper.ts";
import { tendWebhooks } from "../operations/webhooks.ts";
import { sweepWorkflowRuns } from "../operations/workflow-runs.ts";

/** In this order: what is due comes before what repairs. */
const DUTIES = [
  fireDueCrons,
  tendWebhooks,
  tendImports,
  sweepWorkflowRuns,
  sweepMinute,
  carryOnIdle,
  retain,
  removeRemains,
];

/** The one Cron Trigger, `* * * * *`. It may fire twice or not at all: whatever it does is safe to do again. */
export async function everyMinute(controller: ScheduledController, env: Env): Promise<void> {
  for (const duty of DUTIES) {
    try {
      await duty(env, controller.scheduledTime);
    } catch (error) {
      logError("minute_failed", { part: duty.name }, error);
    }
  }
}
