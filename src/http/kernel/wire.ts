import { z } from "@hono/zod-openapi";
import { type BatchRecord, type BatchStatus, failedCount } from "../../domain/batch.ts";
import { parseDuration } from "../../domain/duration.ts";
import { parseInstant } from "../../domain/instant.ts";
import type { RunRecord, RunStatus } from "../../domain/run.ts";
import { MAX_OFFSET } from "../../operations/offset-lists.ts";
import { instant, iso, isoOrNull, queryInt, uuid } from "../wire/common.ts";
import { LATEST, type Names } from "./names.ts";

/** Invocations and batch jobs on the wire (contract 10). */

export const STATUSES = ["queued", "running", "succeeded", "failed"] as const;
export type InvocationStatus = (typeof STATUSES)[number];
export const BATCH_STATUSES = [...STATUSES, "partially_failed"] as const;
export type BatchJobStatus = (typeof BATCH_STATUSES)[number];

/** The statuses of a run that each status of an invocation stands for. */
export const RUNS_OF: Record<InvocationStatus, readonly RunStatus[]> = {
  queued: ["delayed", "queued", "dequeued"],
  running: ["executing"],
  succeeded: ["completed"],
  failed: ["failed", "timed_out", "crashed", "canceled", "expired"],
};

const invocationStatus = (status: RunStatus): InvocationStatus =>
  STATUSES.find((name) => RUNS_OF[name].includes(status)) ?? "failed";

/** Batches that nobody has finished giving items to, or that pause: queued or running by whether they have begun. */
const OPEN: readonly BatchStatus[] = ["accepting", "interrupted", "paused"];
const BATCHES_OF: Record<BatchJobStatus, readonly BatchStatus[]> = {
  queued: ["queued"],
  running: ["running"],
  succeeded: ["succeeded"],
  // Whoever cancels is told `failed` at once.
  failed: ["failed", "canceling", "canceled"],
  partially_failed: ["partially_failed"],
};

function batchJobStatus(batch: Pick<BatchRecord, "status" | "started_at">): BatchJobStatus {
  if (OPEN.includes(batch.status)) return batch.started_at === null ? "queued" : "running";
  return BATCH_STATUSES.find((name) => BATCHES_OF[name].includes(batch.status)) ?? "failed";
}

/** The filter of batch operations that finds batch jobs of a status. */
export function batchesOf(status: BatchJobStatus) {
  const statuses = BATCHES_OF[status];
  if (status !== "queued" && status !== "running") return { statuses };
  return { statuses, orStatuses: { statuses: OPEN, started: status === "running" } };
}

const json = (description: string) => z.string().openapi({ description: `${description}, a JSON string.` });
const status = z.enum(STATUSES).openapi("KernelInvocationStatus");
const reason = z.string().openapi({ description: "Why it failed." });

/** The answer of a create. */
export const invoked = z
  .object({
    id: uuid(),
    action_name: z.string(),
    status,
    output: json("What the endpoint answered").optional(),
    status_reason: reason.optional(),
  })
  .openapi("KernelInvoked");

export const invocation = z
  .object({
    id: uuid(),
    app_name: z.string(),
    action_name: z.string(),
    version: z.string().openapi({ description: "Number of the job version last used." }),
    status,
    started_at: instant().openapi({ description: "The time of its creation until it has started." }),
    finished_at: instant().nullable(),
    payload: json("The payload").optional(),
    output: json("What the endpoint answered").optional(),
    status_reason: reason.optional(),
  })
  .openapi("KernelInvocation");

const count = () => z.int().min(0);

export const batchJob = z
  .object({
    id: uuid(),
    app_name: z.string(),
    action_name: z.string(),
    version: z.string().openapi({ description: "Number of the job version that it was created with." }),
    status: z.enum(BATCH_STATUSES),
    total_count: count(),
    succeeded_count: count().openapi({
      description: "An item that duplicates an earlier invocation counts here: nothing is left to do for it.",
    }),
    failed_count: count(),
    max_concurrency: z.int().nullable(),
    created_at: instant(),
    started_at: instant().nullable(),
    finished_at: instant().nullable(),
  })
  .openapi("KernelBatchJob");

