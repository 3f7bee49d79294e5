import type { Context, TypedResponse } from "hono";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import type { AppEnv } from "../context.ts";

/** JSON text that goes out as it came in: no digit of a long integer is lost, no byte changed. */
export class RawJson {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

/** Raw JSON text, or null where there is none. */
export const rawOrNull = (text: string | null): RawJson | null => (text === null ? null : new RawJson(text));

/** `JSON.stringify` for plain data in which `RawJson` may stand. */
export function stringifyRaw(value: unknown): string {
  if (value instanceof RawJson) return value.text;
  if (Array.isArray(value)) return `[${value.map((v) => stringifyRaw(v ?? null)).join(",")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const fields: string[] = [];
  for (const [name, field] of Object.entries(value)) {
    if (field !== undefined) fields.push(`${JSON.stringify(name)}:${stringifyRaw(field)}`);
  }
  return `{${fields.join(",")}}`;
}

/**
 * `c.json` for an answer in which `RawJson` may stand. The body's type is the caller's to check against its schema: raw
 * text is `unknown` to it.
 */
export function rawJson<S extends ContentfulStatusCode>(
  c: Context<AppEnv>,
  value: object,
  status: S,
): Response & TypedResponse<never, S, "json"> {
  const response: Response = c.body(stringifyRaw(value), status, { "Content-Type": "application/json" });
  return response as Response & TypedResponse<never, S, "json">;
}
