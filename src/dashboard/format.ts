/** Numbers and times as people read them. All of it is pure; times are Unix milliseconds or what the API writes. */

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const tenths = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });

export const NONE = "–";

export const count = (n: number): string => whole.format(n);

/** `1 run`, `12,400 runs`. */
export const plural = (n: number, one: string, many = `${one}s`): string => `${count(n)} ${n === 1 ? one : many}`;

/** 0..1 → `42.1 %`. Never 100 % before the end, never 0 % after the beginning. */
export function percent(share: number): string {
  if (share <= 0) return "0 %";
  if (share >= 1) return "100 %";
  return `${tenths.format(Math.min(99.9, Math.max(0.1, share * 100)))} %`;
}

export const rate = (perSecond: number | null): string =>
  perSecond === null ? NONE : `${perSecond < 10 ? tenths.format(perSecond) : whole.format(perSecond)}/s`;

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** `840 ms`, `3.2 s`, `4 min 10 s`, `2 h 5 min`, `3 d 4 h`. */
export function duration(ms: number | null): string {
  if (ms === null) return NONE;
  const given = Math.max(0, ms);
  if (given < SECOND) return `${Math.round(given)} ms`;
  if (given < MINUTE) return `${(Math.floor(given / 100) / 10).toFixed(1)} s`;
  const [big, bigName, small, smallName] =
    given < HOUR ? [MINUTE, "min", SECOND, "s"] : given < DAY ? [HOUR, "h", MINUTE, "min"] : [DAY, "d", HOUR, "h"];
  const rest = Math.floor((given % Number(big)) / Number(small));
  const first = `${Math.floor(given / Number(big))} ${bigName}`;
  return rest === 0 ? first : `${first} ${rest} ${smallName}`;
}

/** To the second: `9 s`, `4 min 10 s`. */
export const coarse = (ms: number): string =>
  duration(ms - (ms % SECOND))
    .replace(/\.\d(?= s$)/, "")
    .replace("0 ms", "0 s");

/** How long ago, or until when; `now` within the second. */
export function relative(at: string | null, now: number): string {
  if (at === null) return NONE;
  const ms = Date.parse(at) - now;
  if (Math.abs(ms) < SECOND) return "now";
  // What is past needs no second unit; what is awaited does.
  return ms < 0 ? `${coarse(-ms).replace(/^(\d+ \w+) .*/, "$1")} ago` : `in ${coarse(ms)}`;
}

export const between = (from: string | null, to: string | null): number | null =>
  from === null || to === null ? null : Date.parse(to) - Date.parse(from);

/** In the reader's own time zone, to the second. */
export function moment(at: string | null): string {
  if (at === null) return NONE;
  const date = new Date(at);
  const two = (n: number): string => String(n).padStart(2, "0");
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

const UNITS = ["B", "KB", "MB", "GB", "TB"] as const;

/** Decimal units: `1.4 GB`. */
export function bytes(n: number): string {
  let unit = 0;
  let left = n;
  while (left >= 999.5 && unit < UNITS.length - 1) {
    left /= 1000;
    unit += 1;
  }
  return `${unit === 0 || left >= 99.95 ? whole.format(left) : tenths.format(left)} ${UNITS[unit]}`;
}

/**
 * An id for the eye. A UUIDv7 begins with the time and ours end with their job's number; what tells one from its neighbours
 * stands between.
 */
export const shortId = (id: string): string =>
  id.length === 36 ? `${id.slice(9, 13)}-${id.slice(20, 23)}${id.slice(24, 28)}` : id;

/** A value as JSON on several lines; the text itself where it is cut at `max` characters says how much is left out. */
export function prettyJson(value: unknown, max: number): { text: string; omitted: number } {
  const text = value === undefined ? "null" : (JSON.stringify(value, null, 2) ?? "null");
  return { text: text.slice(0, max), omitted: Math.max(0, text.length - max) };
}