export const batchJobWhole = batchJob
  .extend({ invocations: z.array(invocation).openapi({ description: "In payload order." }) })
  .openapi("KernelBatchJobWithInvocations");

export type Invocation = z.infer<typeof invocation>;
export type BatchJob = z.infer<typeof batchJob>;

export interface Bodies {
  payload: string | null;
  result: string | null;
}

/** Why an invocation failed, where its run has no error that says so. */
const REASONS: Partial<Record<RunStatus, string>> = {
  canceled: "canceled",
  expired: "expired before it could start",
  timed_out: "timed out",
  crashed: "the caller of the endpoint was lost",
  failed: "the endpoint refused it",
};

/** Strings that there are none of are left out. */
const outcomeOf = (run: RunRecord, result: string | null) => {
  const status_reason = REASONS[run.status] && (run.error?.message ?? REASONS[run.status]);
  return { ...(result === null ? {} : { output: result }), ...(status_reason ? { status_reason } : {}) };
};

export const invokedToWire = (run: RunRecord, action: string, result: string | null): z.infer<typeof invoked> => ({
  id: run.id,
  action_name: action,
  status: invocationStatus(run.status),
  ...outcomeOf(run, result),
});

export const invocationToWire = (run: RunRecord, names: Names, { payload, result }: Bodies): Invocation => ({
  id: run.id,
  app_name: names.app,
  action_name: names.actionOf(run.job_id),
  version: String(run.job_version),
  status: invocationStatus(run.status),
  started_at: iso(run.started_at ?? run.created_at),
  finished_at: isoOrNull(run.finished_at),
  ...(payload === null ? {} : { payload }),
  ...outcomeOf(run, result),
});

export const batchCounts = (b: BatchRecord) => ({
  total_count: b.created_count + b.duplicate_count,
  succeeded_count: b.counts.completed + b.duplicate_count,
  failed_count: failedCount(b.counts) + b.counts.canceled,
});

export const batchJobToWire = (b: BatchRecord, names: Names): BatchJob => ({
  id: b.id,
  app_name: names.app,
  action_name: names.actionOf(b.job_id),
  version: b.job_version === undefined ? LATEST : String(b.job_version),
  status: batchJobStatus(b),
  ...batchCounts(b),
  max_concurrency: b.max_concurrency,
  created_at: iso(b.created_at),
  started_at: isoOrNull(b.started_at),
  finished_at: isoOrNull(b.finished_at),
});

const MAX_PAGE = 100;

/** `limit` and `offset` of a list. Spread into `strictQuery`. */
export const pageParams = {
  limit: queryInt(1, MAX_PAGE, "Rows in a page.").optional(),
  offset: queryInt(
    0,
    MAX_OFFSET,
    `Rows to pass over, at most ${MAX_OFFSET}: older ones are found by filters.`,
  ).optional(),
};

/** The headers of a page, for the document. */
const pageHeaders = {
  "X-Limit": { schema: { type: "integer" as const }, description: "The page's limit." },
  "X-Offset": { schema: { type: "integer" as const }, description: "The page's offset." },
  "X-Next-Offset": { schema: { type: "integer" as const }, description: "Where the next page starts; 0 at the end." },
  "X-Has-More": { schema: { type: "string" as const, enum: ["true", "false"] } },
};

/** The answer of a list, for the document. */
export const pageOf = <S extends z.ZodType>(schema: S, description: string) => ({
  description,
  headers: pageHeaders,
  content: { "application/json": { schema: z.array(schema) } },
});

/** A time, or how long ago it was: Unix milliseconds before `now`, from the text alone. */
export const queryEarlier = (description: string) =>
  z
    .string()
    .transform((text, ctx): ((now: number) => number) => {
      const at = parseInstant(text);
      if (at !== null) return () => at;
      const ago = parseDuration(text);
      if (ago !== null) return (now) => now - ago;
      ctx.addIssue({ code: "custom", message: "expected an RFC 3339 time, or a duration such as 5m" });
      return z.NEVER;
    })
    .openapi({ type: "string", description, example: "5m" });
