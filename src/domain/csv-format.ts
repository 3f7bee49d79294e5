/** How a CSV file is written (contract 9). One character each. */
export interface CsvFormat {
  delimiter: string;
  /** Empty: nothing is quoted. */
  quote: string;
  escape: string;
  /** Rows at the start that are no data. The last of them names the columns. */
  skip_head: number;
  comment: string;
  skip_comments: boolean;
}

export const RFC_4180: CsvFormat = {
  delimiter: ",",
  quote: '"',
  escape: '"',
  skip_head: 0,
  comment: "#",
  skip_comments: false,
};

/** A row taken apart. */
export interface CsvRow {
  fields: string[];
  /** Index behind the row and its newline. */
  end: number;
  problem: string | null;
}

/**
 * The row that begins at `from`; null where its end is not in the text.
 *
 * @param isLast no more text will come: the end of the text ends a row, but no quoted field.
 */
export function splitQuotedRow(text: string, from: number, format: CsvFormat, isLast: boolean): CsvRow | null {
  const { delimiter, quote } = format;
  const fields: string[] = [];
  let problem: string | null = null;
  let at = from;
  for (;;) {
    if (quote !== "" && text[at] === quote) {
      const field = quotedField(text, at + 1, format, isLast);
      if (field === null) return null;
      fields.push(field.value);
      at = text[field.end] === "\r" ? field.end + 1 : field.end;
      if (at < text.length && text[at] !== delimiter && text[at] !== "\n") {
        problem ??= "has text behind a closing quote";
        at = plainEnd(text, at, delimiter);
      }
    } else {
      const end = plainEnd(text, at, delimiter);
      const isRowEnd = text[end] !== delimiter;
      fields.push(text.slice(at, isRowEnd && end > at && text[end - 1] === "\r" ? end - 1 : end));
      at = end;
    }
    if (at >= text.length) return isLast ? { fields, end: at, problem } : null;
    if (text[at] === "\n") return { fields, end: at + 1, problem };
    at++;
  }
}

/** Where an unquoted field ends: at a delimiter, a newline or the end. */
function plainEnd(text: string, from: number, delimiter: string): number {
  const d = delimiter.charCodeAt(0);
  let at = from;
  for (; at < text.length; at++) {
    const c = text.charCodeAt(at);
    if (c === d || c === 0x0a) return at;
  }
  return at;
}

/** `end` is behind the closing quote. */
function quotedField(
  text: string,
  from: number,
  { quote, escape: mark }: CsvFormat,
  isLast: boolean,
): { value: string; end: number } | null {
  let value = "";
  let start = from;
  let at = from;
  for (;;) {
    const close = text.indexOf(quote, at);
    if (close === -1) return null;
    const escaped = mark === quote || mark === "" ? -1 : text.indexOf(mark, at);
    if (escaped !== -1 && escaped < close) {
      const next = text[escaped + 1];
      if (next === quote || next === mark) {
        value += text.slice(start, escaped) + next;
        start = escaped + 2;
        at = start;
      } else at = escaped + 1;
      continue;
    }
    if (close + 1 >= text.length && !isLast) return null;
    if (mark !== quote || text[close + 1] !== quote) return { value: value + text.slice(start, close), end: close + 1 };
    value += text.slice(start, close) + quote;
    start = close + 2;
    at = start;
  }
}
