import { z } from "@hono/zod-openapi";
import { ApiError, type ErrorDetail, invalid } from "../../domain/error.ts";
import { MAX_SECRET, refuseWeakSecret } from "../../domain/job-fields.ts";
import { cutElements, cutObject, isMalformed, parsed, type Spans } from "../../domain/json-cut.ts";
import { nearest } from "../../domain/nearest.ts";
import { detailsOf, strictObject } from "../../domain/strict.ts";
import { failureThreshold, maxConcurrency, metadata } from "./batch-operations.ts";
import { projectParam, queryInt, strictQuery } from "./common.ts";
import { item } from "./item.ts";

/** Bodies and queries of triggers. Bodies are cut, not parsed: only what stands beside the items is built. */

const MAX_JSON_ITEMS = 10_000;
export const MAX_JSON_BYTES = 16 * 1024 * 1024;

const options = {
  max_concurrency: maxConcurrency().optional(),
  failure_threshold: failureThreshold().optional(),
  metadata: metadata().nullable().optional(),
  webhook_url: z.string().max(2048).nullable().optional().openapi({ description: "Hears of the end of the batch." }),
};

const bodyFields = {
  ...options,
  webhook_secret: z
    .string()
    .max(MAX_SECRET)
    .superRefine(refuseWeakSecret)
    .nullable()
    .optional()
    .openapi({ description: "Signs what is sent to `webhook_url`. Never shown." }),
  dry_run: z.boolean().nullable().optional(),
  project_id: projectParam,
};
const bulkOptionsSchema = strictObject(bodyFields);

/** What a JSON bulk says beside its items. */
export type BulkFields = z.infer<typeof bulkOptionsSchema>;

export const bulkBody = z
  .strictObject({ items: z.array(item).min(1).max(MAX_JSON_ITEMS), ...bodyFields })
  .openapi("BulkTrigger");

export const partBody = z.strictObject({ items: z.array(item).min(1).max(MAX_JSON_ITEMS) }).openapi("BulkPart");

export const sealBody = strictObject({
  expected_count: z
    .int()
    .min(0)
    .nullable()
    .optional()
    .openapi({ description: "409 where the batch has another count." }),
}).openapi("Seal");

const flag = (description: string) =>
  z
    .enum(["true", "false"])
    .transform((text) => text === "true")
    .optional()
    .openapi({ type: "boolean", description });

/** A value in a query that is written as JSON. */
const jsonText = <T>(schema: z.ZodType<T>, description: string) =>
  z
    .string()
    .transform((text, ctx): T => {
      let value: unknown;
      try {
        value = JSON.parse(text);
      } catch {
        ctx.addIssue({ code: "custom", message: "expected JSON" });
        return z.NEVER;
      }
      const result = schema.safeParse(value);
      if (result.success) return result.data;
      for (const { path, message } of detailsOf(result.error)) {
        ctx.addIssue({ code: "custom", message, path: path === "" ? [] : path.split(".") });
      }
      return z.NEVER;
    })
    .optional()
    .openapi({ type: "string", description });

const ofLines = "With NDJSON; a JSON request says it in its body.";

export const bulkQuery = strictQuery({
  project_id: projectParam,
  atomic: flag("JSON only: any bad item is a 422 that lists them, and nothing is created."),
  open: flag("The batch stays open for more parts, until it is sealed."),
  dry_run: flag("Says what would happen and creates nothing."),
  max_concurrency: queryInt(1, 100_000, ofLines).optional(),
  failure_threshold: jsonText(failureThreshold(), `JSON: {"percent","min_items"}. ${ofLines}`),
  metadata: jsonText(metadata().nullable(), `A JSON object of strings. ${ofLines}`),
  webhook_url: z.string().max(2048).optional().openapi({ description: ofLines }),
  webhook_secret: z
    .string()
    .refine(() => false, "must not stand in a URL; use the JSON form")
    .optional()
    .openapi({ description: "Refused: a secret does not belong in a URL.", deprecated: true }),
});
export type BulkQuery = z.infer<typeof bulkQuery>;

const LINE_OPTIONS = ["max_concurrency", "failure_threshold", "metadata", "webhook_url"] as const;

