import { z } from "zod";
import type { CoordinatorApi, Ticket } from "./coordinator/protocol.ts";
import { mayRead, parseR2Sources } from "./domain/r2-sources.ts";
import { mayCall, parseServiceEndpoints } from "./domain/service-endpoint.ts";
import type { ImportCoordinatorApi, ImportRing } from "./imports/protocol.ts";
import type { WebhookRing } from "./webhooks/protocol.ts";
import type { RunnerParams, WorkflowRing } from "./workflows/protocol.ts";

/** The bindings and variables as the platform hands them over. `parseSettings` turns the variables into `Settings`. */
export interface Env {
  DB: D1Database;
  BLOBS: R2Bucket;
  COORDINATOR: DurableObjectNamespace<CoordinatorApi & Rpc.DurableObjectBranded>;
  DELIVERIES: Queue<Ticket>;
  WEBHOOKS: Queue<WebhookRing>;
  WORKFLOWS: Queue<WorkflowRing>;
  WORKFLOW_RUNS: Workflow<RunnerParams>;
  /** One Durable Object an import. */
  IMPORTS: DurableObjectNamespace<ImportCoordinatorApi & Rpc.DurableObjectBranded>;
  IMPORT_RINGS: Queue<ImportRing>;
  ENVIRONMENT?: string;
  ADMIN_TOKEN?: string;
  ENCRYPTION_KEYS?: string;
  ALLOW_LOOPBACK_ENDPOINTS?: string;
  ALLOW_HTTP_ENDPOINTS?: string;
  ENDPOINT_PORTS?: string;
  SERVICE_ENDPOINTS?: string;
  R2_SOURCES?: string;
  PUMP_WIDTH?: string;
  BOOT_ID?: string;
  DEPLOYMENT_MAX_CONCURRENCY?: string;
  DEPLOYMENT_MAX_FLOWS?: string;
  RUN_RETENTION_DAYS?: string;
  BATCH_RETENTION_DAYS?: string;
}

/** Six connections may wait for response headers in one invocation in production; locally there is no such limit. */
const PRODUCTION_PUMP_WIDTH = 6;

const PRODUCTION_MAX_FLOWS = 100_000;

const flag = z
  .enum(["true", "false"])
  .default("false")
  .transform((v) => v === "true");

const settingsSchema = z
  .object({
    ENVIRONMENT: z.enum(["production", "development"]).default("production"),
    /** Shorter than 32 characters means there is no admin (contract 1). */
    ADMIN_TOKEN: z.string().optional(),
    /** `id:base64(32 bytes)`, comma separated; the first one seals, all of them open. */
    ENCRYPTION_KEYS: z.string().optional(),
    ALLOW_LOOPBACK_ENDPOINTS: flag,
    ALLOW_HTTP_ENDPOINTS: flag,
    ENDPOINT_PORTS: z.string().default("443,8443,80,8080"),
    /** See domain/service-endpoint. */
    SERVICE_ENDPOINTS: z.string().default("{}"),
    /** See domain/r2-sources. */
    R2_SOURCES: z.string().default("{}"),
    PUMP_WIDTH: z.coerce.number().int().min(1).max(500).default(PRODUCTION_PUMP_WIDTH),
    BOOT_ID: z.string().optional(),
    DEPLOYMENT_MAX_CONCURRENCY: z.coerce.number().int().min(1).default(1000),
    DEPLOYMENT_MAX_FLOWS: z.coerce.number().int().min(1).optional(),
    RUN_RETENTION_DAYS: z.coerce.number().positive().default(30),
    BATCH_RETENTION_DAYS: z.coerce.number().positive().default(90),
  })
  .refine((s) => s.ENVIRONMENT === "development" || !s.ALLOW_LOOPBACK_ENDPOINTS, {
    path: ["ALLOW_LOOPBACK_ENDPOINTS"],
    message: "is for development only; a production deployment refuses to start with it",
  })
  .refine((s) => s.ENVIRONMENT === "development" || s.PUMP_WIDTH <= PRODUCTION_PUMP_WIDTH, {
    path: ["PUMP_WIDTH"],
    message: `is at most ${PRODUCTION_PUMP_WIDTH} in production, the platform's limit of waiting connections`,
  });

