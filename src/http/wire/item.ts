import { z } from "@hono/zod-openapi";
import { MAX_FIELD_BYTES, MAX_PAYLOAD_DEPTH } from "../../domain/item.ts";
import * as bounds from "../../domain/item-fields.ts";
import { MAX_BODY_BYTES } from "../../domain/run.ts";
import { projectParam, uuid } from "./common.ts";
import { runStatus } from "./runs.ts";

/**
 * The item of a trigger, as the OpenAPI document describes it. What is sent is judged by `domain/item`, which reads raw
 * bytes; both take their bounds from `domain/item-fields`.
 */

const key = (description: string) => z.string().min(1).max(bounds.MAX_KEY_CHARS).nullable().openapi({ description });
const count = (max: number, description: string) => z.int().min(1).max(max).nullable().openapi({ description });

const fields = {
  payload: z.unknown().openapi({
    description:
      `Any JSON, {} by default. Delivered byte for byte as sent. At most ${MAX_BODY_BYTES} bytes and ` +
      `${MAX_PAYLOAD_DEPTH} levels; the other fields together at most ${MAX_FIELD_BYTES} bytes.`,
  }),
  idempotency_key: key("Another run of the job with this key makes the item a duplicate."),
  concurrency_key: key("The line that the run stands in; at most `max_concurrency_per_key` of it go at once."),
  rate_limit_keys: z
    .array(z.string().min(1).max(bounds.MAX_KEY_CHARS))
    .max(bounds.MAX_ITEM_LIMITS)
    .nullable()
    .openapi({ description: '`"name"` or `"name:partition"` of the job\'s limits. Absent: all of them.' }),
  priority: z.int().min(0).max(bounds.MAX_PRIORITY).nullable().openapi({ description: "Higher goes first; 0." }),
  scheduled_at: z
    .string()
    .nullable()
    .openapi({ format: "date-time", description: "RFC 3339, at most a year ahead. Past: now." }),
  ttl_secs: count(bounds.MAX_TTL_SECS, "Expires when it has not started by then."),
  tags: z
    .record(z.string().min(1).max(bounds.MAX_TAG_KEY_CHARS), z.string().max(bounds.MAX_TAG_VALUE_CHARS))
    .nullable()
    .openapi({ description: `At most ${bounds.MAX_TAGS}; keys without colons.` }),
  metadata: z
    .record(z.string().min(1).max(bounds.MAX_METADATA_KEY_CHARS), z.string().max(bounds.MAX_METADATA_VALUE_CHARS))
    .nullable()
    .openapi({ description: `At most ${bounds.MAX_METADATA} entries.` }),
  max_attempts: count(bounds.MAX_ATTEMPTS, "Instead of the job's."),
  timeout_secs: count(bounds.MAX_TIMEOUT_SECS, "Of one call, instead of the job's."),
  version: z
    .union([z.int().min(1), z.string()])
    .nullable()
    .openapi({ description: "A version number or version_id; overrides the job's version policy." }),
};

export const item = z.strictObject(fields).partial().openapi("Item", {
  description: "A field that is null is absent; one that stands twice is refused, and so is one that is not known.",
});

export const triggerBody = z
  .strictObject({
    ...fields,
    dry_run: z.boolean().nullable().openapi({ description: "Says what would happen and does nothing." }),
    project_id: projectParam,
  })
  .partial()
  .openapi("Trigger");

const hash = () =>
  z
    .string()
    .regex(/^[0-9a-f]{64}$/)
    .openapi({
      description:
        "SHA-256 of the canonical payload (RFC 8785). Numbers that no double holds keep their digits, repeated keys stay.",
    });

export const triggered = z
  .object({
    id: uuid(),
    status: runStatus.nullable(),
    payload_hash: hash(),
    outcome: z.enum(["created", "duplicate"]),
    duplicate_of: uuid().nullable(),
    idempotency_hit: z.boolean(),
  })
  .openapi("Triggered");

export const rehearsed = z
  .object({
    outcome: z.enum(["created", "duplicate"]),
    duplicate_of: uuid().nullable(),
    waiting_for: z.string().nullable(),
    earliest_start_at: z.string().nullable().openapi({ format: "date-time" }),
    payload_hash: hash(),
    job_version: z.int(),
  })
  .openapi("TriggerRehearsal");

const itemError = z.object({
  code: z.string(),
  message: z.string(),
  details: z.array(z.object({ path: z.string(), message: z.string() })),
});

const itemResult = z
  .object({
    index: z.int(),
    id: uuid().nullable(),
    status: runStatus.nullable(),
    outcome: z.enum(["created", "duplicate", "rejected", "taken"]).openapi({
      description: "`taken`: came with an earlier request; its outcome is in the batch operation's items.",
    }),
    duplicate_of: uuid().nullable().optional(),
    idempotency_hit: z.boolean().optional(),
    error: itemError.optional(),
  })
  .openapi("ItemResult");

export const bulkAnswer = z
  .object({
    batch_id: uuid().nullable().openapi({ description: "Null for a dry run." }),
    total: z.int(),
    created: z.int(),
    duplicates: z.int(),
    rejected: z.int(),
    results: z.array(itemResult).nullable().openapi({ description: "In input order; null above 1,000 items." }),
    results_truncated: z.boolean(),
  })
  .openapi("BulkAnswer");

export const partAnswer = bulkAnswer
  .extend({
    item_count: z.int().openapi({ description: "Items of the batch operation so far: the next index." }),
    taken: z.int().openapi({ description: "Items that came with an earlier request, whose outcome is not listed." }),
  })
  .openapi("PartAnswer");
