import { decodeCursor, encodeCursor, hashFilters } from "../domain/cursor.ts";
import { isUuid } from "../domain/id.ts";
import { DEFAULT_LIMIT, iso } from "./wire/common.ts";

/** The page of a list that a query asks for. `before` is the sort key of the last row that was looked at before. */
export interface PageRequest {
  limit: number;
  before: string | null;
}

/** What a list is ordered by: a key's text in a row, and whether a text can be one. */
export interface SortKey<R> {
  of: (row: R) => string;
  isKey: (text: string) => boolean;
}

/** UUIDv7 ids: their order is that of creation. */
export const BY_ID: SortKey<{ id: string }> = { of: (row) => row.id, isKey: isUuid };

/**
 * Reads `limit` and `cursor`. `binding` is what the list is of: route, project and filters.
 *
 * @throws ApiError `bad_request` for a cursor that is not one of this list's.
 */
export function pageRequest(
  query: { limit?: number; cursor?: string },
  binding: Record<string, unknown>,
  key: Pick<SortKey<never>, "isKey"> = BY_ID,
): PageRequest {
  return {
    limit: query.limit ?? DEFAULT_LIMIT,
    before: query.cursor === undefined ? null : decodeCursor(query.cursor, hashFilters(binding), key.isKey),
  };
}

/** A page of a list on the wire. */
export interface PageAnswer<W> {
  data: W[];
  next_cursor: string | null;
  has_more: boolean;
  as_of: string;
}

/**
 * The answer of a page that was read with one row more than the limit where there is another page.
 *
 * @param asOf Unix milliseconds.
 */
export function pageAnswer<R, W>(
  rows: R[],
  request: PageRequest,
  binding: Record<string, unknown>,
  asOf: number,
  toWire: (row: R) => W,
  key: Pick<SortKey<R>, "of">,
): PageAnswer<W> {
  const shown = rows.slice(0, request.limit);
  const last = shown.at(-1);
  const next = rows.length > request.limit && last !== undefined ? key.of(last) : null;
  return {
    data: shown.map(toWire),
    next_cursor: next === null ? null : encodeCursor({ after: next, filterHash: hashFilters(binding) }),
    has_more: next !== null,
    as_of: iso(asOf),
  };
}
