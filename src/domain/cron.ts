/**
 * Five-field cron (contract 4.6): weekdays 0 to 6 and names, `?`; day-of-month and weekday are alternatives unless one is
 * `*`. Each field is the set of its values; `null` stands for `*` and `?`.
 */
export interface Cron {
  minute: Set<number> | null;
  hour: Set<number> | null;
  day: Set<number> | null;
  month: Set<number> | null;
  weekday: Set<number> | null;
}

interface Field {
  name: keyof Cron;
  /** What may stand in it, for those who wrote something else. */
  takes: string;
  min: number;
  max: number;
  names?: readonly string[];
}

const MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

const FIELDS: readonly Field[] = [
  { name: "minute", takes: "0 to 59", min: 0, max: 59 },
  { name: "hour", takes: "0 to 23", min: 0, max: 23 },
  { name: "day", takes: "1 to 31 or ?", min: 1, max: 31 },
  { name: "month", takes: "1 to 12 or jan to dec", min: 1, max: 12, names: MONTHS },
  { name: "weekday", takes: "0 (Sunday) to 6, sun to sat or ?", min: 0, max: 6, names: WEEKDAYS },
];

const FORM = "minute hour day-of-month month day-of-week";
const SYNTAX = "*, lists (1,3), ranges (1-5) and steps (*/5); L, W, # and @names are not supported";
const MAX_LENGTH = 256;
/** The most days that a month can have. */
const MONTH_DAYS = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/** The cron, or what is wrong with it as the second half of "cron: …". */
export function parseCron(text: string): Cron | string {
  const parts = text.trim().split(/\s+/);
  if (text.length > MAX_LENGTH) return `is longer than ${MAX_LENGTH} characters`;
  if (parts.length !== FIELDS.length) return `must have exactly 5 fields: ${FORM}; with ${SYNTAX}`;
  const cron: Cron = { minute: null, hour: null, day: null, month: null, weekday: null };
  for (const [i, field] of FIELDS.entries()) {
    const values = parseField(parts[i] ?? "", field);
    if (typeof values === "string") return values;
    cron[field.name] = values;
  }
  return canMatch(cron) ? cron : "can never match: no month has such a day";
}

/** The same firings with each value once, in order: lists may overlap (`1-5,3`), and not every reader takes that. */
export function plainCron(text: string): string {
  const cron = parseCron(text);
  if (typeof cron === "string") throw new Error(`a cron was never checked: it ${cron}`);
  return FIELDS.map(({ name }) => (cron[name] === null ? "*" : [...cron[name]].sort((a, b) => a - b).join(","))).join(
    " ",
  );
}

/** Whether the hours are a pattern (`*`, a step over all of them, every single one) and no fixed hours. */
export function hourlyPattern(text: string): boolean {
  const [, hours = ""] = text.trim().split(/\s+/);
  const cron = parseCron(text);
  return hours.startsWith("*") || (typeof cron === "object" && cron.hour?.size === 24);
}

function parseField(text: string, field: Field): Set<number> | null | string {
  if (text === "*" || (text === "?" && (field.name === "day" || field.name === "weekday"))) return null;
  const values = new Set<number>();
  for (const part of text.split(",")) {
    const range = parseRange(part, field);
    if (!range) {
      const given = JSON.stringify(text.slice(0, 64));
      return `its ${field.name} field is wrong: ${given}; it takes ${field.takes}, with ${SYNTAX}`;
    }
    for (let value = range.from; value <= range.to; value += range.step) values.add(value);
  }
  return values;
}

function parseRange(part: string, field: Field): { from: number; to: number; step: number } | null {
  const [, base = "", stepText] = /^([^/]+)(?:\/(\d{1,2}))?$/.exec(part) ?? [];
  const step = stepText === undefined ? 1 : Number(stepText);
  if (base === "" || step < 1) return null;
  if (base === "*") return { from: field.min, to: field.max, step };
  const [low = "", high, ...rest] = base.split("-");
  const from = parseValue(low, field);
  // `5/15` counts from 5 to the end.
  const to = high === undefined ? (stepText === undefined ? from : field.max) : parseValue(high, field);
  if (rest.length > 0 || from === null || to === null || from > to) return null;
  return { from, to, step };
}

function parseValue(text: string, field: Field): number | null {
  const named = field.names?.indexOf(text.toLowerCase()) ?? -1;
  const value = named >= 0 ? named + field.min : /^\d{1,2}$/.test(text) ? Number(text) : Number.NaN;
  return value >= field.min && value <= field.max ? value : null;
}

/** Only a day that no chosen month has can keep a cron from ever matching; a weekday, where it is an alternative, saves it. */
function canMatch({ day, month, weekday }: Cron): boolean {
  if (day === null || weekday !== null) return true;
  const months = month ?? new Set(MONTH_DAYS.map((_, i) => i + 1));
  const firstDay = Math.min(...day);
  return [...months].some((m) => firstDay <= (MONTH_DAYS[m - 1] ?? 0));
}

/** Whether the name is one of the IANA time zone database's that this runtime knows. */
export function isTimeZone(name: string): boolean {
  if (!/^[A-Za-z][A-Za-z0-9_+/-]{0,63}$/.test(name)) return false;
  try {
    new Intl.DateTimeFormat("en-US", { timeZone: name });
    return true;
  } catch {
    return false;
  }
}
