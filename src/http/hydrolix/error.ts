import { z } from "@hono/zod-openapi";
import type { ApiError } from "../../domain/error.ts";
import type { FaceError } from "../error.ts";

/** Errors as this face's clients know them: `{"detail": "…"}`. */

export const hydrolixErrorBody = z
  .object({ detail: z.string().openapi({ description: "Names every bad field." }) })
  .openapi("HydrolixError");

export function hydrolixError(failure: ApiError): FaceError {
  const fields = failure.details.map(({ path, message }) => `${path}: ${message}`);
  return {
    status: failure.status,
    body: { detail: fields.length > 0 ? fields.join("; ") : failure.message },
    headers: {},
  };
}

const MEANING: Record<number, string> = {
  400: "Malformed JSON",
  401: "Missing or wrong credentials",
  403: "The credentials lack the route's scope",
  404: "No such org, table, transform or job, or another project's",
  409: "The name is taken, or the state does not allow it",
  413: "The body is too large",
  415: "The Content-Type is not one of this route's",
  422: "Bad input; `detail` names every bad field",
  500: "An error of ours; it shows no internals",
  503: "A dependency is down or the deployment is misconfigured; see Retry-After",
};

const errorResponse = (status: number) => ({
  description: MEANING[status] ?? "Error",
  content: { "application/json": { schema: hydrolixErrorBody } },
});

type ErrorResponses<S extends number> = { [K in S]: ReturnType<typeof errorResponse> };

/** The error answers of a route: those named, and those that every route has. */
export function hydrolixErrors<const S extends number>(
  ...statuses: S[]
): ErrorResponses<S | 401 | 403 | 404 | 422 | 500 | 503> {
  const all = [...new Set([401, 403, 404, 422, ...statuses, 500, 503])].sort((a, b) => a - b);
  return Object.fromEntries(all.map((s) => [s, errorResponse(s)])) as ErrorResponses<
    S | 401 | 403 | 404 | 422 | 500 | 503
  >;
}
