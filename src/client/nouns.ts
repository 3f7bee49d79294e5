import { stream } from "./events.ts";
import { linesOf } from "./ndjson.ts";
import type { Answer, Call, Import, ImportFile, Input } from "./routes.ts";
import { type CallOptions, fillPath, type Transport } from "./transport.ts";

/** What the client offers of imports, transforms and webhook deliveries. */

export type Caller = <C extends Call>(route: C, input: Input<C>, o?: CallOptions) => Promise<Answer<C>>;

interface Page<T> {
  data: T[];
  next_cursor: string | null;
}

/** Follows the pages of a list, each row once. */
export async function* rowsOf<T>(page: (cursor: string | undefined) => Promise<Page<T>>): AsyncGenerator<T> {
  for (let cursor: string | undefined; ; ) {
    const { data, next_cursor } = await page(cursor);
    yield* data;
    if (next_cursor === null) return;
    cursor = next_cursor;
  }
}

export type NewImport = Input<"POST /v1/imports">["body"];
export type ImportFilter = NonNullable<Input<"GET /v1/imports">["query"]>;

/** What a watched import says: its state, whole, and its numbers in between. */
export type ImportEvent =
  | { event: "import_state"; import: Import }
  | { event: "import_progress"; progress: ImportProgress };
export type ImportProgress = Pick<Import, "id" | "status" | "percent_complete" | "files" | "rows" | "bytes" | "tasks">;

/** A row that was not delivered. */
export interface ImportReject {
  file: string;
  /** From 1; null while only a later range of a split object has been read. */
  line: number | null;
  byte_offset: number;
  reason: string;
  /** Cut at 4 KiB. */
  raw: string;
}

export const importsOf = (transport: Transport, call: Caller) => ({
  create: (body: NewImport, o?: CallOptions) => call("POST /v1/imports", { body }, o),
  list: (filter: ImportFilter = {}) =>
    rowsOf<Import>((cursor) => call("GET /v1/imports", { query: { ...filter, cursor } })),
  get: (id: string, o?: CallOptions) => call("GET /v1/imports/{id}", { params: { id } }, o),
  files: (id: string) =>
    rowsOf<ImportFile>((cursor) => call("GET /v1/imports/{id}/files", { params: { id }, query: { cursor } })),
  /** Every row that was not delivered; while the import runs, those so far. */
  async *rejects(id: string): AsyncGenerator<ImportReject> {
    const path = fillPath("/v1/imports/{id}/rejects", { id });
    const headers = { Accept: "application/x-ndjson" };
    const { body } = await transport.raw({ method: "GET", path, headers, isRepeatable: true });
    if (body !== null) yield* linesOf<ImportReject>(body);
  },
  cancel: (id: string, o?: CallOptions) => call("POST /v1/imports/{id}/cancel", { params: { id } }, o),
  pause: (id: string, o?: CallOptions) => call("POST /v1/imports/{id}/pause", { params: { id } }, o),
  resume: (id: string, o?: CallOptions) => call("POST /v1/imports/{id}/resume", { params: { id } }, o),
  retry: (id: string, o?: CallOptions) => call("POST /v1/imports/{id}/retry", { params: { id } }, o),
  remove: (id: string, o?: CallOptions) => call("DELETE /v1/imports/{id}", { params: { id } }, o),
  /** Its state now, every change and the end, across broken connections. */
  async *watch(id: string, o: { signal?: AbortSignal } = {}): AsyncGenerator<ImportEvent> {
    const path = fillPath("/v1/imports/{id}/events", { id });
    const isLast = (e: { event: string; data: unknown }): boolean =>
      e.event === "import_state" && (e.data as Import).finished_at !== null;
    for await (const { event, data } of stream(transport, path, { ...o, isLast })) {
      if (event === "import_state") yield { event, import: data as Import };
      else if (event === "import_progress") yield { event, progress: data as ImportProgress };
    }
  },
});

type NewTransform = Input<"POST /v1/transforms">["body"];
type TransformChange = Input<"PUT /v1/transforms/{name}">["body"];
type TriedTransform = Input<"POST /v1/transforms/validate">["body"];
type Transform = Answer<"GET /v1/transforms/{name}">;

export const transformsOf = (call: Caller) => ({
  create: (body: NewTransform, o?: CallOptions) => call("POST /v1/transforms", { body }, o),
  list: () => rowsOf<Transform>((cursor) => call("GET /v1/transforms", { query: { cursor } })),
  get: (name: string, o?: CallOptions) => call("GET /v1/transforms/{name}", { params: { name } }, o),
  replace: (name: string, body: TransformChange, o?: CallOptions) =>
    call("PUT /v1/transforms/{name}", { params: { name }, body }, o),
  remove: (name: string, o?: CallOptions) => call("DELETE /v1/transforms/{name}", { params: { name } }, o),
  /** What it makes of some rows; nothing is kept. */
  validate: (body: TriedTransform, o?: CallOptions) => call("POST /v1/transforms/validate", { body }, o),
});

type WebhookDelivery = Answer<"GET /v1/webhook-deliveries/{id}">;
type DeliveryFilter = NonNullable<Input<"GET /v1/webhook-deliveries">["query"]>;

export const webhookDeliveriesOf = (call: Caller) => ({
  list: (filter: DeliveryFilter = {}) =>
    rowsOf<WebhookDelivery>((cursor) => call("GET /v1/webhook-deliveries", { query: { ...filter, cursor } })),
  get: (id: string, o?: CallOptions) => call("GET /v1/webhook-deliveries/{id}", { params: { id } }, o),
  /** Sends it again, whatever its status. */
  retry: (id: string, o?: CallOptions) => call("POST /v1/webhook-deliveries/{id}/retry", { params: { id } }, o),
});
