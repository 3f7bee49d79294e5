import { z } from "@hono/zod-openapi";
import type { ApiError } from "../../domain/error.ts";
import type { FaceError } from "../error.ts";

/** Errors as this face's clients know them: `{code, message, details}` at the top, bad input always 400. */

const kernelErrorBody = z
  .object({
    code: z.string().openapi({ example: "bad_request" }),
    message: z.string(),
    details: z.array(z.object({ code: z.string(), message: z.string() })),
  })
  .openapi("KernelError");

const CODES: Partial<Record<ApiError["code"], string>> = {
  validation_failed: "bad_request",
  rate_limited: "rate_limit_exceeded",
};

/** The client repeats every request that is answered 409, unless it is told that the answer is final. */
const FINAL = { "x-should-retry": "false" };

export function kernelError(failure: ApiError): FaceError {
  const code = CODES[failure.code] ?? failure.code;
  const details = failure.details.map(({ path, message }) => ({ code, message: `${path}: ${message}` }));
  return {
    status: failure.code === "validation_failed" ? 400 : failure.status,
    body: { code, message: failure.message, details },
    headers: failure.code === "conflict" && failure.retryAfterSecs === null ? FINAL : {},
  };
}

const MEANING: Record<number, string> = {
  400: "Bad input; `details` names every bad field",
  401: "Missing or wrong credentials",
  403: "The credentials lack the route's scope",
  404: "No such app, action, version or object, or another project's",
  409: "The state does not allow it; `x-should-retry: false` where asking again is of no use",
  413: "The body is too large",
  415: "The Content-Type is not one of this route's",
  500: "An error of ours; it shows no internals",
  503: "A dependency is down or the deployment is misconfigured; see Retry-After",
};

const errorResponse = (status: number) => ({
  description: MEANING[status] ?? "Error",
  content: { "application/json": { schema: kernelErrorBody } },
});

type ErrorResponses<S extends number> = { [K in S]: ReturnType<typeof errorResponse> };

/** The error answers of a route: those named, and those that every route has. */
export function kernelErrors<const S extends number>(
  ...statuses: S[]
): ErrorResponses<S | 400 | 401 | 403 | 500 | 503> {
  const all = [...new Set([400, 401, 403, ...statuses, 500, 503])].sort((a, b) => a - b);
  return Object.fromEntries(all.map((s) => [s, errorResponse(s)])) as ErrorResponses<S | 400 | 401 | 403 | 500 | 503>;
}
