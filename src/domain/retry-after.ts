/** The longest `Retry-After` that is honoured. */
export const MAX_RETRY_AFTER_MS = 24 * 60 * 60 * 1000;

const SECONDS = /^\d+$/;
/** IMF-fixdate and the two obsolete forms of RFC 9110 5.6.7 begin with a weekday's name. */
const HTTP_DATE = /^(mon|tue|wed|thu|fri|sat|sun)[a-z]*[ ,]/i;

/**
 * Reads a `Retry-After` header: whole seconds, or an HTTP date, which is measured against `now` (Unix ms).
 *
 * @returns milliseconds from 0 to 24 h; null for a header that is absent or is neither form.
 */
export function parseRetryAfter(header: string | null, now: number): number | null {
  if (header === null) return null;
  const text = header.trim();
  if (SECONDS.test(text)) return Math.min(Number(text) * 1000, MAX_RETRY_AFTER_MS);
  if (!HTTP_DATE.test(text)) return null;
  // The asctime form names no zone and means UTC.
  const at = Date.parse(/ (gmt|utc)$/i.test(text) ? text : `${text} GMT`);
  if (Number.isNaN(at)) return null;
  return Math.min(Math.max(at - now, 0), MAX_RETRY_AFTER_MS);
}
