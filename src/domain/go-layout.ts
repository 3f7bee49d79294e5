/**
 * Go's time layouts: a layout is the reference time, Mon Jan 2 15:04:05 MST 2006, written as the times are. A layout is read
 * once and compiled to a pattern.
 */

type Part =
  | "year"
  | "month"
  | "day"
  | "hour"
  | "minute"
  | "second"
  | "fraction"
  | "zone"
  | "zoneName"
  | "pm"
  | "yearDay";

const MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const LONG_MONTHS = "January|February|March|April|May|June|July|August|September|October|November|December";
const SHORT_MONTHS = "Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec";
const LONG_DAYS = "Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday";
const SHORT_DAYS = "Mon|Tue|Wed|Thu|Fri|Sat|Sun";

/** Longest first: `2006` before `2`, `January` before `Jan`. */
const TOKENS: [token: string, pattern: string, part: Part | null][] = [
  ["January", LONG_MONTHS, "month"],
  ["Monday", LONG_DAYS, null],
  ["-07:00:00", "[+-]\\d\\d:\\d\\d:\\d\\d", "zone"],
  ["Z07:00:00", "Z|[+-]\\d\\d:\\d\\d:\\d\\d", "zone"],
  ["-070000", "[+-]\\d{6}", "zone"],
  ["Z070000", "Z|[+-]\\d{6}", "zone"],
  ["-07:00", "[+-]\\d\\d:\\d\\d", "zone"],
  ["Z07:00", "Z|[+-]\\d\\d:\\d\\d", "zone"],
  ["-0700", "[+-]\\d{4}", "zone"],
  ["Z0700", "Z|[+-]\\d{4}", "zone"],
  ["2006", "\\d{4}", "year"],
  ["-07", "[+-]\\d\\d", "zone"],
  ["Z07", "Z|[+-]\\d\\d", "zone"],
  ["002", "\\d{3}", "yearDay"],
  ["__2", "[ \\d][ \\d]\\d", "yearDay"],
  ["Jan", SHORT_MONTHS, "month"],
  ["Mon", SHORT_DAYS, null],
  ["MST", "[A-Z]{3,5}|[+-]\\d\\d", "zoneName"],
  ["01", "\\d\\d", "month"],
  ["02", "\\d\\d", "day"],
  ["03", "\\d\\d", "hour"],
  ["04", "\\d\\d", "minute"],
  ["05", "\\d\\d", "second"],
  ["06", "\\d\\d", "year"],
  ["15", "\\d\\d", "hour"],
  ["PM", "AM|PM", "pm"],
  ["pm", "am|pm", "pm"],
  ["_2", "[ \\d]\\d", "day"],
  ["1", "\\d{1,2}", "month"],
  ["2", "\\d{1,2}", "day"],
  ["3", "\\d{1,2}", "hour"],
  ["4", "\\d{1,2}", "minute"],
  ["5", "\\d{1,2}", "second"],
];

const NAMED: Record<string, string> = {
  ANSIC: "Mon Jan _2 15:04:05 2006",
  UnixDate: "Mon Jan _2 15:04:05 MST 2006",
  RFC822: "02 Jan 06 15:04 MST",
  RFC850: "Monday, 02-Jan-06 15:04:05 MST",
  RFC1123: "Mon, 02 Jan 2006 15:04:05 MST",
  RFC1123Z: "Mon, 02 Jan 2006 15:04:05 -0700",
  RFC3339: "2006-01-02T15:04:05Z07:00",
  RFC3339Nano: "2006-01-02T15:04:05.999999999Z07:00",
};

/** Reads times of one layout: Unix milliseconds, or null where the text is none. */
export type TimeReader = (text: string) => number | null;