/** The variables of the deployment, strict and complete. */
export interface Settings {
  environment: "production" | "development";
  adminToken: string | null;
  encryptionKeys: string | null;
  address: AddressPolicy;
  /** The Worker behind `service://<name>/…` of a project's jobs, or null where the deployment maps none for them. */
  service(projectId: string, name: string): Fetcher | null;
  /** The bucket behind `r2://<name>/…` of a project's imports, or null where the deployment maps none for them. */
  r2Source(projectId: string, name: string): R2Bucket | null;
  pumpWidth: number;
  /** Set by `npm run dev` only: a new one tells the coordinator that every older consumer is dead. */
  bootId: string | null;
  /** In-flight calls of a job without a `max_concurrency` of its own. */
  deploymentMaxConcurrency: number;
  /**
   * Distinct concurrency keys, sets of `rate_limit_keys`, priorities and batches that may wait in a job before it refuses
   * more. Each costs some 600 bytes of an isolate's 128 MB; locally memory has no such bound.
   */
  deploymentMaxFlows: number;
  /** Days after their end. The results of a batch stay as long as the batch. */
  runRetentionDays: number;
  batchRetentionDays: number;
}

/** Which addresses may be called; see domain/address. */
export interface AddressPolicy {
  allowLoopback: boolean;
  allowHttp: boolean;
  ports: number[];
}

/** @throws Error where `SERVICE_ENDPOINTS` is wrong, or names a binding that is no service. */
function serviceBindings(env: Env, text: string): Settings["service"] {
  const mappings = parseServiceEndpoints(text);
  const bindings = env as unknown as Record<string, Fetcher | undefined>;
  for (const [name, { binding }] of mappings) {
    if (typeof bindings[binding]?.fetch !== "function") {
      throw new Error(`SERVICE_ENDPOINTS ${name}: this deployment has no service binding ${binding}`);
    }
  }
  return (projectId, name) => {
    const mapping = mappings.get(name);
    return mapping !== undefined && mayCall(mapping, projectId) ? (bindings[mapping.binding] ?? null) : null;
  };
}

/** @throws Error where `R2_SOURCES` is wrong, or names a binding that is no bucket. */
function r2Bindings(env: Env, text: string): Settings["r2Source"] {
  const mappings = parseR2Sources(text);
  const bindings = env as unknown as Record<string, R2Bucket | undefined>;
  for (const [name, { binding }] of mappings) {
    if (typeof bindings[binding]?.list !== "function") {
      throw new Error(`R2_SOURCES ${name}: this deployment has no bucket binding ${binding}`);
    }
  }
  return (projectId, name) => {
    const mapping = mappings.get(name);
    return mapping !== undefined && mayRead(mapping, projectId) ? (bindings[mapping.binding] ?? null) : null;
  };
}

const cache = new WeakMap<object, Settings>();

/** A hot reload replaces the isolate and kills its consumers like a restart: it makes a new boot too. */
let isolateName: string | null = null;
const bootName = (boot: string): string => {
  isolateName ??= crypto.randomUUID();
  return `${boot}:${isolateName}`;
};

/**
 * Parses the variables once for an isolate.
 *
 * @throws Error naming the variable that is wrong.
 */
export function parseSettings(env: Env): Settings {
  const known = cache.get(env);
  if (known) return known;
  const parsed = settingsSchema.safeParse(env);
  if (!parsed.success) {
    throw new Error(parsed.error.issues.map((i) => `${i.path.join(".")} ${i.message}`).join("; "));
  }
  const s = parsed.data;
  const settings: Settings = {
    environment: s.ENVIRONMENT,
    adminToken: s.ADMIN_TOKEN && s.ADMIN_TOKEN.length >= 32 ? s.ADMIN_TOKEN : null,
    encryptionKeys: s.ENCRYPTION_KEYS ?? null,
    address: {
      allowLoopback: s.ALLOW_LOOPBACK_ENDPOINTS,
      allowHttp: s.ALLOW_HTTP_ENDPOINTS,
      ports: s.ENDPOINT_PORTS.split(",").map(Number),
    },
    service: serviceBindings(env, s.SERVICE_ENDPOINTS),
    r2Source: r2Bindings(env, s.R2_SOURCES),
    pumpWidth: s.PUMP_WIDTH,
    bootId: s.BOOT_ID === undefined ? null : bootName(s.BOOT_ID),
    deploymentMaxConcurrency: s.DEPLOYMENT_MAX_CONCURRENCY,
    deploymentMaxFlows:
      s.DEPLOYMENT_MAX_FLOWS ?? (s.ENVIRONMENT === "production" ? PRODUCTION_MAX_FLOWS : Number.POSITIVE_INFINITY),
    runRetentionDays: s.RUN_RETENTION_DAYS,
    batchRetentionDays: s.BATCH_RETENTION_DAYS,
  };
  cache.set(env, settings);
  return settings;
}
