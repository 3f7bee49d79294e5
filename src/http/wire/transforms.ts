import { z } from "@hono/zod-openapi";
import { text } from "../../domain/job-fields.ts";
import { MAX_ROW_BYTES } from "../../domain/row-reader.ts";
import { strictObject } from "../../domain/strict.ts";
import { COLUMN_TYPES, COMPRESSIONS } from "../../domain/transform.ts";
import type { Transform } from "../../operations/transforms.ts";
import { instant, iso, listOf, projectParam, strictQuery, uuid } from "./common.ts";
import { queryUuid } from "./query.ts";

const MAX_COLUMNS = 2000;
const NAME = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/;
/** Names of routes. */
const TAKEN = ["validate"];

const name = () =>
  z
    .string()
    .regex(NAME, "must have 1 to 128 letters, digits, _, . or -")
    .refine((value) => !TAKEN.includes(value), "is not allowed")
    .openapi({ example: "mytransform" });

const refused = (why: string) => z.never({ error: why }).optional().openapi({ type: "null", description: why });

/** One character of ASCII; its code, as some clients send it, is understood too. */
const character = (description: string, mayBeEmpty = false) =>
  z
    .union([z.string(), z.number().int()])
    .transform((value, ctx) => {
      const given = typeof value === "number" ? String.fromCharCode(value) : value;
      const isOne = given.length === 1 && given.charCodeAt(0) < 0x80 && given !== "\n" && given !== "\r";
      if (isOne || (mayBeEmpty && given === "")) return given;
      ctx.addIssue({ code: "custom", message: "must be one ASCII character, no line break" });
      return z.NEVER;
    })
    .openapi({ type: "string", maxLength: 1, description });

const source = strictObject({
  from_input_index: z.number().int().min(0).max(10_000).optional().openapi({ description: "CSV: a field, from 0." }),
  from_input_field: text(1, 1024).optional().openapi({ description: "A member, or in CSV a name of the head." }),
  from_json_pointers: z
    .array(text(0, 1024))
    .min(1)
    .max(20)
    .optional()
    .openapi({ description: "The first that leads to a value counts (RFC 6901)." }),
}).openapi("ColumnSource", {
  description: "Exactly one. Without: the member of the column's name; in CSV the field at the column's place.",
});

const datatype = strictObject({
  type: z.enum(COLUMN_TYPES),
  primary: z.boolean().optional().openapi({ description: "The row's time. A datetime or an epoch." }),
  format: text(1, 128).optional().openapi({
    description: "`datetime`: a Go layout, RFC 3339 by default. `epoch`: s (default), ms, us or ns.",
    example: "2006-01-02T15:04:05Z",
  }),
  source: source.optional(),
  default: z.unknown().optional().openapi({ description: "Stands for a missing or null value only." }),
  ignore: z.boolean().optional().openapi({ description: "Neither read nor sent." }),
  suppress: z.boolean().optional().openapi({ description: "Read and checked, but not sent." }),
  virtual: z.boolean().optional().openapi({ description: "Not in the input: always its default." }),
  script: refused("is not supported: columns are read, never computed"),
});

const formatDetails = strictObject({
  delimiter: character("`,` by default.").optional(),
  quote: character('`"` by default; empty: nothing is quoted.', true).optional(),
  escape: character('`"` by default.', true).optional(),
  skip_head: z.number().int().min(0).max(1000).optional().openapi({
    description: "Rows at the start that are no data; the last of them names the columns. 0 by default.",
  }),
  comment: character("`#` by default.").optional(),
  skip_comments: z.boolean().optional(),
});

const settings = strictObject({
  compression: z.enum(COMPRESSIONS).optional().openapi({
    description: "For the reader: what an object is packed with is told by its first bytes.",
  }),
  null_values: z.array(text(0, 256)).max(100).optional().openapi({ description: "Texts that mean null." }),
  format_details: formatDetails.optional().openapi({ description: "CSV only." }),
  output_columns: z
    .array(strictObject({ name: text(1, 256), datatype }))
    .max(MAX_COLUMNS)
    .optional()
    .openapi({
      description: "What a payload has. Without: a JSON row as it stands, a CSV row by the names of its head.",
    }),
  sql_transform: refused("is not supported"),
});

const kind = z.enum(["json", "csv"]).openapi({ description: "`json`: NDJSON, or one array of rows." });

/** `undefined` members are left out, so that what is kept is what was sent. */
const bare = <T extends { type: "json" | "csv"; settings: object }>({ type, settings: s }: T) => ({
  type,
  settings: JSON.parse(JSON.stringify(s)) as T["settings"],
});

export const transformWire = z
  .object({
    id: uuid(),
    project_id: uuid(),
    job_id: uuid().nullable().openapi({
      description: "The only job that uses it, as a table of Hydrolix's face; null: any job of the project may.",
    }),
    name: z.string(),
    type: kind,
    settings: z.record(z.string(), z.unknown()),
    created_at: instant(),
    updated_at: instant(),
  })
  .openapi("Transform");

export const transformList = listOf(transformWire).openapi("TransformList");

const READ_ONLY = ["id", "job_id", "created_at", "updated_at"];

export const createTransformBody = strictObject(
  { project_id: projectParam, name: name(), type: kind, settings: settings.default({}) },
  READ_ONLY,
).openapi("CreateTransform");

export const replaceTransformBody = strictObject(
  { project_id: projectParam, name: name().optional(), type: kind, settings: settings.default({}) },
  READ_ONLY,
).openapi("ReplaceTransform");

const MAX_TRIED_ROWS = 1000;

export const tryTransformBody = strictObject({
  project_id: projectParam,
  transform: strictObject({ name: z.string().max(128).optional(), type: kind, settings: settings.default({}) }),
  data: z.union([z.string(), z.array(z.unknown()).max(MAX_TRIED_ROWS)]).openapi({
    description: `The text of an object, or its rows: lines, JSON values, or for CSV lists of fields. A row has at most ${MAX_ROW_BYTES} bytes.`,
  }),
}).openapi("TryTransform");

export const triedTransform = z
  .object({
    rows: z.array(z.unknown()).openapi({ description: "As they would be sent." }),
    errors: z.array(
      z.object({
        index: z.number().int().openapi({ description: "Of the row, from 0." }),
        line: z.number().int(),
        message: z.string(),
        raw: z.string(),
      }),
    ),
  })
  .openapi("TriedTransform");

export const transformParam = z.object({
  name: z
    .string()
    .min(1)
    .max(128)
    .openapi({ param: { name: "name", in: "path" }, description: "The transform's name." }),
});

export const transformQuery = strictQuery({
  project_id: projectParam,
  job_id: queryUuid(
    "Of this job alone. Without: the project's, else the only one of the name that a job has.",
  ).optional(),
});

export const specOf = bare;

export const toTransformWire = (row: Transform): z.infer<typeof transformWire> => ({
  id: row.id,
  project_id: row.project_id,
  job_id: row.job_id,
  name: row.name,
  type: row.type,
  settings: row.settings as Record<string, unknown>,
  created_at: iso(row.created_at),
  updated_at: iso(row.updated_at),
});