/** Null where the layout names no year, month and day. */
export function goLayout(layout: string): TimeReader | null {
  const parts: Part[] = [];
  let pattern = "";
  let rest = NAMED[layout] ?? layout;
  while (rest !== "") {
    const fraction = /^[.,](0+|9+)(?!\d)/.exec(rest);
    const token = fraction ? undefined : TOKENS.find(([name]) => rest.startsWith(name));
    if (fraction) {
      pattern += fraction[1]?.[0] === "9" ? "(?:[.,](\\d{1,9}))?" : `[.,](\\d{${fraction[1]?.length}})`;
      parts.push("fraction");
      rest = rest.slice(fraction[0].length);
    } else if (token) {
      const [name, source, part] = token;
      pattern += part === null ? `(?:${source})` : `(${source})`;
      if (part !== null) parts.push(part);
      // Seconds may have a fraction though the layout has none.
      if (part === "second" && !/^[.,]\d/.test(rest.slice(name.length))) {
        pattern += "(?:[.,](\\d{1,9}))?";
        parts.push("fraction");
      }
      rest = rest.slice(name.length);
    } else {
      pattern += (rest[0] as string).replace(/[.*+?^${}()|[\]\\/]/, "\\$&");
      rest = rest.slice(1);
    }
  }
  const hasDate =
    parts.includes("year") && (parts.includes("yearDay") || (parts.includes("month") && parts.includes("day")));
  if (!hasDate) return null;
  const expression = new RegExp(`^${pattern}$`, "i");
  return (text) => {
    const match = expression.exec(text);
    return match === null ? null : instantOf(parts, match);
  };
}

function instantOf(parts: Part[], match: RegExpExecArray): number | null {
  const given = new Map<Part, string>();
  for (const [i, part] of parts.entries()) {
    const text = match[i + 1];
    if (text !== undefined) given.set(part, text);
  }
  const number = (part: Part, absent: number): number => {
    const text = given.get(part);
    return text === undefined ? absent : Number(text.trim());
  };
  const year = yearOf(given.get("year") ?? "");
  const hour = hourOf(number("hour", 0), given.get("pm"));
  const [minute, second] = [number("minute", 0), number("second", 0)];
  const offset = offsetOf(given.get("zone"), given.get("zoneName"));
  if (hour === null || minute > 59 || second > 59 || offset === null) return null;
  const day = dayOf(year, given, number);
  if (day === null) return null;
  const ms = Number((given.get("fraction") ?? "").padEnd(3, "0").slice(0, 3));
  return day + ((hour * 60 + minute) * 60 + second) * 1000 + ms - offset * 1000;
}

/** Two digits: 69 to 99 are the last century's. */
function yearOf(text: string): number {
  const year = Number(text);
  if (text.length > 2) return year;
  return year + (year >= 69 ? 1900 : 2000);
}

function hourOf(hour: number, pm: string | undefined): number | null {
  if (pm === undefined) return hour > 23 ? null : hour;
  if (hour < 1 || hour > 12) return null;
  return (hour % 12) + (pm.toLowerCase() === "pm" ? 12 : 0);
}

/** Midnight of the day in UTC, or null for a day that is not there. */
function dayOf(year: number, given: Map<Part, string>, number: (part: Part, absent: number) => number): number | null {
  const date = new Date(0);
  const yearDay = number("yearDay", 0);
  const text = given.get("month");
  if (text === undefined) {
    date.setUTCFullYear(year, 0, yearDay);
    return yearDay >= 1 && date.getUTCFullYear() === year ? date.getTime() : null;
  }
  const month = /^\d/.test(text) ? Number(text) : MONTHS.indexOf(text.slice(0, 3).toLowerCase()) + 1;
  const day = number("day", 1);
  date.setUTCFullYear(year, month - 1, day);
  return date.getUTCMonth() === month - 1 && date.getUTCDate() === day ? date.getTime() : null;
}

const UTC_NAMES = ["UTC", "GMT", "Z"];

/** Seconds east of UTC. A zone's name says nothing sure unless it is UTC's. */
function offsetOf(zone: string | undefined, name: string | undefined): number | null {
  if (zone === undefined) return name === undefined || UTC_NAMES.includes(name.toUpperCase()) ? 0 : null;
  if (zone.toUpperCase() === "Z") return 0;
  const digits = zone.slice(1).replaceAll(":", "");
  const [h, m, s] = [0, 2, 4].map((at) => Number(digits.slice(at, at + 2) || "0")) as [number, number, number];
  return h > 23 || m > 59 ? null : (zone[0] === "-" ? -1 : 1) * ((h * 60 + m) * 60 + s);
}
