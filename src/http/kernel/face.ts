import { createMiddleware } from "hono/factory";
import type { App, AppEnv } from "../context.ts";
import { registerApps } from "./apps.ts";
import { registerBatchJobs } from "./batch-jobs.ts";
import { kernelError } from "./error.ts";
import { registerEvents } from "./events.ts";
import { registerInvocationList } from "./invocation-list.ts";
import { registerInvocations } from "./invocations.ts";

/**
 * The face for clients of Kernel's invocations API (contract 10): an app is a project, an action a job, an invocation a run,
 * a batch job a batch operation. It translates, and decides nothing.
 */

/** Failures of the face have its clients' shape, those before any route too. */
export const kernelFailures = createMiddleware<AppEnv>(async (c, next) => {
  c.set("errorOf", kernelError);
  await next();
});

export function registerKernel(app: App): void {
  registerBatchJobs(app);
  registerInvocations(app);
  registerInvocationList(app);
  registerEvents(app);
  registerApps(app);
}
