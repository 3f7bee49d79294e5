import { conversionOf, TYPE_NAMES, timeOf } from "./column-types.ts";
import { type CsvFormat, RFC_4180 } from "./csv-format.ts";
import type { CsvHead } from "./csv-rows.ts";
import { jsonText } from "./row-reader.ts";
import type { Column, TransformSpec } from "./transform.ts";

/** A row as it will be sent, or why it is refused. */
export type TransformedRow = { text: string; primaryMs: number | null } | { problem: string };

/**
 * A transform, compiled: one closure a column, no look-ups left for a row.
 *
 * @param value what a row reader has read.
 * @param text the row as it stood; sent as it is where there are no columns.
 * @param head of a CSV file.
 */
export type RowTransform = (value: unknown, text: string, head: CsvHead | null) => TransformedRow;

export const csvFormatOf = (spec: TransformSpec | null): CsvFormat => ({
  ...RFC_4180,
  ...spec?.settings.format_details,
});

/** Fields that a CSV row must have at least. */
export function widthOf(spec: TransformSpec | null): number {
  const columns = spec?.settings.output_columns ?? [];
  return columns.reduce((width, column, place) => {
    const { source, virtual, ignore } = column.datatype;
    if (virtual || ignore || source?.from_input_field !== undefined) return width;
    return Math.max(width, (source?.from_input_index ?? place) + 1);
  }, 0);
}

export function compileTransform(spec: TransformSpec | null): RowTransform {
  const columns = spec?.settings.output_columns ?? [];
  if (columns.length === 0) return spec?.type === "csv" ? namedFields : asItStands;
  const isNull = nullTest(spec?.settings.null_values ?? []);
  const steps = columns.flatMap((column, place) =>
    column.datatype.ignore ? [] : [stepOf(column, place, spec, isNull)],
  );
  const isJson = spec?.type === "json";
  return (value, _text, head) => {
    if (isJson && (typeof value !== "object" || value === null || Array.isArray(value))) {
      return { problem: "is no JSON object" };
    }
    let out = "";
    let primaryMs: number | null = null;
    for (const step of steps) {
      const given = step.read(value, head);
      const text = given === null ? step.absent : step.convert(given);
      if (text === null) return { problem: step.misfit(given) };
      if (step.time !== null && given !== null) primaryMs = step.time(given);
      if (step.key !== null) out += (out === "" ? "{" : ",") + step.key + text;
    }
    return { text: out === "" ? "{}" : `${out}}`, primaryMs };
  };
}

interface Step {
  /** Null where the value is missing, or means null. */
  read: (row: unknown, head: CsvHead | null) => unknown;
  convert: (value: unknown) => string | null;
  absent: string;
  misfit: (value: unknown) => string;
  /** `"name":`, or null where nothing is sent. */
  key: string | null;
  time: ((value: unknown) => number | null) | null;
}

function stepOf(column: Column, place: number, spec: TransformSpec | null, isNull: (value: unknown) => boolean): Step {
  const { datatype } = column;
  const read = datatype.virtual ? () => null : reader(column, place, spec);
  const convert = conversionOf(datatype);
  return {
    read: (row, head) => {
      const value = read(row, head);
      return isNull(value) ? null : value;
    },
    convert,
    absent: defaultText(column),
    misfit: (value) => `column ${column.name}: ${shown(value)} is not ${TYPE_NAMES[datatype.type]}`,
    key: datatype.suppress ? null : `${JSON.stringify(column.name)}:`,
    time: datatype.primary ? timeOf(datatype) : null,
  };
}

/** The JSON text of a column's default; `null` where it has none. It is known to fit. */
function defaultText({ datatype }: Column): string {
  const value = datatype.default;
  return value === undefined || value === null ? "null" : (conversionOf(datatype)(value) ?? "null");
}

const MAX_SHOWN = 64;

function shown(value: unknown): string {
  if (value === Number.POSITIVE_INFINITY || value === Number.NEGATIVE_INFINITY) return "a number that no double holds";
  const text = jsonText(value);
  return text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}…` : text;
}

function nullTest(texts: string[]): (value: unknown) => boolean {
  if (texts.length === 0) return (value) => value === undefined || value === null;
  const set = new Set(texts);
  return (value) => value === undefined || value === null || (typeof value === "string" && set.has(value));
}

function reader(column: Column, place: number, spec: TransformSpec | null): Step["read"] {
  const { source } = column.datatype;
  if (spec?.type === "csv") {
    const name = source?.from_input_field;
    if (name === undefined) {
      const index = source?.from_input_index ?? place;
      return (row) => field(row, index);
    }
    return (row, head) => field(row, head?.names?.indexOf(name) ?? -1);
  }
  if (source?.from_json_pointers !== undefined) return pointerReader(source.from_json_pointers);
  const name = source?.from_input_field ?? column.name;
  return (row) => member(row, name);
}

/** An empty field is missing. */
const field = (row: unknown, index: number): unknown => {
  const text = (row as string[])[index];
  return text === "" ? null : text;
};

const member = (value: unknown, name: string): unknown =>
  typeof value === "object" && value !== null && Object.hasOwn(value, name)
    ? (value as Record<string, unknown>)[name]
    : undefined;

/** RFC 6901; the first pointer that leads somewhere counts. */
function pointerReader(pointers: string[]): (row: unknown) => unknown {
  const paths = pointers.map(parsePointer);
  return (row) => {
    for (const path of paths) {
      let value: unknown = row;
      for (const name of path) value = member(value, name);
      if (value !== undefined) return value;
    }
    return undefined;
  };
}

const parsePointer = (pointer: string): string[] =>
  pointer
    .split("/")
    .slice(1)
    .map((name) => name.replaceAll("~1", "/").replaceAll("~0", "~"));

export const isPointer = (text: string): boolean => text === "" || (text.startsWith("/") && !/~(?![01])/.test(text));

const asItStands: RowTransform = (_value, text) => ({ text: text.trim(), primaryMs: null });

/** A CSV row by the names of its head; columns without a name are called by their place. */
const namedFields: RowTransform = (value, _text, head) => {
  let out = "";
  for (const [i, text] of (value as string[]).entries()) {
    out += `${out === "" ? "{" : ","}${JSON.stringify(head?.names?.[i] || `column_${i + 1}`)}:${JSON.stringify(text)}`;
  }
  return { text: out === "" ? "{}" : `${out}}`, primaryMs: null };
};
