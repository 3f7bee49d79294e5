import { createMiddleware } from "hono/factory";
import type { App, AppEnv } from "../context.ts";
import { registerCredentials } from "./credentials.ts";
import { hydrolixError } from "./error.ts";
import { registerJobs } from "./jobs.ts";
import { registerLogin } from "./login.ts";
import { registerTables } from "./tables.ts";
import { registerTransforms } from "./transforms.ts";

/**
 * The face for clients of Hydrolix's batch ingest jobs (contract 11): an org is a project, a table a job, a batch job an import
 * by partition. It translates, and decides nothing.
 */

/** Failures of the face have its clients' shape, those before any route too. */
export const hydrolixFailures = createMiddleware<AppEnv>(async (c, next) => {
  c.set("errorOf", hydrolixError);
  await next();
});

export function registerHydrolix(app: App): void {
  registerLogin(app);
  registerTables(app);
  registerTransforms(app);
  registerCredentials(app);
  registerJobs(app);
}
