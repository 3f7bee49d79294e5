import type { ErrorDetail } from "./error.ts";
import { textOf } from "./json-cut.ts";

/**
 * The fields of an item (contract 4.1), each read from its raw value. A wrong value is a message; the caller knows the
 * path. There is no schema library here: this runs for every one of a million items.
 */

export const MAX_KEY_CHARS = 256;
export const MAX_ITEM_LIMITS = 4;
export const MAX_TAGS = 20;
export const MAX_TAG_KEY_CHARS = 64;
export const MAX_TAG_VALUE_CHARS = 256;
export const MAX_METADATA = 20;
export const MAX_METADATA_KEY_CHARS = 256;
export const MAX_METADATA_VALUE_CHARS = 4096;
export const MAX_TTL_SECS = 2_592_000;
export const MAX_ATTEMPTS = 100;
export const MAX_TIMEOUT_SECS = 780;
export const MAX_PRIORITY = 10;

/** Takes down what is wrong. */
export type Refuse = (message: string) => void;

const QUOTE = 0x22;
const N = 0x6e;

/** Of a value that a scan has passed: only `null` begins so. */
export const isNull = (bytes: Uint8Array, from: number): boolean => bytes[from] === N;

/** The string at `[from, to)`, or null where the value is none. */
export function stringAt(bytes: Uint8Array, from: number, to: number): string | null {
  if (bytes[from] !== QUOTE) return null;
  let plain = to - from < 48;
  for (let at = from + 1; plain && at < to - 1; at++) {
    const c = bytes[at] as number;
    plain = c < 0x80 && c !== 0x5c;
  }
  if (plain) return shortText(bytes, from + 1, to - 1);
  const raw = textOf(bytes, from, to);
  return raw.includes("\\") ? (JSON.parse(raw) as string) : raw.slice(1, -1);
}

/** A decoder's call costs more than a short string. */
function shortText(bytes: Uint8Array, from: number, to: number): string {
  let text = "";
  for (let at = from; at < to; at++) text += String.fromCharCode(bytes[at] as number);
  return text;
}

/** Text that a database can compare byte for byte: no half of a surrogate pair, no NUL. */
export const isStorable = (text: string): boolean => text.isWellFormed() && !text.includes("\0");

/** A key: 1..256 characters. */
export function readKey(bytes: Uint8Array, from: number, to: number, refuse: Refuse): string | undefined {
  const text = stringAt(bytes, from, to);
  if (text === null) refuse("must be a string");
  else if (text.length === 0) refuse("must not be empty");
  else if (text.length > MAX_KEY_CHARS) refuse(`is longer than ${MAX_KEY_CHARS} characters`);
  else if (!isStorable(text)) refuse("must be well-formed Unicode without NUL");
  else return text;
  return undefined;
}

export function readInteger(
  bytes: Uint8Array,
  from: number,
  to: number,
  min: number,
  max: number,
  refuse: Refuse,
): number | undefined {
  const c = bytes[from] as number;
  const value = c === 0x2d || (c >= 0x30 && c <= 0x39) ? Number(textOf(bytes, from, to)) : Number.NaN;
  if (Number.isInteger(value) && value >= min && value <= max) return value === 0 ? 0 : value;
  refuse(`must be an integer from ${min} to ${max}`);
  return undefined;
}

/** `"name"` or `"name:partition"`, up to four, of the limits that the job has. */
export function readLimits(value: unknown, known: ReadonlySet<string>, refuse: Refuse): string[] | undefined {
  if (!Array.isArray(value) || !value.every((v) => typeof v === "string")) {
    refuse("must be a list of strings");
    return undefined;
  }
  const names = value as string[];
  if (names.length > MAX_ITEM_LIMITS) refuse(`lists more than ${MAX_ITEM_LIMITS} limits`);
  else if (new Set(names).size < names.length) refuse("lists a limit twice");
  else if (names.every((name) => isLimit(name, known, refuse))) return names;
  return undefined;
}

function isLimit(text: string, known: ReadonlySet<string>, refuse: Refuse): boolean {
  const colon = text.indexOf(":");
  const name = colon === -1 ? text : text.slice(0, colon);
  const partition = colon === -1 ? "" : text.slice(colon + 1);
  if (partition.length > MAX_KEY_CHARS) refuse(`names a partition longer than ${MAX_KEY_CHARS} characters`);
  else if (!isStorable(text)) refuse("must be well-formed Unicode without NUL");
  else if (!known.has(name)) refuse(`names an unknown limit: ${name.slice(0, 64)}`);
  else if (colon !== -1 && partition === "") refuse(`names no partition behind the colon: ${name}`);
  else return true;
  return false;
}

/** Checks a map of strings; every wrong entry is a detail with a path of its own. */
export function readMap(
  value: unknown,
  path: string,
  bounds: { entries: number; key: (key: string) => string | null; value: (value: string) => string | null },
  details: ErrorDetail[],
): Record<string, string> | undefined {
  const before = details.length;
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    details.push({ path, message: "must be an object of strings" });
    return undefined;
  }
  const entries = Object.entries(value);
  if (entries.length > bounds.entries) {
    details.push({ path, message: `has more than ${bounds.entries} entries` });
    return undefined;
  }
  for (const [key, entry] of entries) {
    const at = `${path}.${key.slice(0, 64)}`;
    const problem = bounds.key(key) ?? (typeof entry === "string" ? bounds.value(entry) : "must be a string");
    if (problem !== null) details.push({ path: at, message: problem });
  }
  return details.length === before ? (value as Record<string, string>) : undefined;
}

const unstorable = (text: string): string | null =>
  isStorable(text) ? null : "must be well-formed Unicode without NUL";

export const TAG_BOUNDS = {
  entries: MAX_TAGS,
  key: (key: string): string | null => {
    if (key === "__proto__") return "is not allowed";
    if (key.length === 0 || key.length > MAX_TAG_KEY_CHARS)
      return `its key must have 1 to ${MAX_TAG_KEY_CHARS} characters`;
    return key.includes(":") ? "its key must not contain a colon" : unstorable(key);
  },
  value: (value: string): string | null =>
    value.length > MAX_TAG_VALUE_CHARS ? `is longer than ${MAX_TAG_VALUE_CHARS} characters` : unstorable(value),
};

export const METADATA_BOUNDS = {
  entries: MAX_METADATA,
  key: (key: string): string | null => {
    if (key === "__proto__") return "is not allowed";
    if (key.length === 0 || key.length > MAX_METADATA_KEY_CHARS)
      return `its key must have 1 to ${MAX_METADATA_KEY_CHARS} characters`;
    return unstorable(key);
  },
  value: (value: string): string | null =>
    value.length > MAX_METADATA_VALUE_CHARS
      ? `is longer than ${MAX_METADATA_VALUE_CHARS} characters`
      : unstorable(value),
};

export const OVERFULL = `has more than ${MAX_METADATA} entries with the job's default_run_metadata`;

/** Whether an item's metadata, with the job's default entries that it does not replace, is more than a run may have. */
export function isOverfull(own: Record<string, string> | undefined, defaults: readonly string[]): boolean {
  if (own === undefined || defaults.length === 0) return false;
  const added = defaults.filter((name) => !Object.hasOwn(own, name)).length;
  return Object.keys(own).length + added > MAX_METADATA;
}
