import { renderTable } from "./table.ts";

/** A value as a cell of a table. */
const cell = (value: unknown): string => {
  if (value === null || value === undefined) return "-";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
};

/** What API texts may hold and a terminal would act on. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is taken out.
const CONTROL = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g;
const harmless = (text: string): string => text.replace(CONTROL, "�");

/** Where commands put what they found: JSON alone with `--json`, else text for people. */
export class Printer {
  readonly isJson: boolean;
  private readonly out: NodeJS.WritableStream;
  private readonly err: NodeJS.WritableStream;

  constructor(
    isJson: boolean,
    out: NodeJS.WritableStream = process.stdout,
    err: NodeJS.WritableStream = process.stderr,
  ) {
    this.isJson = isJson;
    this.out = out;
    this.err = err;
  }

  /** One thing: the JSON of it, or the text. */
  show(value: unknown, text: () => string): void {
    this.out.write(this.isJson ? `${JSON.stringify(value, null, 2)}\n` : `${harmless(text())}\n`);
  }

  /** One of many that come over time: a line each. */
  line(value: unknown, text: () => string): void {
    this.out.write(this.isJson ? `${JSON.stringify(value)}\n` : `${harmless(text())}\n`);
  }

  /** Rows, all at once: a JSON list, or a table. */
  table<T>(rows: T[], columns: Record<string, (row: T) => unknown>, none: string): void {
    this.show(rows, () =>
      rows.length === 0
        ? none
        : renderTable(
            Object.keys(columns),
            rows.map((row) => Object.values(columns).map((of) => cell(of(row)))),
          ),
    );
  }

  /** Fields of one thing, a line each. */
  fields(value: unknown, fields: Record<string, unknown>): void {
    const width = Math.max(...Object.keys(fields).map((name) => name.length));
    this.show(value, () =>
      Object.entries(fields)
        .map(([name, field]) => `${name.padEnd(width)}  ${cell(field)}`)
        .join("\n"),
    );
  }

  /** To people only, beside the result. */
  note(text: string): void {
    this.err.write(`${harmless(text)}\n`);
  }
}
