import { ApiError } from "./error.ts";

/**
 * A place in a list. `after` is the sort key of the last row that was looked at, returned or not; `filterHash` ties the
 * place to the list it was made for.
 */
export interface Cursor {
  after: string;
  filterHash: string;
}

const BASE64URL = /^[A-Za-z0-9_-]{1,512}$/;
const bad = (): ApiError => new ApiError("bad_request", "cursor: is not one of this list's cursors");

/** Opaque, URL-safe text. `after` must be ASCII. */
export const encodeCursor = ({ after, filterHash }: Cursor): string =>
  btoa(`${filterHash}.${after}`).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");

/**
 * The `after` of a cursor.
 *
 * @param filterHash of the list that is being asked for.
 * @param isKey tells whether a text can be a sort key of this list.
 * @throws ApiError `bad_request` where the text is no cursor, or one of another project, route or filter.
 */
export function decodeCursor(text: string, filterHash: string, isKey: (after: string) => boolean): string {
  if (!BASE64URL.test(text)) throw bad();
  let plain: string;
  try {
    plain = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
  } catch {
    throw bad();
  }
  const dot = plain.indexOf(".");
  const after = plain.slice(dot + 1);
  if (dot < 0 || plain.slice(0, dot) !== filterHash || !isKey(after)) throw bad();
  return after;
}

/**
 * A fingerprint of what a list is of: route, project and filters, in any order of names. It guards against mistakes, not
 * against forgers: the project is a condition of every query.
 */
export function hashFilters(filters: Record<string, unknown>): string {
  const text = JSON.stringify(
    Object.entries(filters)
      .filter(([, value]) => value !== undefined && value !== null)
      .sort(([a], [b]) => (a < b ? -1 : 1)),
  );
  return fnv1a(text, 0x811c9dc5) + fnv1a(text, 0x050c5d1f);
}

/** FNV-1a over UTF-16 units: 8 hex digits. */
function fnv1a(text: string, seed: number): string {
  let hash = seed;
  for (let i = 0; i < text.length; i++) {
    hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  }
  return (hash >>> 0).toString(16).padStart(8, "0");
}
