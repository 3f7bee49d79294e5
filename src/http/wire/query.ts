import { z } from "@hono/zod-openapi";
import { parseInstant } from "../../domain/instant.ts";

/** Filters in a query string. Each wrong value is a 422 that names the parameter. */

/** An RFC 3339 time, in any offset → Unix milliseconds. */
const queryInstant = (description: string) =>
  z
    .string()
    .transform((text, ctx) => {
      const at = parseInstant(text);
      if (at === null) {
        ctx.addIssue({ code: "custom", message: "expected an RFC 3339 time such as 2026-11-23T09:30:00Z" });
        return z.NEVER;
      }
      return at;
    })
    .openapi({ type: "string", format: "date-time", description });

/** `created_after` and `created_before`, half open. Spread into `strictQuery`. */
export const createdParams = {
  created_after: queryInstant("Created at this time or later.").optional(),
  created_before: queryInstant("Created before this time.").optional(),
};

/** `?name=a&name=b`: any of a closed set. */
export const queryAnyOf = <const V extends string>(values: readonly V[], description: string) =>
  z
    .union([z.string(), z.array(z.string())])
    .transform((given, ctx): V[] => {
      const all = typeof given === "string" ? [given] : given;
      for (const value of all) {
        if (!values.some((v) => v === value)) {
          const shown = JSON.stringify(value.slice(0, 64));
          ctx.addIssue({ code: "custom", message: `${shown} is none of ${values.join(", ")}` });
        }
      }
      return values.filter((v) => all.includes(v));
    })
    .openapi({ type: "array", items: { type: "string", enum: [...values] }, description });

const TAG = /^([^:]{1,64}):(.{0,256})$/s;

/** `?tag=key:value` */
export const queryTag = z
  .string()
  .transform((text, ctx) => {
    const [, key, value] = TAG.exec(text) ?? [];
    if (key === undefined || value === undefined) {
      ctx.addIssue({ code: "custom", message: "expected key:value" });
      return z.NEVER;
    }
    return { key, value };
  })
  .openapi({ type: "string", description: "`key:value`; the value may contain colons.", example: "customer:42" });

/** `?name=<uuid>`, in either case. */
export const queryUuid = (description: string) =>
  z.string().toLowerCase().pipe(z.uuid("expected a UUID")).openapi({ type: "string", format: "uuid", description });
