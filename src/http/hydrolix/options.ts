import { z } from "@hono/zod-openapi";

/** What a client asks before it offers settings: the fields of an object, in the manner of Django REST. */

export interface Field {
  type: string;
  required: boolean;
  read_only: boolean;
  children?: Record<string, Field>;
}

export const field = (type: string, required = false, read_only = false): Field => ({ type, required, read_only });
export const nested = (children: Record<string, Field>, required: boolean, read_only = false): Field => ({
  ...field("nested object", required, read_only),
  children,
});

/** What every object has that has a name. */
export const NAMED = {
  name: field("string", true),
  description: field("string"),
  uuid: field("string", false, true),
  created: field("datetime", false, true),
  modified: field("datetime", false, true),
};

const fieldWire: z.ZodType<Field> = z
  .object({
    type: z.string(),
    required: z.boolean(),
    read_only: z.boolean(),
    children: z.record(z.string(), z.record(z.string(), z.unknown())).optional(),
  })
  .openapi("HydrolixField") as unknown as z.ZodType<Field>;

export const optionsWire = z
  .object({ name: z.string(), actions: z.object({ POST: z.record(z.string(), fieldWire) }) })
  .openapi("HydrolixOptions");
