import { conversionOf, formatProblem, TYPE_NAMES } from "./column-types.ts";
import type { ErrorDetail } from "./error.ts";
import { isPointer } from "./row-transform.ts";
import type { Column, TransformSpec } from "./transform.ts";

/** Everything that is wrong with a transform whose shape is right, with paths from its root. */
export function transformProblems(spec: TransformSpec): ErrorDetail[] {
  const columns = spec.settings.output_columns ?? [];
  const format = spec.settings.format_details ?? {};
  const problems: ErrorDetail[] = [];
  const add = (path: string, message: string): void => void problems.push({ path: `settings.${path}`, message });
  if (spec.type === "json" && Object.keys(format).length > 0) add("format_details", "is only for csv");
  if (format.delimiter !== undefined && format.delimiter === format.quote) {
    add("format_details.delimiter", "must differ from quote");
  }
  if (spec.type === "csv" && columns.length === 0 && !format.skip_head) {
    add("output_columns", "is needed for csv without a head (format_details.skip_head)");
  }
  const names = new Set<string>();
  for (const [i, column] of columns.entries()) {
    const at = `output_columns[${i}]`;
    if (names.has(column.name)) add(`${at}.name`, "stands twice");
    names.add(column.name);
    for (const { path, message } of columnProblems(column, spec)) add(`${at}.datatype${path}`, message);
  }
  if (columns.filter((c) => c.datatype.primary).length > 1) add("output_columns", "has more than one primary column");
  return problems;
}

function columnProblems({ datatype }: Column, spec: TransformSpec): ErrorDetail[] {
  const problems: ErrorDetail[] = [];
  const wrongFormat = formatProblem(datatype);
  if (wrongFormat !== null) problems.push({ path: ".format", message: wrongFormat });
  if (datatype.primary && datatype.type !== "datetime" && datatype.type !== "epoch") {
    problems.push({ path: ".primary", message: "must be a datetime or an epoch" });
  }
  const value = datatype.default;
  if (wrongFormat === null && value !== undefined && value !== null && conversionOf(datatype)(value) === null) {
    problems.push({ path: ".default", message: `is not ${TYPE_NAMES[datatype.type]}` });
  }
  return [...problems, ...sourceProblems(datatype, spec)];
}

function sourceProblems({ source, virtual }: Column["datatype"], spec: TransformSpec): ErrorDetail[] {
  if (source === undefined) return [];
  const given = Object.keys(source);
  if (virtual) return [{ path: ".source", message: "a virtual column has none" }];
  if (given.length !== 1) return [{ path: ".source", message: "must name exactly one source" }];
  if (source.from_input_index !== undefined && spec.type === "json") {
    return [{ path: ".source.from_input_index", message: "is only for csv" }];
  }
  if (source.from_input_field !== undefined && spec.type === "csv" && !spec.settings.format_details?.skip_head) {
    return [
      { path: ".source.from_input_field", message: "needs a head that names the columns (format_details.skip_head)" },
    ];
  }
  if (source.from_json_pointers === undefined) return [];
  if (spec.type === "csv") return [{ path: ".source.from_json_pointers", message: "is only for json" }];
  return source.from_json_pointers.flatMap((pointer, i) =>
    isPointer(pointer)
      ? []
      : [{ path: `.source.from_json_pointers[${i}]`, message: "is no JSON pointer, such as /a/b" }],
  );
}
