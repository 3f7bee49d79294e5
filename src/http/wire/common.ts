import { z } from "@hono/zod-openapi";
import { ERROR_STATUS, type ErrorCode } from "../../domain/error.ts";
import { strictObject } from "../../domain/strict.ts";

/** Shapes that every route shares (contract 1). */

export const uuid = () => z.uuid().openapi({ example: "019c2f6e-7d80-7a3b-9c55-0000000002a1" });

/** On the wire: RFC 3339, UTC, milliseconds. */
export const instant = () => z.iso.datetime({ precision: 3 }).openapi({ example: "2026-11-23T09:30:00.000Z" });

/** Unix milliseconds as the wire writes them. */
export const iso = (ms: number): string => new Date(ms).toISOString();
export const isoOrNull = (ms: number | null): string | null => (ms === null ? null : iso(ms));

const errorBody = z
  .object({
    error: z.object({
      code: z.enum(Object.keys(ERROR_STATUS) as [ErrorCode, ...ErrorCode[]]),
      message: z.string(),
      details: z.array(z.object({ path: z.string(), message: z.string() })).openapi({
        description: "Every bad field, `path` as in `items[3].payload`. May be empty.",
      }),
    }),
    request_id: z.string(),
  })
  .openapi("Error");

const MEANING: Record<number, string> = {
  400: "Malformed JSON, or a bad cursor",
  401: "Missing or wrong credentials",
  403: "The credentials lack the route's scope",
  404: "No such object, or another project's",
  409: "The state does not allow it",
  412: "If-Match names an older state",
  413: "The body is too large",
  415: "The Content-Type is not one of this route's",
  422: "The request is well-formed but wrong; `details` names every bad field",
  429: "Too many requests; see Retry-After",
  500: "An error of ours; it shows no internals",
  503: "A dependency is down or the deployment is misconfigured; see Retry-After",
};

const errorResponse = (status: number) => ({
  description: MEANING[status] ?? "Error",
  content: { "application/json": { schema: errorBody } },
});

type ErrorResponses<S extends number> = { [K in S]: ReturnType<typeof errorResponse> };

/** The error answers of a route: those named, and those that every secured route has. */
export function errors<const S extends number>(...statuses: S[]): ErrorResponses<S | 401 | 403 | 500 | 503> {
  const all = [...new Set([401, 403, ...statuses, 500, 503])].sort((a, b) => a - b);
  return Object.fromEntries(all.map((s) => [s, errorResponse(s)])) as ErrorResponses<S | 401 | 403 | 500 | 503>;
}

/** The same for a route that needs no key. */
export function openErrors<const S extends number>(...statuses: S[]): ErrorResponses<S | 500> {
  return Object.fromEntries([...new Set([...statuses, 500])].map((s) => [s, errorResponse(s)])) as ErrorResponses<
    S | 500
  >;
}

/** A JSON answer. */
export const json = <S extends z.ZodType>(schema: S, description: string) => ({
  description,
  content: { "application/json": { schema } },
});

/** A required JSON body that is checked against the schema. */
export const jsonBody = <S extends z.ZodType>(schema: S) => ({
  required: true,
  content: { "application/json": { schema } },
});

const digits = /^\d{1,9}$/;

/** An integer in a query string. */
export const queryInt = (min: number, max: number, description: string) =>
  z
    .string()
    .regex(digits, `expected an integer from ${min} to ${max}`)
    .transform(Number)
    .pipe(z.number().int().min(min).max(max))
    .openapi({ type: "integer", minimum: min, maximum: max, description });

export const projectParam = z.string().max(64).optional().openapi({
  description: "The project. Optional with an API key, whose own it must be; needed with the admin token.",
});

const MAX_LIMIT = 200;
export const DEFAULT_LIMIT = 50;

/** `limit`, `cursor` and `project_id` of every list. Spread it into `strictQuery`. */
export const listParams = {
  limit: queryInt(1, MAX_LIMIT, "Rows in a page; 50 by default.").optional(),
  cursor: z.string().optional().openapi({ description: "`next_cursor` of the page before." }),
  project_id: projectParam,
};

/** A query string: unknown parameters are refused by name. */
export const strictQuery = strictObject;

/** `?project_id=` alone, for routes about one object. */
export const projectQuery = strictQuery({ project_id: projectParam });

/** A page of a list, newest first. */
export const listOf = <S extends z.ZodType>(item: S) =>
  z.object({
    data: z.array(item),
    next_cursor: z.string().nullable(),
    has_more: z.boolean(),
    as_of: instant().openapi({ description: "The list shows what was known at this time." }),
  });

/** `{job}` in a path. */
export const jobParam = z.object({
  job: z
    .string()
    .min(1)
    .max(128)
    .openapi({ param: { name: "job", in: "path" }, description: "The job's id or slug." }),
});

export const idParam = (what: string) =>
  z.object({
    id: z
      .string()
      .min(1)
      .max(64)
      .openapi({ param: { name: "id", in: "path" }, description: `The ${what}'s id.` }),
  });

/** `{id}` in a path that takes a slug too. */
export const refParam = (what: string) =>
  z.object({
    id: z
      .string()
      .min(1)
      .max(128)
      .openapi({ param: { name: "id", in: "path" }, description: `The ${what}'s id or slug.` }),
  });
