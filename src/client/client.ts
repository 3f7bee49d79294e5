import type { Item } from "../http/api.ts";
import { type BulkOptions, type BulkResult, bulk } from "./bulk.ts";
import { stream } from "./events.ts";
import { linesOf } from "./ndjson.ts";
import { type Caller, importsOf, rowsOf, transformsOf, webhookDeliveriesOf } from "./nouns.ts";
import type { Answer, BatchItem, BatchOperation, Call, Input, Job, Run } from "./routes.ts";
import type { Rehearsed, Triggered } from "./service.ts";
import { type CallOptions, type ClientOptions, fillPath, Transport } from "./transport.ts";

export type { Item } from "../http/api.ts";
export type { BulkOptions, BulkResult } from "./bulk.ts";
export { SluiceError, SluiceUnreachable } from "./error.ts";
export type { ImportEvent, ImportFilter, ImportProgress, ImportReject, NewImport } from "./nouns.ts";
export type { Answer, BatchItem, BatchOperation, Call, Import, ImportFile, Input, Job, Run } from "./routes.ts";
export type {
  BatchOptions,
  BulkTriggered,
  Rehearsed,
  ServiceOptions,
  ServiceProps,
  SluiceService,
  Triggered,
} from "./service.ts";
export type { CallOptions, ClientOptions } from "./transport.ts";
export { type Verdict, type VerifyOptions, verifySignature } from "./webhook.ts";

type NewJob = Input<"POST /v1/jobs">["body"];
type JobChange = Input<"PATCH /v1/jobs/{job}">["body"];
type JobFilter = NonNullable<Input<"GET /v1/jobs">["query"]>;
type RunFilter = NonNullable<Input<"GET /v1/runs">["query"]>;
type BatchFilter = NonNullable<Input<"GET /v1/batch-operations">["query"]>;
type BatchChange = Input<"PATCH /v1/batch-operations/{id}">["body"];

/** What a watched batch operation says: its state, whole, and its numbers in between. */
export type BatchEvent =
  | { event: "batch_state"; batch: BatchOperation }
  | { event: "batch_progress"; progress: BatchProgress };
export type BatchProgress = Pick<
  BatchOperation,
  "counts" | "succeeded_count" | "failed_count" | "percent_complete" | "throughput_per_sec" | "eta_at"
>;

/** A line of a batch operation's results. */
export interface BatchResult {
  index: number;
  run_id: string;
  status: Run["status"];
  result: unknown;
  error: Run["error"];
}

/**
 * A client of Sluice's API. Its types are those of the routes.
 *
 * Failed calls are repeated where that does nothing twice: reads, changes, and everything that creates, which carries an
 * `Idempotency-Key`. A single `trigger` does so only with an `idempotency_key` of its own.
 */
