import type { z } from "@hono/zod-openapi";
import type { ApiKeyRoutes } from "./routes/api-keys.ts";
import type { BatchOperationRoutes } from "./routes/batch-operations.ts";
import type { BatchResultRoutes } from "./routes/batch-results.ts";
import type { BatchRetryRoutes } from "./routes/batch-retry.ts";
import type { CredentialRoutes } from "./routes/credentials.ts";
import type { EnvironmentRoutes } from "./routes/environments.ts";
import type { EventRoutes } from "./routes/events.ts";
import type { HealthRoutes } from "./routes/health.ts";
import type { ImportRoutes } from "./routes/imports.ts";
import type { JobGroupRoutes } from "./routes/job-groups.ts";
import type { JobVersionRoutes } from "./routes/job-versions.ts";
import type { JobRoutes } from "./routes/jobs.ts";
import type { MetricsRoutes } from "./routes/metrics.ts";
import type { ProjectRoutes } from "./routes/projects.ts";
import type { RunSteeringRoutes } from "./routes/run-steering.ts";
import type { RunRoutes } from "./routes/runs.ts";
import type { TransformRoutes } from "./routes/transforms.ts";
import type { TriggerRoutes } from "./routes/triggers.ts";
import type { WebhookDeliveryRoutes } from "./routes/webhook-deliveries.ts";
import type { WhoamiRoutes } from "./routes/whoami.ts";
import type { WorkflowRunRoutes } from "./routes/workflow-runs.ts";
import type { WorkflowRoutes } from "./routes/workflows.ts";
import type { item } from "./wire/item.ts";

/**
 * Every route of the native API, for the typed client: nothing of it stands at run time. A test holds that each route of
 * `routes/` is among them.
 */
export type ApiRoutes =
  | ApiKeyRoutes
  | BatchOperationRoutes
  | BatchResultRoutes
  | BatchRetryRoutes
  | CredentialRoutes
  | EnvironmentRoutes
  | EventRoutes
  | HealthRoutes
  | ImportRoutes
  | JobGroupRoutes
  | JobVersionRoutes
  | JobRoutes
  | MetricsRoutes
  | ProjectRoutes
  | RunSteeringRoutes
  | RunRoutes
  | TransformRoutes
  | TriggerRoutes
  | WebhookDeliveryRoutes
  | WhoamiRoutes
  | WorkflowRunRoutes
  | WorkflowRoutes;

/** An item of a trigger as a caller writes it: the routes read it from raw bytes, so their schemas only name it. */
export type Item = z.input<typeof item>;
