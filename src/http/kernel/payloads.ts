import { z } from "@hono/zod-openapi";
import { type ErrorDetail, invalid } from "../../domain/error.ts";
import { cutElements, parsed, type Spans } from "../../domain/json-cut.ts";
import { detailsOf, strictObject } from "../../domain/strict.ts";
import type { ItemSource } from "../../operations/item-source.ts";
import { membersOf } from "../wire/triggers.ts";

/** Payloads are texts of JSON inside JSON. */

const MAX_PAYLOAD_BYTES = 65_536;
const MAX_PAYLOADS = 10_000;
export const MAX_BATCH_BYTES = 16 * 1024 * 1024;
const MAX_LISTED = 100;

const encoder = new TextEncoder();

/** What is wrong with a payload; null: nothing. */
function payloadProblem(text: string): string | null {
  if (isTooLong(text)) return `is larger than ${MAX_PAYLOAD_BYTES} bytes`;
  if (!text.isWellFormed()) return "is not well-formed Unicode";
  try {
    JSON.parse(text);
    return null;
  } catch {
    return "is not JSON";
  }
}

/** UTF-8 needs one to three bytes a UTF-16 unit, so only what lies between is counted. */
const isTooLong = (text: string): boolean =>
  text.length > MAX_PAYLOAD_BYTES ||
  (text.length * 3 > MAX_PAYLOAD_BYTES && encoder.encode(text).length > MAX_PAYLOAD_BYTES);

export const payloadText = z
  .string()
  .superRefine((text, ctx) => {
    const message = payloadProblem(text);
    if (message !== null) ctx.addIssue({ code: "custom", message });
  })
  .openapi({ description: `Any JSON as a string, at most ${MAX_PAYLOAD_BYTES} bytes of UTF-8. {} by default.` });

/** An item with this payload, which has been found to be JSON. */
export const itemBytes = (payload: string | undefined, version: number | null): Uint8Array => {
  const fields = [
    ...(payload === undefined ? [] : [`"payload":${payload}`]),
    ...(version === null ? [] : [`"version":${version}`]),
  ];
  return encoder.encode(`{${fields.join(",")}}`);
};

export const name = () => z.string().min(1).max(255);
export const version = () =>
  z.string().min(1).max(64).openapi({ description: "`latest` (the default), a job version number or a version_id." });

const batchFields = {
  app_name: name().openapi({ description: "The project's slug." }),
  action_name: name().openapi({ description: "The job's slug." }),
  version: version().optional(),
  max_concurrency: z
    .int()
    .min(1)
    .max(100_000)
    .optional()
    .openapi({ description: "The project's `max_concurrent_invocations` by default." }),
};
const batchOptions = strictObject(batchFields);

/** For the document: the body is cut, not parsed as a whole. */
export const batchBody = z
  .strictObject({ ...batchFields, payloads: z.array(payloadText).min(1).max(MAX_PAYLOADS) })
  .openapi("KernelCreateBatch");

export interface BatchBody {
  fields: z.infer<typeof batchOptions>;
  payloads: PayloadList;
}

/** @throws ApiError `bad_request` for malformed JSON; `validation_failed` that names every bad field and payload. */
export function readBatchBody(bytes: Uint8Array): BatchBody {
  const members = membersOf(bytes);
  const others: Record<string, unknown> = Object.create(null);
  for (const [field, { from, to }] of members) {
    if (field !== "payloads") others[field] = Object.hasOwn(batchFields, field) ? parsed(bytes, from, to) : null;
  }
  const options = batchOptions.safeParse({ ...others });
  const details = options.success ? [] : detailsOf(options.error);
  const given = members.get("payloads");
  const isList = given !== undefined && bytes[given.from] === 0x5b;
  const payloads = isList ? new PayloadList(bytes, cutElements(bytes, given.from, given.to, MAX_PAYLOADS)) : null;
  if (payloads === null) details.push({ path: "payloads", message: given ? "must be a list" : "is required" });
  else details.push(...payloads.problems());
  if (details.length > 0 || payloads === null || !options.success) throw invalid(details.slice(0, MAX_LISTED));
  return { fields: options.data, payloads };
}

/** The payloads of a body, each read when it is asked for. */
class PayloadList {
  readonly count: number;
  private readonly bytes: Uint8Array;
  private readonly spans: Spans;

  constructor(bytes: Uint8Array, spans: Spans) {
    this.bytes = bytes;
    this.spans = spans;
    this.count = spans.count;
  }

  /** The payload, or what stands there instead. */
  at(index: number): unknown {
    const { bounds } = this.spans;
    return parsed(this.bytes, bounds[2 * index] as number, bounds[2 * index + 1] as number);
  }

  problems(): ErrorDetail[] {
    if (this.count === 0) return [{ path: "payloads", message: "must hold at least one payload" }];
    if (this.count > MAX_PAYLOADS) {
      return [{ path: "payloads", message: `holds ${this.count} payloads; at most ${MAX_PAYLOADS} are allowed` }];
    }
    const found: ErrorDetail[] = [];
    for (let i = 0; i < this.count && found.length < MAX_LISTED; i++) {
      const payload = this.at(i);
      const message = typeof payload === "string" ? payloadProblem(payload) : "must be a string";
      if (message !== null) found.push({ path: `payloads[${i}]`, message });
    }
    return found;
  }
}

/** The payloads as items of a bulk. */
export class PayloadSource implements ItemSource {
  bytes: Uint8Array = new Uint8Array(0);
  readonly from = 0;
  readonly tooLong = false;
  private readonly payloads: PayloadList;
  private readonly version: number | null;
  private index = 0;

  constructor(payloads: PayloadList, version: number | null) {
    this.payloads = payloads;
    this.version = version;
  }

  get to(): number {
    return this.bytes.length;
  }
  get cost(): number {
    return this.bytes.length;
  }

  next(): boolean {
    if (this.index === this.payloads.count) return false;
    this.bytes = itemBytes(this.payloads.at(this.index++) as string, this.version);
    return true;
  }

  async more(): Promise<boolean> {
    return false;
  }
}
