import { utf8Length } from "./text-blocks.ts";

/** Where in a stream a row begins. */
export interface RowPlace {
  /** Bytes before it, unpacked. */
  offset: number;
  /** Its line, from 1. */
  line: number;
}

/**
 * Reads rows out of a stream of bytes. After `next` has answered true the row stands in the reader; after false it wants
 * another part by `feed`, or the end of the stream by `end`, and then it is asked again. What a row holds is `value`: JSON for
 * NDJSON and arrays, a list of fields for CSV.
 *
 * A row that cannot be read has a `problem` and no value; the rows after it can be read. What ends the whole stream is
 * thrown as `BrokenObject`.
 */
export interface RowReader {
  /** At most once after `next` has answered false. The part may be written over afterwards. */
  feed(part: Uint8Array): void;
  end(): void;
  next(): boolean;
  readonly value: unknown;
  /** The row as it stands in the stream, without its newline. Cut where it is too long. */
  readonly text: string;
  readonly problem: string | null;
  readonly line: number;
  readonly offset: number;
  /** Where the row after this one begins: reading may be taken up there. */
  after(): RowPlace;
}

/** The object as a whole cannot be read on. */
export class BrokenObject extends Error {
  constructor(message: string) {
    super(message);
    this.name = "BrokenObject";
  }
}

/** A row of more bytes is refused unread: no row may be larger than this, however it is packed. */
export const MAX_ROW_BYTES = 8 * 1024 * 1024;
export const TOO_LONG = `is larger than ${MAX_ROW_BYTES} bytes`;
/** A longer line need not be kept: it is too long with and without its carriage return. */
export const LONGEST_LINE = MAX_ROW_BYTES + 1;
export const isTooLong = (text: string, from: number, to: number): boolean =>
  to - from > MAX_ROW_BYTES || ((to - from) * 3 > MAX_ROW_BYTES && utf8Length(text, from, to) > MAX_ROW_BYTES);
export const BROKEN_TEXT = "is not valid UTF-8";

/** Digits that a double may not hold. */
const LONG_NUMBER = /\d{16}/;

/** JSON where integers beyond 2^53 are kept exactly, as bigints. */
export function parseJson(text: string): unknown {
  const value: unknown = JSON.parse(text);
  return LONG_NUMBER.test(text) ? JSON.parse(text, keepDigits) : value;
}

const INTEGER = /^-?\d+$/;

function keepDigits(_key: string, value: unknown, context?: { source?: string }): unknown {
  if (typeof value !== "number" || Number.isSafeInteger(value)) return value;
  const source = context?.source;
  return source !== undefined && INTEGER.test(source) ? BigInt(source) : value;
}

const raw = (JSON as unknown as { rawJSON: (text: string) => unknown }).rawJSON;
function writeDigits(_key: string, value: unknown): unknown {
  if (typeof value === "bigint") return raw(String(value));
  // A number that no double holds stays one: JSON.stringify would make null of it.
  if (value === Number.POSITIVE_INFINITY || value === Number.NEGATIVE_INFINITY)
    return raw(value > 0 ? "1e999" : "-1e999");
  return value;
}

/** The reverse of `parseJson`. */
export const jsonText = (value: unknown): string => {
  if (typeof value === "string" || typeof value === "number" || value === null) return JSON.stringify(value);
  return typeof value === "bigint" ? String(value) : JSON.stringify(value, writeDigits);
};
