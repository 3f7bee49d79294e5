import { z } from "@hono/zod-openapi";
import { type BatchRecord, type BatchStatus, failedCount, percentComplete } from "../../domain/batch.ts";
import { RUN_STATUSES, type RunStatus } from "../../domain/run.ts";
import { strictObject } from "../../domain/strict.ts";
import type { BatchItem, ItemOutcomeKind } from "../../operations/batch-items.ts";
import { instant, iso, isoOrNull, listOf, listParams, projectParam, strictQuery, uuid } from "./common.ts";
import { createdParams, queryAnyOf, queryUuid } from "./query.ts";
import { runStatus } from "./runs.ts";

/** Batch operations on the wire (contract 8). */

const BATCH_STATUSES = [
  "accepting",
  "interrupted",
  "queued",
  "running",
  "paused",
  "canceling",
  "succeeded",
  "partially_failed",
  "failed",
  "canceled",
] as const satisfies readonly BatchStatus[];

const ITEM_OUTCOMES = ["created", "duplicate", "rejected"] as const satisfies readonly ItemOutcomeKind[];

const count = () => z.int().min(0);
const counts = z
  .object(Object.fromEntries(RUN_STATUSES.map((s) => [s, count()])) as Record<RunStatus, z.ZodInt>)
  .openapi("RunCounts");

export const maxConcurrency = () =>
  z
    .int()
    .min(1)
    .max(100_000)
    .nullable()
    .openapi({ description: "Calls in flight of this batch, beside the job's own." });

export const failureThreshold = () =>
  strictObject({ percent: z.number().min(0).max(100), min_items: z.int().min(1) })
    .nullable()
    .openapi({
      description:
        "What has not started is canceled once more than `percent` of at least `min_items` finished runs failed.",
    });

const MAX_METADATA = 20;
export const metadata = () =>
  z
    .record(z.string().min(1).max(64), z.string().max(1024))
    .refine((m) => Object.keys(m).length <= MAX_METADATA, `must have at most ${MAX_METADATA} entries`);

export const batchOperation = z
  .object({
    id: uuid(),
    project_id: z.string(),
    job_id: uuid(),
    item_count: count(),
    created_count: count(),
    duplicate_count: count(),
    rejected_count: count(),
    created_by: z.string(),
    created_at: instant(),
    accepted_at: instant().nullable().openapi({ description: "All items taken in." }),
    started_at: instant().nullable(),
    finished_at: instant().nullable().openapi({ description: "Sealed, and every created run terminal." }),
    status: z.enum(BATCH_STATUSES),
    counts,
    succeeded_count: count(),
    failed_count: count().openapi({ description: "failed + timed_out + crashed + expired" }),
    percent_complete: z.number().min(0).max(1),
    max_concurrency: z.int().nullable(),
    failure_threshold: z.object({ percent: z.number(), min_items: z.int() }).nullable(),
    metadata: z.record(z.string(), z.string()),
    throughput_per_sec: z.number().nullable(),
    eta_at: instant().nullable(),
    retry_of: uuid().nullable(),
  })
  .openapi("BatchOperation");

export const batchOperationList = listOf(batchOperation).openapi("BatchOperationList");

/** A batch operation as every face of the native API shows it. */
export const batchToWire = (b: BatchRecord): z.infer<typeof batchOperation> => ({
  id: b.id,
  project_id: b.project_id,
  job_id: b.job_id,
  item_count: b.item_count,
  created_count: b.created_count,
  duplicate_count: b.duplicate_count,
  rejected_count: b.rejected_count,
  created_by: b.created_by,
  created_at: iso(b.created_at),
  accepted_at: isoOrNull(b.accepted_at),
  started_at: isoOrNull(b.started_at),
  finished_at: isoOrNull(b.finished_at),
  status: b.status,
  counts: b.counts,
  succeeded_count: b.counts.completed,
  failed_count: failedCount(b.counts),
  percent_complete: percentComplete(b),
  max_concurrency: b.max_concurrency,
  failure_threshold: b.failure_threshold,
  metadata: b.metadata,
  throughput_per_sec: b.throughput_per_sec,
  eta_at: isoOrNull(b.eta_at),
  retry_of: b.retry_of,
});

export const batchQuery = strictQuery({
  ...listParams,
  job_id: queryUuid("Of this job.").optional(),
  status: queryAnyOf(BATCH_STATUSES, "Of any of these statuses.").optional(),
  ...createdParams,
});

export const batchPatch = strictObject({
  max_concurrency: maxConcurrency().optional(),
  failure_threshold: failureThreshold().optional(),
  metadata: metadata().optional().openapi({ description: "Replaces what was there." }),
}).openapi("BatchOperationPatch");

const batchItem = z
  .object({
    index: count(),
    id: uuid().nullable().openapi({ description: "The item's run; of a duplicate, the earlier run." }),
    status: runStatus.nullable(),
    outcome: z.enum(ITEM_OUTCOMES),
    duplicate_of: uuid().nullable(),
    idempotency_hit: z.boolean(),
    error: z
      .object({
        code: z.string(),
        message: z.string(),
        details: z.array(z.object({ path: z.string(), message: z.string() })),
      })
      .nullable(),
  })
  .openapi("BatchItem");

export const batchItemList = listOf(batchItem).openapi("BatchItemList");

export const batchItemsQuery = strictQuery({
  limit: listParams.limit,
  cursor: listParams.cursor,
  project_id: projectParam,
  outcome: z.enum(ITEM_OUTCOMES).optional().openapi({ description: "Only items of this outcome." }),
});

export const batchItemToWire = (item: BatchItem): z.infer<typeof batchItem> => ({
  index: item.index,
  id: item.run_id,
  status: item.status,
  outcome: item.outcome,
  duplicate_of: item.outcome === "duplicate" ? item.run_id : null,
  idempotency_hit: item.outcome === "duplicate",
  error: item.error,
});