/** @throws ApiError `validation_failed` for options that belong in the body. */
export function refuseLineOptions(query: BulkQuery): void {
  const misplaced = LINE_OPTIONS.filter((name) => query[name] !== undefined);
  if (misplaced.length === 0) return;
  throw invalid(misplaced.map((path) => ({ path, message: "belongs into the body of a JSON request" })));
}

export const partQuery = strictQuery({
  project_id: projectParam,
  from_index: queryInt(
    0,
    999_999_999,
    "Index of the first item: the batch's next index, or one that was taken before.",
  ),
});

export const triggerQuery = strictQuery({ project_id: projectParam });

// ---------------------------------------------------------------------------------------------- bodies

/** A body that is one JSON object, by its members' raw places. */
type Members = Map<string, { from: number; to: number; depth: number }>;

/**
 * @throws ApiError `bad_request` for malformed JSON, anywhere in it; `validation_failed` for no object and for repeated
 *   fields.
 */
export function membersOf(bytes: Uint8Array): Members {
  const cut = cutObject(bytes);
  if (isMalformed(cut))
    throw new ApiError("bad_request", `the body is not well-formed JSON: it ${cut.problem} (byte ${cut.at})`);
  if (cut === null) throw invalid([{ path: "body", message: "must be an object" }]);
  if (cut.repeated.length > 0) {
    throw invalid([...new Set(cut.repeated)].map((path) => ({ path: path.slice(0, 128), message: "stands twice" })));
  }
  return cut.members;
}

/** A JSON bulk, taken apart. */
export interface CutBulk {
  items: Spans;
  fields: BulkFields;
}

/** @throws ApiError `validation_failed` naming every bad field beside the items, and for too many items or none. */
export function cutBulk(bytes: Uint8Array): CutBulk {
  const members = membersOf(bytes);
  const items = members.get("items");
  const others: Record<string, unknown> = Object.create(null);
  for (const [name, { from, to }] of members) {
    if (name !== "items") others[name] = Object.hasOwn(bodyFields, name) ? parsed(bytes, from, to) : null;
  }
  const result = bulkOptionsSchema.safeParse({ ...others });
  const details = result.success ? [] : detailsOf(result.error).map(withItems);
  const spans = items && bytes[items.from] === 0x5b ? cutElements(bytes, items.from, items.to, MAX_JSON_ITEMS) : null;
  if (spans === null) details.push({ path: "items", message: items ? "must be a list" : "is required" });
  else details.push(...badCount(spans.count));
  if (details.length > 0 || spans === null || !result.success) throw invalid(details);
  return { items: spans, fields: result.data };
}

/** `items` is read apart, so the schema does not know it as a near name. */
function withItems(detail: ErrorDetail): ErrorDetail {
  if (detail.message !== "is not a known field") return detail;
  const near = nearest(detail.path, ["items"]);
  return near === null ? detail : { ...detail, message: `is not a known field; did you mean ${near}?` };
}

function badCount(count: number): ErrorDetail[] {
  if (count === 0) return [{ path: "items", message: "must hold at least one item" }];
  if (count <= MAX_JSON_ITEMS) return [];
  const message = `holds ${count} items; a JSON request has at most ${MAX_JSON_ITEMS}, NDJSON takes a million`;
  return [{ path: "items", message }];
}

/** @throws ApiError `validation_failed`. */
export function cutPart(bytes: Uint8Array): Spans {
  const { items, fields } = cutBulk(bytes);
  const options = Object.keys(fields);
  if (options.length === 0) return items;
  throw invalid(options.map((path) => ({ path, message: "is said with the request that opened the batch" })));
}

/** Fields of a single trigger that are not the item's. */
export const TRIGGER_FIELDS = ["dry_run", "project_id"] as const;
const triggerFields = z.object({ dry_run: bodyFields.dry_run, project_id: projectParam });

/** @throws ApiError `bad_request`, `validation_failed`. */
export function cutTrigger(bytes: Uint8Array): { dry_run: boolean; project_id?: string } {
  const members = membersOf(bytes);
  const values = TRIGGER_FIELDS.flatMap((name) => {
    const span = members.get(name);
    return span ? [[name, parsed(bytes, span.from, span.to)]] : [];
  });
  const result = triggerFields.safeParse(Object.fromEntries(values));
  if (!result.success) throw invalid(detailsOf(result.error));
  return { dry_run: result.data.dry_run ?? false, project_id: result.data.project_id };
}
