import type { CallOutcome } from "../domain/call.ts";
import { parseRetryAfter } from "../domain/retry-after.ts";
import { isSuccess, type StatusRules } from "../domain/status-pattern.ts";
import type { Deadlines } from "./deadlines.ts";
import { readExcerpt, readResult } from "./response-body.ts";

/** One call, down to its last byte. The address has been checked. */
export interface PreparedCall {
  url: string;
  /** The Worker to call; null: the network. */
  service: Fetcher | null;
  method: string;
  headers: Record<string, string>;
  /** The payload as it was sent to us. */
  body: string;
  /** Covers connection, headers and body. */
  timeout_ms: number;
  /** Whose body is a result. */
  success: StatusRules;
}

/** A call that has begun. */
export interface CallInFlight {
  /** Never rejects. */
  outcome: Promise<CallOutcome>;
  /** Hangs up at once; the outcome is `aborted` unless it stood before. */
  abort(): void;
}

const MAX_MESSAGE = 300;

/** The runtime names a refused, reset or broken connection in several ways, and a name that does not resolve in none. */
function connectionLost(error: unknown): CallOutcome {
  const message = error instanceof Error ? error.message : String(error);
  const shown = message.startsWith("internal error")
    ? "the endpoint could not be reached, or did not answer in HTTP"
    : message.slice(0, MAX_MESSAGE);
  return { kind: "connection", message: shown };
}

async function converse(call: PreparedCall, signal: AbortSignal): Promise<CallOutcome> {
  const { method, headers, body } = call;
  const init: RequestInit = { method, headers, body, redirect: "manual", signal };
  const response = await (call.service === null ? fetch(call.url, init) : call.service.fetch(call.url, init));
  const http_status = response.status;
  if (isSuccess(call.success, http_status)) {
    const { result, truncated } = await readResult(response);
    return { kind: "response", http_status, result, truncated, retry_after_ms: null };
  }
  const retry_after_ms = parseRetryAfter(response.headers.get("retry-after"), Date.now());
  const excerpt = await readExcerpt(response);
  return { kind: "response", http_status, result: null, truncated: false, retry_after_ms, excerpt };
}

/**
 * Calls an endpoint: the only place that does. Redirects are not followed. The outcome stands the moment it hangs up,
 * whether or not the runtime lets go of the connection as fast.
 */
export function beginCall(call: PreparedCall, deadlines: Deadlines): CallInFlight {
  const controller = new AbortController();
  let hangUp: (outcome: CallOutcome) => void = () => undefined;
  const outcome = new Promise<CallOutcome>((resolve) => {
    const forget = deadlines.watch(call.timeout_ms, () => hangUp({ kind: "timeout" }));
    const end = (ended: CallOutcome): void => {
      forget();
      resolve(ended);
    };
    hangUp = (ended) => {
      end(ended);
      controller.abort();
    };
    converse(call, controller.signal).then(end, (error: unknown) => end(connectionLost(error)));
  });
  return { outcome, abort: () => hangUp({ kind: "aborted" }) };
}