export function createClient(options: ClientOptions) {
  const transport = new Transport(options);
  const call: Caller = <C extends Call>(route: C, input: Input<C>, o?: CallOptions): Promise<Answer<C>> =>
    transport.call(route, input, o);

  /** One run. With an `idempotency_key` a broken connection is no trouble: the run is made once. */
  function trigger(job: string, item: Item & { dry_run: true }, o?: CallOptions): Promise<Rehearsed>;
  function trigger(job: string, item?: Item & { dry_run?: false }, o?: CallOptions): Promise<Triggered>;
  function trigger(job: string, item?: Item & { dry_run?: boolean }, o?: CallOptions): Promise<Triggered | Rehearsed>;
  function trigger(job: string, item: Item = {}, o: CallOptions = {}): Promise<Triggered | Rehearsed> {
    const idempotencyKey = o.idempotencyKey ?? item.idempotency_key ?? undefined;
    return call("POST /v1/jobs/{job}/trigger", { params: { job }, body: item }, { ...o, idempotencyKey });
  }

  return {
    /** Any route, by its method and path: `call("GET /v1/jobs/{job}", { params: { job: "orders" } })`. */
    call,

    jobs: {
      list: (filter: JobFilter = {}) => rowsOf<Job>((cursor) => call("GET /v1/jobs", { query: { ...filter, cursor } })),
      get: (job: string, o?: CallOptions) => call("GET /v1/jobs/{job}", { params: { job } }, o),
      create: (body: NewJob, o?: CallOptions) => call("POST /v1/jobs", { body }, o),
      update: (job: string, body: JobChange, o?: CallOptions) =>
        call("PATCH /v1/jobs/{job}", { params: { job }, body }, o),
      remove: (job: string, o?: CallOptions) => call("DELETE /v1/jobs/{job}", { params: { job } }, o),
      pause: (job: string, o?: CallOptions) => call("POST /v1/jobs/{job}/pause", { params: { job } }, o),
      resume: (job: string, o?: CallOptions) => call("POST /v1/jobs/{job}/resume", { params: { job } }, o),
      health: (job: string, o?: CallOptions) => call("GET /v1/jobs/{job}/health", { params: { job } }, o),
    },

    trigger,

    /** Any number of items, up to a million, from a list or from whatever can be iterated; see `bulk`. */
    bulk: (
      job: string,
      items: Iterable<Item | string> | AsyncIterable<Item | string>,
      o?: BulkOptions,
    ): Promise<BulkResult> => bulk(transport, job, items, o),

    batches: {
      list: (filter: BatchFilter = {}) =>
        rowsOf<BatchOperation>((cursor) => call("GET /v1/batch-operations", { query: { ...filter, cursor } })),
      get: (id: string, o?: CallOptions) => call("GET /v1/batch-operations/{id}", { params: { id } }, o),
      update: (id: string, body: BatchChange, o?: CallOptions) =>
        call("PATCH /v1/batch-operations/{id}", { params: { id }, body }, o),
      cancel: (id: string, o?: CallOptions) => call("POST /v1/batch-operations/{id}/cancel", { params: { id } }, o),
      pause: (id: string, o?: CallOptions) => call("POST /v1/batch-operations/{id}/pause", { params: { id } }, o),
      resume: (id: string, o?: CallOptions) => call("POST /v1/batch-operations/{id}/resume", { params: { id } }, o),
      /** A new batch operation of replays of what failed; repeated with the same key it is made once. */
      retryFailed: (id: string, o?: CallOptions) =>
        call("POST /v1/batch-operations/{id}/retry-failed", { params: { id } }, o),
      items: (id: string, filter: { outcome?: BatchItem["outcome"] } = {}) =>
        rowsOf<BatchItem>((cursor) =>
          call("GET /v1/batch-operations/{id}/items", { params: { id }, query: { ...filter, cursor } }),
        ),
      /** Every outcome, in index order; of an unfinished batch what is finished. */
      async *results(id: string, query: { status?: string; after_index?: number } = {}): AsyncGenerator<BatchResult> {
        const path = fillPath("/v1/batch-operations/{id}/results", { id });
        const headers = { Accept: "application/x-ndjson" };
        const { body } = await transport.raw({ method: "GET", path, query, headers, isRepeatable: true });
        if (body !== null) yield* linesOf<BatchResult>(body);
      },
      /** Its state now, every change and the end, across broken connections. */
      async *watch(id: string, o: { signal?: AbortSignal } = {}): AsyncGenerator<BatchEvent> {
        const path = fillPath("/v1/batch-operations/{id}/events", { id });
        const isLast = (e: { event: string; data: unknown }): boolean =>
          e.event === "batch_state" && (e.data as BatchOperation).finished_at !== null;
        for await (const { event, data } of stream(transport, path, { ...o, isLast })) {
          if (event === "batch_state") yield { event, batch: data as BatchOperation };
          else if (event === "batch_progress") yield { event, progress: data as BatchProgress };
        }
      },
    },

    runs: {
      list: (filter: RunFilter = {}) => rowsOf((cursor) => call("GET /v1/runs", { query: { ...filter, cursor } })),
      listOfJob: (job: string, filter: RunFilter = {}) =>
        rowsOf((cursor) => call("GET /v1/jobs/{job}/runs", { params: { job }, query: { ...filter, cursor } })),
      /** One page, newest first. */
      listPage: (query: RunFilter = {}, job?: string) =>
        job === undefined
          ? call("GET /v1/runs", { query })
          : call("GET /v1/jobs/{job}/runs", { params: { job }, query }),
      get: (id: string, o?: CallOptions) => call("GET /v1/runs/{id}", { params: { id } }, o),
      cancel: (id: string, o?: CallOptions) => call("POST /v1/runs/{id}/cancel", { params: { id } }, o),
      replay: (id: string, o?: CallOptions) => call("POST /v1/runs/{id}/replay", { params: { id } }, o),
      /** Its state now, every change and the end. */
      async *watch(id: string, o: { signal?: AbortSignal } = {}): AsyncGenerator<Run> {
        const path = fillPath("/v1/runs/{id}/events", { id });
        const isLast = (e: { data: unknown }): boolean => (e.data as Run).finished_at !== null;
        for await (const { data } of stream(transport, path, { ...o, isLast })) yield data as Run;
      },
    },

    imports: importsOf(transport, call),
    transforms: transformsOf(call),
    webhookDeliveries: webhookDeliveriesOf(call),
  };
}

export type SluiceClient = ReturnType<typeof createClient>;
