import { WorkflowEntrypoint, type WorkflowEvent, type WorkflowStep } from "cloudflare:workers";
import type { Env } from "../env.ts";
import { logError } from "../log.ts";
import { type Look, look } from "./advance.ts";
import type { WorkflowPorts } from "./ports.ts";
import { type RunnerParams, WAKE } from "./protocol.ts";

/** An idle run is looked at again after this long, then after twice as long, and so on. Signals come long before. */
const FIRST_PATIENCE_MS = 10_000;
const MAX_PATIENCE_MS = 6 * 3_600_000;

/** Of one look; afterwards the run waits as though there had been nothing to do. */
const RETRIES = { retries: { limit: 5, delay: 1_000, backoff: "exponential" as const }, timeout: 5 * 60_000 };

/**
 * The platform's workflow: looks at one workflow run, waits until it is woken, and looks again. Of the platform it needs that
 * it goes on after every crash; what has happened stands in D1, step by step, so a look too many or too few does no harm.
 */
export const workflowRunner = (ports: WorkflowPorts) =>
  class extends WorkflowEntrypoint<Env, RunnerParams> {
    override async run(event: Readonly<WorkflowEvent<RunnerParams>>, step: WorkflowStep): Promise<void> {
      for (let n = 1, idle = 0; ; n++) {
        const patienceMs = Math.min(FIRST_PATIENCE_MS * 2 ** idle, MAX_PATIENCE_MS);
        const seen = await this.look(event.instanceId, step, n, patienceMs);
        if (seen.kind === "ended") return;
        if (seen.kind === "again") continue;
        idle = seen.moved ? 0 : idle + 1;
        await woken(step, n, seen.ms);
      }
    }

    private async look(id: string, step: WorkflowStep, n: number, patienceMs: number): Promise<Look> {
      try {
        // As text: over an object that crosses here the local runtime says that the Worker has hung.
        const seen = await step.do(`look ${n}`, RETRIES, async () =>
          JSON.stringify(await look(this.env, ports, id, patienceMs, Date.now)),
        );
        return JSON.parse(seen) as Look;
      } catch (error) {
        logError("workflow_run_not_seen", { workflow_run_id: id }, error);
        return { kind: "wait", ms: patienceMs, moved: false };
      }
    }
  };

/** Until something has ended, or the time is up: then the platform throws. */
async function woken(step: WorkflowStep, n: number, ms: number): Promise<void> {
  try {
    await step.waitForEvent(`wait ${n}`, { type: WAKE, timeout: ms });
  } catch {
    return;
  }
}
