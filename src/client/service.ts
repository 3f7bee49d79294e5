import type { Item } from "../http/api.ts";
import type { Answer, BatchOperation, Input, Run } from "./routes.ts";

/**
 * What another Worker finds behind a service binding to the entrypoint `Sluice`:
 *
 * ```toml
 * services = [{ binding = "SLUICE", service = "sluice", entrypoint = "Sluice",
 *               props = { project = "my-project", name = "checkout" } }]
 * ```
 *
 * The binding's `props` name the project that is acted in and who acts (`service:<name>`); the caller cannot change them, and
 * needs no key. Every method takes and answers what its route over HTTP does.
 */

export interface ServiceProps {
  /** The project's id or slug. */
  project: string;
  /** Who calls: 1 to 64 of a-z, A-Z, 0-9, `.`, `_` and `-`. */
  name: string;
}

export interface ServiceOptions {
  /** The same key and body within 24 hours are done once. */
  idempotencyKey?: string;
  /** The trace that the calls belong to. */
  traceparent?: string;
  tracestate?: string;
}

type TriggerAnswer = Answer<"POST /v1/jobs/{job}/trigger">;
export type Triggered = Extract<TriggerAnswer, { id: string }>;
/** Of a `dry_run`: what would happen. */
export type Rehearsed = Exclude<TriggerAnswer, { id: string }>;
export type BulkTriggered = Answer<"POST /v1/jobs/{job}/trigger-bulk">;
/** Options of a batch operation, as a JSON bulk has them beside its items. */
export type BatchOptions = Partial<
  Pick<
    NonNullable<Input<"PATCH /v1/batch-operations/{id}">["body"]>,
    "max_concurrency" | "failure_threshold" | "metadata"
  >
> & { webhook_url?: string; webhook_secret?: string; dry_run?: boolean };

/**
 * Every method rejects with an Error whose message begins with the HTTP error's code, as in `not_found: …`, and names every
 * bad field; where the runtime keeps an Error's fields it also has `code`, `status`, `details` and `requestId`.
 */
export interface SluiceService {
  trigger(job: string, item: Item & { dry_run: true }, options?: ServiceOptions): Promise<Rehearsed>;
  trigger(job: string, item?: Item & { dry_run?: false }, options?: ServiceOptions): Promise<Triggered>;
  /** Up to 10,000 items as a list, or up to a million as a stream of NDJSON. */
  triggerBulk(
    job: string,
    items: Item[] | ReadableStream<Uint8Array>,
    batch?: BatchOptions,
    options?: ServiceOptions,
  ): Promise<BulkTriggered>;
  getRun(id: string): Promise<Run>;
  getBatch(id: string): Promise<BatchOperation>;
  cancelBatch(id: string): Promise<BatchOperation>;
  /** Server-sent events, as `GET /v1/batch-operations/{id}/events` sends them; `readEvents` reads them. */
  watchBatch(id: string, lastEventId?: string): Promise<ReadableStream<Uint8Array>>;
}
