import { z } from "@hono/zod-openapi";
import { type AttemptRecord, RUN_STATUSES, type RunRecord } from "../../domain/run.ts";
import type { ShownRun } from "../../operations/runs.ts";
import { instant, iso, isoOrNull, listOf, listParams, strictQuery, uuid } from "./common.ts";
import { createdParams, queryAnyOf, queryTag, queryUuid } from "./query.ts";
import { rawOrNull } from "./raw-json.ts";

/** Runs on the wire (contract 3). */

export const runStatus = z.enum(RUN_STATUSES).openapi("RunStatus");

const TRIGGERED_BY = ["api", "bulk", "cron", "import", "workflow", "replay", "rpc"] as const;

export const runError = z.object({
  class: z.enum(["client", "auth", "rate_limited", "server", "timeout", "connection", "blocked", "lost"]),
  message: z.string(),
  http_status: z.int().nullable(),
});

const attempt = z
  .object({
    number: z.int(),
    started_at: instant().nullable(),
    finished_at: instant().nullable(),
    duration_ms: z.int().nullable(),
    http_status: z.int().nullable(),
    error: runError.nullable(),
    used_fallback: z.boolean(),
    job_version: z.int(),
  })
  .openapi("Attempt");

const anyJson = (description: string) => z.unknown().openapi({ description });

const run = z
  .object({
    id: uuid(),
    project_id: z.string(),
    job_id: uuid(),
    job_version: z.int(),
    job_version_id: z.string(),
    batch_id: uuid().nullable(),
    batch_index: z.int().nullable(),
    status: runStatus,
    waiting_for: z.string().nullable().openapi({
      description:
        "What holds it back: concurrency, key, rate_limit, rate_limit:<name>, window, schedule, retry, paused, batch, hold, breaker.",
    }),
    earliest_start_at: instant().nullable(),
    attempt: z.int(),
    max_attempts: z.int(),
    payload: anyJson("As it was sent, byte for byte. In lists null beyond 32 KiB."),
    payload_hash: z
      .string()
      .regex(/^[0-9a-f]{64}$/)
      .nullable()
      .openapi({
        description: "SHA-256 of the canonical payload (RFC 8785). Null only where the payload is no longer kept.",
      }),
    result: anyJson("What the endpoint answered. In lists null beyond 32 KiB."),
    result_truncated: z.boolean(),
    error: runError.nullable(),
    metadata: z.record(z.string(), z.string()),
    tags: z.record(z.string(), z.string()),
    priority: z.int(),
    concurrency_key: z.string().nullable(),
    rate_limit_keys: z.array(z.string()).nullable(),
    idempotency_key: z.string().nullable(),
    triggered_by: z.enum(TRIGGERED_BY),
    created_by: z.string(),
    scheduled_at: instant().nullable(),
    next_attempt_at: instant().nullable(),
    created_at: instant(),
    started_at: instant().nullable(),
    finished_at: instant().nullable(),
    expires_at: instant().nullable(),
    replayed_run_id: uuid().nullable(),
    used_fallback: z.boolean(),
  })
  .openapi("Run");

export const runWithAttempts = run.extend({ attempts: z.array(attempt) }).openapi("RunWithAttempts");

/** A run as lists show it. */
export function runToWire({ run: r, payload, payloadHash, result }: ShownRun): z.infer<typeof run> {
  return {
    id: r.id,
    project_id: r.project_id,
    job_id: r.job_id,
    job_version: r.job_version,
    job_version_id: r.job_version_id,
    batch_id: r.batch_id,
    batch_index: r.batch_index,
    status: r.status,
    waiting_for: r.waiting_for,
    earliest_start_at: isoOrNull(r.earliest_start_at),
    attempt: r.attempt,
    max_attempts: r.max_attempts,
    payload: rawOrNull(payload),
    payload_hash: payloadHash,
    result: rawOrNull(result),
    result_truncated: r.result_truncated,
    error: r.error,
    metadata: r.metadata,
    tags: r.tags,
    priority: r.priority,
    concurrency_key: r.concurrency_key,
    rate_limit_keys: r.rate_limit_keys,
    idempotency_key: r.idempotency_key,
    triggered_by: r.triggered_by,
    created_by: r.created_by,
    ...timesToWire(r),
    replayed_run_id: r.replayed_run_id,
    used_fallback: r.used_fallback,
  };
}

const timesToWire = (r: RunRecord) => ({
  scheduled_at: isoOrNull(r.scheduled_at),
  next_attempt_at: isoOrNull(r.next_attempt_at),
  created_at: iso(r.created_at),
  started_at: isoOrNull(r.started_at),
  finished_at: isoOrNull(r.finished_at),
  expires_at: isoOrNull(r.expires_at),
});

/** A run as `GET /v1/runs/{id}` shows it. */
export const runWithAttemptsToWire = (shown: ShownRun): z.infer<typeof runWithAttempts> => ({
  ...runToWire(shown),
  attempts: shown.run.attempts.map(attemptToWire),
});

const attemptToWire = (a: AttemptRecord) => ({
  number: a.number,
  started_at: isoOrNull(a.started_at),
  finished_at: isoOrNull(a.finished_at),
  duration_ms: a.started_at === null || a.finished_at === null ? null : a.finished_at - a.started_at,
  http_status: a.http_status,
  error: a.error,
  used_fallback: a.used_fallback,
  job_version: a.job_version,
});

export const runList = listOf(run).openapi("RunList");

const filters = {
  batch_id: queryUuid("Of this batch operation.").optional(),
  triggered_by: z.enum(TRIGGERED_BY).optional(),
  concurrency_key: z.string().min(1).max(1024).optional(),
  tag: queryTag.optional(),
  ...createdParams,
};

/** Lists of dead runs have their status already. */
export const deadRunQuery = strictQuery({ ...listParams, ...filters });
export const runQuery = strictQuery({
  ...listParams,
  ...filters,
  status: queryAnyOf(RUN_STATUSES, "Of any of these statuses.").optional(),
});
