import { field, NAMED, nested } from "./options.ts";

/** The fields of a batch job. */

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
      ...NAMED,
      settings: nested({ ...counts, regex_filter: field("string"), source: nested(source, true) }, true),
      status: field("string", false, true),
      type: field("string"),
      org: field("string", false, true),
      details: field("field", false, true),
    },
  },
};
