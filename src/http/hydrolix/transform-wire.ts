import { z } from "@hono/zod-openapi";
import { invalid } from "../../domain/error.ts";
import { detailsOf } from "../../domain/strict.ts";
import type { Transform } from "../../operations/transforms.ts";
import { createTransformBody, specOf } from "../wire/transforms.ts";
import { micros } from "./job-wire.ts";

/**
 * Transforms as Hydrolix's clients send them. What bears on Hydrolix's own storage alone, and what says "off", is left out of
 * what is kept, as the answer shows; what would change the rows and cannot be done is refused by name.
 */

export type Json = Record<string, unknown>;

export const transformBody = z.record(z.string(), z.unknown()).openapi("HydrolixTransformBody", {
  description: "`{name, type, settings: {compression, null_values, format_details, output_columns}}`",
});

export const transformWire = z
  .object({
    uuid: z.string(),
    name: z.string(),
    description: z.string(),
    type: z.enum(["json", "csv"]),
    table: z.string(),
    settings: z.record(z.string(), z.unknown()),
    created: z.string(),
    modified: z.string(),
  })
  .openapi("HydrolixTransform");

/** Shown, and sent back by clients. */
const SHOWN_ONLY = ["uuid", "url", "table", "created", "modified"];
/** Of Hydrolix's storage. */
const STORAGE = ["index", "index_options", "resolution", "denullify", "limits", "elements"];

const isOff = (value: unknown): boolean => value === null || value === "" || value === false;

const without = (given: Json, names: readonly string[]): Json =>
  Object.fromEntries(Object.entries(given).filter(([name]) => !names.includes(name)));

/** Without members that say "off". */
const withoutOff = (given: Json, names: readonly string[]): Json =>
  Object.fromEntries(Object.entries(given).filter(([name, value]) => !(names.includes(name) && isOff(value))));

const isObject = (value: unknown): value is Json =>
  typeof value === "object" && value !== null && !Array.isArray(value);
const each = (value: unknown, change: (part: Json) => Json): unknown => (isObject(value) ? change(value) : value);

function columnFrom(column: Json): Json {
  const datatype = each(column.datatype, (given) =>
    withoutOff(without(given, STORAGE), ["script", "source", "format", "catch_all", "catch_rejects"]),
  );
  return withoutOff({ ...column, datatype }, ["position"]);
}

function formatFrom(details: Json): Json {
  const kept = withoutOff(without(details, ["windows_ending"]), ["subtype", "flattening"]);
  return isObject(kept.flattening) && kept.flattening.active !== true ? without(kept, ["flattening"]) : kept;
}

function settingsFrom(settings: Json): Json {
  const kept = withoutOff(without(settings, ["is_default"]), ["sql_transform", "rate_limit", "null_values"]);
  const columns = kept.output_columns;
  return {
    ...kept,
    ...("format_details" in kept ? { format_details: each(kept.format_details ?? {}, formatFrom) } : {}),
    ...(Array.isArray(columns) ? { output_columns: columns.map((column) => each(column, columnFrom)) } : {}),
  };
}

/** What is given in place of what is there; objects are merged, all else is replaced. */
export const merged = (present: Json, given: Json): Json => ({
  ...present,
  ...Object.fromEntries(
    Object.entries(given).map(([name, value]) => {
      const before = present[name];
      return [name, isObject(before) && isObject(value) ? merged(before, value) : value];
    }),
  ),
});

const notes = z.object({
  description: z.string().max(2000).nullish(),
  settings: z.object({ is_default: z.boolean().nullish() }).nullish(),
});

/** @throws ApiError `validation_failed` that names every bad field, `prefix` before each. */
export function wantedTransform(given: Json, prefix = "") {
  const parsed = createTransformBody.safeParse({
    ...without(given, [...SHOWN_ONLY, "description"]),
    ...("settings" in given ? { settings: each(given.settings ?? {}, settingsFrom) } : {}),
  });
  const said = notes.safeParse(given);
  const wrong = parsed.error ?? said.error;
  if (wrong || !parsed.success || !said.success) {
    const details = wrong ? detailsOf(wrong) : [];
    throw invalid(details.map(({ path, message }) => ({ path: `${prefix}${path}`, message })));
  }
  return {
    name: parsed.data.name,
    ...specOf(parsed.data),
    description: said.data.description,
    is_default: said.data.settings?.is_default ?? undefined,
  };
}

/** @param usable all that the table may use. */
export const transformToWire = (
  row: Transform,
  tableId: string,
  usable: readonly Transform[],
): z.infer<typeof transformWire> => ({
  uuid: row.id,
  name: row.name,
  description: row.description ?? "",
  type: row.type,
  table: tableId,
  settings: { ...row.settings, is_default: defaultOf(usable)?.id === row.id },
  created: micros(row.created_at),
  modified: micros(row.updated_at),
});

/** What a client means that names none: the table's own default, else the project's, else the only one. */
function defaultOf(usable: readonly Transform[]): Transform | undefined {
  const own = usable.filter(({ job_id }) => job_id !== null);
  const only = [own, usable].find(({ length }) => length === 1)?.[0];
  return own.find((row) => row.is_default) ?? usable.find((row) => row.is_default) ?? only;
}
