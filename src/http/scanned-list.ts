import { encodeCursor, hashFilters } from "../domain/cursor.ts";
import { iso } from "./wire/common.ts";

/** Items of a batch are ordered by their index. */
export const BY_INDEX = { isKey: (text: string): boolean => /^\d{1,9}$/.test(text) };

/** The answer of a list that knows itself where it goes on: a page may be short and still have a successor. */
export const scannedAnswer = <R, W>(
  page: { rows: R[]; next: string | number | null },
  binding: Record<string, unknown>,
  asOf: number,
  toWire: (row: R) => W,
): { data: W[]; next_cursor: string | null; has_more: boolean; as_of: string } => ({
  data: page.rows.map(toWire),
  next_cursor: page.next === null ? null : encodeCursor({ after: String(page.next), filterHash: hashFilters(binding) }),
  has_more: page.next !== null,
  as_of: iso(asOf),
});
