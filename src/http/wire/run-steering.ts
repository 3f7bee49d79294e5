import { z } from "@hono/zod-openapi";
import { RUN_STATUSES, type RunStatus } from "../../domain/run.ts";
import { strictObject } from "../../domain/strict.ts";
import { MAX_BULK_IDS } from "../../operations/run-steering.ts";
import { projectParam, uuid } from "./common.ts";
import { runStatus } from "./runs.ts";

/** The bodies and answers of bulk-cancel and bulk-replay. */

/** Which runs a bulk request is about. */
export type BulkTarget = { run_ids: string[] } | { batch_id: string } | { job_id: string; status: RunStatus };

export interface BulkRequest {
  target: BulkTarget;
  project_id?: string;
}

const id = () => z.string().toLowerCase().pipe(z.uuid("expected a UUID")).openapi({ type: "string", format: "uuid" });

const shape = {
  run_ids: z
    // What is no id is no run's: it is refused by itself, and spoils no other.
    .array(z.string().toLowerCase().openapi({ type: "string", format: "uuid" }))
    .min(1)
    .max(MAX_BULK_IDS)
    .superRefine((ids, ctx) => {
      const first = new Map<string, number>();
      ids.forEach((value, i) => {
        const earlier = first.get(value);
        if (earlier === undefined) first.set(value, i);
        else ctx.addIssue({ code: "custom", path: [i], message: `repeats run_ids[${earlier}]` });
      });
    })
    .optional()
    .openapi({ description: "These runs; the answer has a result for each, in this order." }),
  batch_id: id().optional().openapi({ description: "The runs of this batch operation." }),
  job_id: id().optional().openapi({ description: "The runs of this job that have `status`." }),
  status: z.enum(RUN_STATUSES).optional(),
  project_id: projectParam,
};

type Fields = {
  run_ids?: string[];
  batch_id?: string;
  job_id?: string;
  status?: RunStatus;
  project_id?: string;
};

/** Exactly one of `run_ids`, `batch_id`, and `job_id` with `status`. */
function toRequest(body: Fields, ctx: z.RefinementCtx): BulkRequest {
  const { run_ids, batch_id, job_id, status, ...rest } = body;
  const issue = (path: string, message: string): never => {
    ctx.addIssue({ code: "custom", path: [path], message });
    return z.NEVER;
  };
  const named = (["run_ids", "batch_id", "job_id"] as const).filter((name) => body[name] !== undefined);
  if (named.length === 0) return issue("run_ids", "give exactly one of run_ids, batch_id, and job_id with status");
  const [first, second] = named;
  if (second !== undefined) return issue(second, `cannot be given beside ${first}`);
  if (job_id === undefined && status !== undefined) return issue("status", "goes with job_id only");
  if (run_ids !== undefined) return { ...rest, target: { run_ids } };
  if (batch_id !== undefined) return { ...rest, target: { batch_id } };
  if (job_id === undefined || status === undefined) return issue("status", "is required with job_id");
  return { ...rest, target: { job_id, status } };
}

export const bulkCancelBody = strictObject(shape).transform(toRequest).openapi("BulkCancel");

export const bulkReplayBody = strictObject(shape).transform(toRequest).openapi("BulkReplay");

export const steerResults = z
  .object({
    data: z.array(
      z.object({
        id: z.string(),
        outcome: z.enum(["canceled", "replayed", "refused"]),
        status: runStatus.nullable().openapi({ description: "The run's status now; of a replay, the new run's." }),
        new_run_id: uuid().nullable().openapi({ description: "The new run of a replay." }),
        error: z
          .object({
            code: z.string(),
            message: z.string(),
            details: z.array(z.object({ path: z.string(), message: z.string() })),
          })
          .nullable()
          .openapi({ description: "Why it was refused: conflict or not_found." }),
      }),
    ),
  })
  .openapi("BulkRunResults");

export const cancelOperation = z.object({ operation_id: z.string() }).openapi("BulkCancelOperation");

export const replayOperation = z
  .object({ operation_id: uuid().openapi({ description: "The batch operation that holds the new runs." }) })
  .openapi("BulkReplayOperation");
