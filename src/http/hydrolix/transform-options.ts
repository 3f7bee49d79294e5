import { field, NAMED, nested } from "./options.ts";

/** The fields of a transform. */

const formatDetails = {
  delimiter: field("string"),
  quote: field("string"),
  escape: field("string"),
  skip_head: field("integer"),
  comment: field("string"),
  skip_comments: field("boolean"),
};

const settings = {
  is_default: field("boolean"),
  compression: field("string"),
  null_values: field("list"),
  format_details: nested(formatDetails, false),
  output_columns: field("list"),
};

export const TRANSFORM_OPTIONS = {
  name: "Transforms",
  actions: {
    POST: {
      ...NAMED,
      settings: nested(settings, true),
      type: field("string", true),
      table: field("string", false, true),
    },
  },
};
