import { z } from "@hono/zod-openapi";

/** What a client asks before it offers settings: the fields of a batch job, in the manner of Django REST. */

interface Field {
  type: string;
  required: boolean;
  read_only: boolean;
  children?: Record<string, Field>;
}

const field = (type: string, required = false, read_only = false): Field => ({ type, required, read_only });
const nested = (children: Record<string, Field>, required: boolean, read_only = false): Field => ({
  ...field("nested object", required, read_only),
  children,
});

const counts = {
  max_active_partitions: field("integer"),
  max_rows_per_partition: field("integer"),
  max_minutes_per_partition: field("integer"),
  input_concurrency: field("integer"),
  input_aggregation: field("integer"),
  max_files: field("integer"),
  dry_run: field("boolean"),
};

const inner = {
  url: field("string", true),
  endpoint: field("string"),
  region: field("string"),
  credential_id: field("string"),
};

const source = {
  type: field("string"),
  subtype: field("string"),
  transform: field("string"),
  table: field("string", true),
  settings: nested(inner, true),
};

export const JOB_OPTIONS = {
  name: "Batch jobs",
  actions: {
    POST: {
      name: field("string", true),
      description: field("string"),
      uuid: field("string", false, true),
      created: field("datetime", false, true),
      modified: field("datetime", false, true),
      settings: nested({ ...counts, regex_filter: field("string"), source: nested(source, true) }, true),
      status: field("string", false, true),
      type: field("string"),
      org: field("string", false, true),
      details: field("field", false, true),
    },
  },
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
