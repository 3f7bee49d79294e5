import { WorkerEntrypoint } from "cloudflare:workers";
import type { BatchOperation, Run } from "../client/routes.ts";
import type {
  BatchOptions,
  BulkTriggered,
  Rehearsed,
  ServiceOptions,
  ServiceProps,
  SluiceService,
  Triggered,
} from "../client/service.ts";
import type { Env } from "../env.ts";
import type { Item } from "../http/api.ts";
import type { Caller } from "../operations/authorize.ts";
import { serviceCaller } from "../operations/service-callers.ts";

/** The routes, asked from inside: by a caller who is known already. */
export type Routes = (
  request: Request,
  caller: Caller,
  env: Env,
  ctx: ExecutionContext,
) => Response | Promise<Response>;

interface Refusal {
  code?: string;
  message?: string;
  details?: { path: string; message: string }[];
}

/**
 * What a call is refused with. The message has all of it, `code: message (path: message; …)`, because not every way to the
 * caller keeps the fields of an Error: the local runtime's from one process to another does not.
 */
function refusal(response: Response, { error = {} }: { error?: Refusal }): Error {
  const { code = "internal_error", message = `HTTP ${response.status}`, details = [] } = error;
  const fields = details.map((d) => `${d.path}: ${d.message}`).join("; ");
  const requestId = response.headers.get("X-Request-Id");
  const text = `${code}: ${message}${fields === "" ? "" : ` (${fields})`}`;
  return Object.assign(new Error(text), { code, status: response.status, details, requestId });
}

const JSON_TYPE = { "Content-Type": "application/json" };

/**
 * The entrypoint over the routes: each method is one request to them, so that Workers and HTTP clients are judged and
 * answered alike.
 */
export function entrypointOver(routes: Routes) {
  return class extends WorkerEntrypoint<Env, ServiceProps> implements SluiceService {
    trigger(
      job: string,
      item: Item & { dry_run?: boolean } = {},
      options: ServiceOptions = {},
    ): Promise<Triggered & Rehearsed> {
      return this.#json(
        "POST",
        `/v1/jobs/${encodeURIComponent(job)}/trigger`,
        JSON.stringify(item),
        JSON_TYPE,
        options,
      );
    }

    triggerBulk(
      job: string,
      items: Item[] | ReadableStream<Uint8Array>,
      batch: BatchOptions = {},
      options: ServiceOptions = {},
    ): Promise<BulkTriggered> {
      const path = `/v1/jobs/${encodeURIComponent(job)}/trigger-bulk`;
      if (!(items instanceof ReadableStream)) {
        return this.#json("POST", path, JSON.stringify({ ...batch, items }), JSON_TYPE, options);
      }
      const type = { "Content-Type": "application/x-ndjson" };
      return this.#json("POST", `${path}?${queryOf(batch)}`, items, type, options);
    }

    getRun(id: string): Promise<Run> {
      return this.#json("GET", `/v1/runs/${encodeURIComponent(id)}`);
    }

    getBatch(id: string): Promise<BatchOperation> {
      return this.#json("GET", `/v1/batch-operations/${encodeURIComponent(id)}`);
    }

    cancelBatch(id: string): Promise<BatchOperation> {
      return this.#json("POST", `/v1/batch-operations/${encodeURIComponent(id)}/cancel`);
    }

    async watchBatch(id: string, lastEventId?: string): Promise<ReadableStream<Uint8Array>> {
      const headers: Record<string, string> = lastEventId === undefined ? {} : { "Last-Event-ID": lastEventId };
      const response = await this.#ask(
        "GET",
        `/v1/batch-operations/${encodeURIComponent(id)}/events`,
        undefined,
        headers,
      );
      // Without one the end has been seen.
      return response.body ?? (new Blob([]).stream() as ReadableStream<Uint8Array>);
    }

    async #json<T>(
      method: string,
      path: string,
      body?: BodyInit,
      headers: Record<string, string> = {},
      options: ServiceOptions = {},
    ): Promise<T> {
      const all = { ...headers };
      if (options.idempotencyKey !== undefined) all["Idempotency-Key"] = options.idempotencyKey;
      if (options.traceparent !== undefined) all.traceparent = options.traceparent;
      if (options.tracestate !== undefined) all.tracestate = options.tracestate;
      return (await (await this.#ask(method, path, body, all)).json()) as T;
    }

    async #ask(method: string, path: string, body?: BodyInit, headers: Record<string, string> = {}): Promise<Response> {
      const caller = await serviceCaller(this.env, this.ctx.props);
      const request = new Request(`https://sluice.internal${path}`, { method, headers, body });
      const response = await routes(request, caller, this.env, this.ctx);
      if (response.ok) return response;
      throw refusal(response, await response.json());
    }
  };
}

/** Options of a batch beside NDJSON stand in the query; what is no text there is JSON. */
function queryOf(batch: BatchOptions): URLSearchParams {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(batch)) {
    if (value !== undefined && value !== null)
      query.set(name, typeof value === "object" ? JSON.stringify(value) : String(value));
  }
  return query;
}
