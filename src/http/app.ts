import { createMiddleware } from "hono/factory";
import { methodNotAllowed } from "hono/method-not-allowed";
import { ApiError, notFound } from "../domain/error.ts";
import { loggingFor } from "../log.ts";
import { settingsOf } from "../operations/settings.ts";
import { type App, type AppEnv, newApp } from "./context.ts";
import { respondWithError } from "./error.ts";
import { hydrolixFailures, registerHydrolix } from "./hydrolix/face.ts";
import { kernelFailures, registerKernel } from "./kernel/face.ts";
import { registerSecurity } from "./openapi.ts";
import { registerApiKeys } from "./routes/api-keys.ts";
import { registerBatchOperations } from "./routes/batch-operations.ts";
import { registerBatchResults } from "./routes/batch-results.ts";
import { registerBatchRetry } from "./routes/batch-retry.ts";
import { registerCredentials } from "./routes/credentials.ts";
import { registerEnvironments } from "./routes/environments.ts";
import { registerEvents } from "./routes/events.ts";
import { registerHealth } from "./routes/health.ts";
import { registerImports } from "./routes/imports.ts";
import { registerJobGroups } from "./routes/job-groups.ts";
import { registerJobVersions } from "./routes/job-versions.ts";
import { registerJobs } from "./routes/jobs.ts";
import { registerMetrics } from "./routes/metrics.ts";
import { registerProjects } from "./routes/projects.ts";
import { registerRunSteering } from "./routes/run-steering.ts";
import { registerRuns } from "./routes/runs.ts";
import { registerTransforms } from "./routes/transforms.ts";
import { registerTriggers } from "./routes/triggers.ts";
import { registerWebhookDeliveries } from "./routes/webhook-deliveries.ts";
import { registerWhoami } from "./routes/whoami.ts";
import { registerWorkflowRuns } from "./routes/workflow-runs.ts";
import { registerWorkflows } from "./routes/workflows.ts";

/** What a caller may name a request with. */
const REQUEST_ID = /^[A-Za-z0-9._:-]{1,128}$/;

/** Every answer carries the request's id and is not to be guessed at. */
const everyAnswer = createMiddleware<AppEnv>(async (c, next) => {
  const given = c.req.header("X-Request-Id");
  const requestId = given !== undefined && REQUEST_ID.test(given) ? given : crypto.randomUUID();
  c.set("requestId", requestId);
  await loggingFor({ request_id: requestId }, next);
  c.header("X-Request-Id", requestId);
  c.header("X-Content-Type-Options", "nosniff");
});

/** A wrong variable is a clear 503, wherever it would have been read. */
const rightSettings = createMiddleware<AppEnv>(async (c, next) => {
  settingsOf(c.env);
  await next();
});

/** The whole HTTP face. */
export function createApp(): App {
  const app = newApp();
  app.use(everyAnswer);
  app.use("/kernel/*", kernelFailures);
  app.use("/config/*", hydrolixFailures);
  app.use(
    methodNotAllowed({
      app,
      onMethodNotAllowed: (c, methods) => {
        const refused = new ApiError("method_not_allowed", `${c.req.method} is not allowed here`);
        const response = respondWithError(refused, c);
        response.headers.set("Allow", methods.join(", "));
        return response;
      },
    }),
  );
  app.use("/v1/*", rightSettings);
  app.use("/kernel/*", rightSettings);
  app.use("/config/*", rightSettings);
  registerSecurity(app);
  registerHealth(app);
  registerMetrics(app);
  registerProjects(app);
  registerApiKeys(app);
  registerWhoami(app);
  registerJobs(app);
  registerJobVersions(app);
  registerEnvironments(app);
  registerJobGroups(app);
  registerRunSteering(app);
  registerRuns(app);
  registerWebhookDeliveries(app);
  registerTriggers(app);
  registerBatchOperations(app);
  registerBatchResults(app);
  registerBatchRetry(app);
  registerEvents(app);
  registerWorkflows(app);
  registerWorkflowRuns(app);
  registerKernel(app);
  registerHydrolix(app);
  registerImports(app);
  registerTransforms(app);
  registerCredentials(app);
  app.notFound((c) => respondWithError(notFound(`${c.req.method} ${c.req.path}`), c));
  app.onError(respondWithError);
  return app;
}
