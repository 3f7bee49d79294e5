import { ArrayRows } from "./array-rows.ts";
import { type CsvHead, CsvRows, NO_HEAD } from "./csv-rows.ts";
import { NdjsonRows } from "./ndjson-rows.ts";
import { BrokenObject, type RowPlace, type RowReader } from "./row-reader.ts";
import { csvFormatOf, widthOf } from "./row-transform.ts";
import type { TransformSpec } from "./transform.ts";

export type RowFormat = "ndjson" | "array" | "csv";

/** What must be known to read an object's rows on from the middle. */
export interface ReadingState {
  format: RowFormat;
  head: CsvHead | null;
  place: RowPlace;
}

const BOM = [0xef, 0xbb, 0xbf] as const;
const WHITE = [0x20, 0x09, 0x0a, 0x0d];

/** A file that says of itself what it is, where no transform says it. */
const CSV_NAME = /\.(csv|tsv)(\.(gz|gzip|zst|zstd))?$/i;
const TSV_NAME = /\.tsv(\.|$)/i;

/** How CSV is read that no transform describes: its head names the columns. */
const BY_HEAD = (key: string): TransformSpec => ({
  type: "csv",
  settings: { format_details: { skip_head: 1, ...(TSV_NAME.test(key) ? { delimiter: "\t" } : {}) } },
});

/** The transform of an object: the import's own, else what its name asks for. */
export const transformFor = (spec: TransformSpec | null, key: string): TransformSpec | null =>
  spec ?? (CSV_NAME.test(key) ? BY_HEAD(key) : null);

/**
 * What begins an object tells how its rows stand.
 *
 * @param bytes the first of it, unpacked.
 * @param isAll there is no more of it.
 * @returns null where more bytes are needed to tell.
 * @throws BrokenObject for text that is not UTF-8 by its first bytes.
 */
export function tellFormat(bytes: Uint8Array, isAll: boolean, spec: TransformSpec | null): ReadingState | null {
  if ((bytes[0] === 0xff && bytes[1] === 0xfe) || (bytes[0] === 0xfe && bytes[1] === 0xff)) {
    throw new BrokenObject("is UTF-16; only UTF-8 is understood");
  }
  if (bytes.length < BOM.length && !isAll) return null;
  const offset = BOM.every((byte, i) => bytes[i] === byte) ? BOM.length : 0;
  const place = { offset, line: 1 };
  if (spec?.type === "csv") return { format: "csv", head: NO_HEAD, place };
  const first = bytes.subarray(offset).find((byte) => !WHITE.includes(byte));
  if (first === undefined && !isAll) return null;
  return { format: first === 0x5b ? "array" : "ndjson", head: null, place };
}

/** @param isStart nothing of the object has been read yet. */
export function rowsFrom(state: ReadingState, spec: TransformSpec | null, isStart: boolean): RowReader {
  switch (state.format) {
    case "ndjson":
      return new NdjsonRows(state.place);
    case "array":
      return new ArrayRows(state.place, isStart);
    case "csv":
      return new CsvRows(csvFormatOf(spec), widthOf(spec), state.place, state.head ?? NO_HEAD);
  }
}

/** Where reading may be taken up behind the row at hand. */
export const stateAfter = (format: RowFormat, rows: RowReader): ReadingState => ({
  format,
  head: rows instanceof CsvRows ? { ...rows.head } : null,
  place: rows.after(),
});
