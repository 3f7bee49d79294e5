import type { Context } from "hono";
import { HTTPException } from "hono/http-exception";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import { ApiError, type ErrorCode } from "../domain/error.ts";
import { logError } from "../log.ts";
import type { AppEnv } from "./context.ts";

/** A failure as one face shows it. */
export interface FaceError {
  status: number;
  body: object;
  headers: Record<string, string>;
}

/** The native face's: `{"error":{code,message,details},"request_id"}`. */
const nativeError = (failure: ApiError, requestId: string): FaceError => ({
  status: failure.status,
  body: {
    error: { code: failure.code, message: failure.message, details: failure.details },
    ...failure.extra,
    request_id: requestId,
  },
  headers: {},
});

/** The one place where a failure becomes an answer, in the shape of the face that was asked. */
export function respondWithError(error: unknown, c: Context<AppEnv>): Response {
  const failure = toApiError(error);
  if (failure.code === "internal_error" || failure.code === "unavailable") {
    const { method, path } = c.req;
    logError("request_failed", { request_id: c.var.requestId, method, path, code: failure.code }, describe(error));
  }
  const { status, body, headers } = (c.var.errorOf ?? nativeError)(failure, c.var.requestId);
  const response = c.json(body, status as ContentfulStatusCode, headers);
  response.headers.set("X-Request-Id", c.var.requestId);
  if (failure.retryAfterSecs !== null) response.headers.set("Retry-After", String(failure.retryAfterSecs));
  // Known to clients that would try a 409 again of themselves.
  if (failure.code === "conflict" && failure.retryAfterSecs === null) response.headers.set("X-Should-Retry", "false");
  if (failure.code === "authentication_required") response.headers.set("WWW-Authenticate", "Bearer");
  return response;
}

const HTTP_CODES: Record<number, [ErrorCode, string]> = {
  400: ["bad_request", "the body is not well-formed JSON"],
  413: ["payload_too_large", "the body is too large"],
  415: ["unsupported_media_type", "Content-Type: expected application/json"],
};

/** Callers may try again after this many seconds when something that we lean on is down. */
const OUTAGE_RETRY_SECS = 5;

/** What an answer says of any failure; its own only where it may. */
export function toApiError(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  if (error instanceof HTTPException) {
    const known = HTTP_CODES[error.status];
    if (known) return new ApiError(known[0], known[1]);
  }
  if (isOutage(error)) {
    return new ApiError("unavailable", "a dependency is not available; try again", {
      retryAfterSecs: OUTAGE_RETRY_SECS,
    });
  }
  return new ApiError("internal_error", "something went wrong on our side; the request_id names it in our log");
}

/** What D1 and Durable Objects say when they cannot serve, rather than when we asked for nonsense. */
const OUTAGE_TEXT =
  /overloaded|Network connection lost|storage caused object to be reset|reset because its code was updated|Cannot resolve D1 DB|Internal error while starting up D1|storage operation exceeded timeout|too many requests queued|Requests queued for too long/i;

function isOutage(error: unknown): boolean {
  for (let cause: unknown = error, depth = 0; cause instanceof Error && depth < 4; cause = cause.cause, depth++) {
    const flags = cause as { retryable?: boolean; overloaded?: boolean };
    if (flags.retryable === true || flags.overloaded === true || OUTAGE_TEXT.test(cause.message)) return true;
  }
  return false;
}

function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const cause = error.cause instanceof Error ? ` (cause: ${error.cause.message})` : "";
  return `${error.stack ?? error.message}${cause}`;
}
