import { bill } from "./coordinator/bill.ts";
import { handleBatch } from "./delivery/consumer.ts";
import type { Env } from "./env.ts";
import { createApp } from "./http/app.ts";
import { actingAs } from "./http/auth.ts";
import { answerDrained } from "./http/drained-request.ts";
import { batchToWire } from "./http/wire/batch-operations.ts";
import { handleImportRings } from "./imports/consumer.ts";
import { importPorts } from "./operations/import-ports.ts";
import { workflowPorts } from "./operations/workflow-steps.ts";
import { entrypointOver } from "./rpc/entrypoint.ts";
import { everyMinute } from "./schedule/minute.ts";
import { selectEnvironment } from "./store/environments.ts";
import { handleRings } from "./webhooks/consumer.ts";
import { handleWorkflowRings } from "./workflows/rings.ts";
import { workflowRunner } from "./workflows/runner.ts";

export { JobCoordinator } from "./coordinator/job-coordinator.ts";
export { ImportCoordinator } from "./imports/import-coordinator.ts";

/** Runs of workflows, on the platform's own. */
export class WorkflowRunner extends workflowRunner(workflowPorts) {}

const app = createApp();

/** What other Workers call over a service binding. */
export class Sluice extends entrypointOver((request, caller, env, ctx) =>
  app.fetch(actingAs(request, caller), env, ctx),
) {}

/** Development only: `GET /__dev/counters`, what the work has cost, for the benchmark. */
const isCounters = (request: Request, env: Env): boolean =>
  env.ENVIRONMENT === "development" && new URL(request.url).pathname === "/__dev/counters";

/** A tenant's queues have its name before these. */
async function answerQueue(batch: MessageBatch, env: Env, ctx: ExecutionContext): Promise<void> {
  if (batch.queue.endsWith("-deliveries")) return handleBatch(batch, env, ctx, (id) => selectEnvironment(env.DB, id));
  if (batch.queue.endsWith("-webhooks")) return handleRings(batch, env, ctx, batchToWire);
  if (batch.queue.endsWith("-workflows")) return handleWorkflowRings(batch, env);
  if (batch.queue.endsWith("-imports")) return handleImportRings(batch, env, ctx, importPorts);
  throw new Error(`nobody answers the queue ${batch.queue}`);
}

export default {
  fetch(request, env, ctx) {
    if (isCounters(request, env)) return Response.json(bill);
    if (env.ENVIRONMENT !== "development") return app.fetch(request, env, ctx);
    return answerDrained(request, (drained) => app.fetch(drained, env, ctx));
  },
  queue: answerQueue,
  scheduled: everyMinute,
} satisfies ExportedHandler<Env>;
