import { SluiceError, SluiceUnreachable } from "./error.ts";
import { FIRST_DELAY_MS, mayRetry, pause, retryDelay } from "./retry.ts";
import type { Answer, Call, Input } from "./routes.ts";

export interface ClientOptions {
  /** Where Sluice is, such as `https://sluice.example.com`. */
  url: string;
  /** An API key. */
  key: string;
  /** Further tries of a call that failed and may be repeated; 4 by default. */
  retries?: number;
  /** Before the second try, in milliseconds, doubled for every further one; 500 by default. */
  retryDelayMs?: number;
  /** A try that has no answer after this long is given up, in milliseconds; 60,000 by default. */
  timeoutMs?: number;
  /** Instead of the global one: a service binding's `fetch`, for instance. */
  fetch?: (request: Request) => Promise<Response>;
}

/** Beside what a route takes. */
export interface CallOptions {
  /** Makes a POST that creates repeatable: the same key and body do it once. Made up where it is left out. */
  idempotencyKey?: string;
  /** The ETag that must still be the object's. */
  ifMatch?: string;
  signal?: AbortSignal;
}

/** A call as it goes out. */
export interface RawCall {
  method: string;
  path: string;
  query?: Record<string, unknown>;
  headers?: Record<string, string>;
  body?: BodyInit;
  /** Asked again, it does nothing twice. */
  isRepeatable: boolean;
  signal?: AbortSignal;
}

const RETRIES = 4;
const TIMEOUT_MS = 60_000;

/**
 * POSTs that honour no `Idempotency-Key`, but do nothing twice all the same; beside them only those that create are
 * repeated. A single trigger takes the header for the item's own key, so it is given only where the caller names one.
 */
const REPEATABLE_POST = /\/(pause|resume|cancel|seal|items|pause-all|resume-all|stream-token|validate)$/;
const TRIGGER = /^\/v1\/jobs\/[^/]+\/trigger$/;

/** Asks, and asks again where that may help. */
export class Transport {
  private readonly options: ClientOptions;
  private readonly send: (request: Request) => Promise<Response>;

  constructor(options: ClientOptions) {
    if (!URL.canParse(options.url)) throw new TypeError(`${JSON.stringify(options.url)} is no address: https://… is`);
    this.options = options;
    this.send = options.fetch ?? ((request) => fetch(request));
  }

  /** A call by its route. */
  async call<C extends Call>(route: C, input: Input<C>, options: CallOptions = {}): Promise<Answer<C>> {
    const given = input as { params?: Record<string, string>; query?: Record<string, unknown>; body?: unknown };
    const [method = "", path = ""] = route.split(" ");
    const target = fillPath(path, given.params ?? {});
    const headers: Record<string, string> = {};
    if (options.ifMatch !== undefined) headers["If-Match"] = options.ifMatch;
    const key = options.idempotencyKey ?? (needsKey(method, target) ? crypto.randomUUID() : undefined);
    if (key !== undefined) headers["Idempotency-Key"] = key;
    if (given.body !== undefined) headers["Content-Type"] = "application/json";
    const response = await this.raw({
      method,
      path: target,
      query: given.query,
      headers,
      body: given.body === undefined ? undefined : JSON.stringify(given.body),
      isRepeatable: method !== "POST" || key !== undefined || REPEATABLE_POST.test(target),
      signal: options.signal,
    });
    const text = await response.text();
    return (text === "" ? null : JSON.parse(text)) as Answer<C>;
  }

  /**
   * The answer to a call, whose status is good.
   *
   * @throws SluiceError, SluiceUnreachable, or the signal's reason.
   */
  async raw(call: RawCall): Promise<Response> {
    const tries = 1 + (this.options.retries ?? RETRIES);
    for (let n = 1; ; n++) {
      try {
        return await this.once(call);
      } catch (error) {
        if (call.signal?.aborted) throw call.signal.reason;
        if (n >= tries || !mayRetry({ error, isRepeatable: call.isRepeatable })) throw error;
        await this.pause(n, error, call.signal);
      }
    }
  }

  /** The wait after try `n` (from 1), which met `error`. */
  pause(n: number, error: unknown, signal?: AbortSignal): Promise<void> {
    return pause(retryDelay(n, this.options.retryDelayMs ?? FIRST_DELAY_MS, error, Math.random()), signal);
  }

  private async once(call: RawCall): Promise<Response> {
    const url = new URL(this.options.url.replace(/\/+$/, "") + call.path);
    appendQuery(url.searchParams, call.query ?? {});
    const patience = patienceOf(call.signal, this.options.timeoutMs ?? TIMEOUT_MS);
    try {
      const headers = { Accept: "application/json", ...call.headers, Authorization: `Bearer ${this.options.key}` };
      const response = await this.send(
        new Request(url, {
          method: call.method,
          headers,
          body: call.body,
          signal: patience.signal,
          redirect: "manual",
        }),
      );
      if (response.ok) return response;
      throw new SluiceError(response, await response.text(), Date.now());
    } catch (error) {
      if (error instanceof SluiceError || call.signal?.aborted) throw error;
      const why = reasonOf(error);
      throw new SluiceUnreachable(`${url.origin} cannot be reached (${call.method} ${call.path}): ${why}`, {
        cause: error,
      });
    } finally {
      patience.answered();
    }
  }
}

/** `fetch failed` says nothing; what caused it does. */
function reasonOf(error: unknown): string {
  const { cause } = error as { cause?: { message?: string; code?: string } };
  return cause?.message || cause?.code || (error instanceof Error ? error.message : String(error));
}

/** Ends the wait for an answer, and no longer the reading of one that has come: a stream may take its time. */
function patienceOf(signal: AbortSignal | undefined, ms: number): { signal: AbortSignal; answered(): void } {
  const controller = new AbortController();
  const timer = setTimeout(() => controller.abort(new Error(`no answer within ${ms} ms`)), ms);
  const both = signal === undefined ? controller.signal : AbortSignal.any([signal, controller.signal]);
  return { signal: both, answered: () => clearTimeout(timer) };
}

const needsKey = (method: string, path: string): boolean =>
  method === "POST" && !REPEATABLE_POST.test(path) && !TRIGGER.test(path);

/** `/v1/jobs/{job}` with its names replaced. */
export const fillPath = (path: string, params: Record<string, string>): string =>
  path.replace(/\{(\w+)\}/g, (_, name: string) => {
    const value = params[name];
    if (value === undefined || value === "") throw new TypeError(`${path} needs ${name}`);
    return encodeURIComponent(value);
  });

function appendQuery(search: URLSearchParams, query: Record<string, unknown>): void {
  for (const [name, value] of Object.entries(query)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== undefined && one !== null) search.append(name, String(one));
    }
  }
}
