import { goLayout } from "./go-layout.ts";
import { parseInstant } from "./instant.ts";
import { jsonText } from "./row-reader.ts";
import { type Column, type ColumnType, EPOCH_UNITS, type EpochUnit } from "./transform.ts";

/** What a value becomes: its JSON text, or null where it does not fit the type. */
export type Conversion = (value: unknown) => string | null;

/** What does not fit is told in these words: "is not …". */
export const TYPE_NAMES: Record<ColumnType, string> = {
  string: "text",
  boolean: "a boolean",
  double: "a number",
  int8: "an integer from -128 to 127",
  int16: "an integer from -32768 to 32767",
  int32: "an integer of 32 bits",
  int64: "an integer of 64 bits",
  uint8: "an integer from 0 to 255",
  uint16: "an integer from 0 to 65535",
  uint32: "an integer from 0 to 2^32 - 1",
  uint64: "an integer from 0 to 2^64 - 1",
  datetime: "a time of the column's format",
  epoch: "an epoch",
  uuid: "a UUID",
  ip: "an IP address",
  array: "an array",
  map: "a map",
};

const bits = (n: number, isSigned: boolean): [bigint, bigint] =>
  isSigned ? [-(2n ** BigInt(n - 1)), 2n ** BigInt(n - 1) - 1n] : [0n, 2n ** BigInt(n) - 1n];

/** The conversion of a column. The format is known to be right; see `formatProblem`. */
export function conversionOf({ type, format }: Column["datatype"]): Conversion {
  switch (type) {
    case "string":
      return toText;
    case "boolean":
      return toBoolean;
    case "double":
      return toDouble;
    case "int8":
    case "int16":
    case "int32":
    case "int64":
      return toInteger(...bits(Number(type.slice(3)), true));
    case "uint8":
    case "uint16":
    case "uint32":
    case "uint64":
      return toInteger(...bits(Number(type.slice(4)), false));
    case "datetime":
    case "epoch":
      return toTime(timeOf({ type, format }));
    case "uuid":
      return toUuid;
    case "ip":
      return toIp;
    case "array":
      return toList;
    case "map":
      return toMap;
  }
}

/** What is wrong with a column's format; null for nothing. */
export function formatProblem({ type, format }: Pick<Column["datatype"], "type" | "format">): string | null {
  if (format === undefined) return null;
  if (type === "epoch") return isUnit(format) ? null : `must be one of ${EPOCH_UNITS.join(", ")}`;
  if (type !== "datetime") return "is only for datetime and epoch";
  return goLayout(format) === null
    ? "must be a Go layout with year, month and day, such as 2006-01-02T15:04:05Z"
    : null;
}

const isUnit = (format: string): format is EpochUnit => (EPOCH_UNITS as readonly string[]).includes(format);

/** Unix milliseconds of a column's value; null where it is no time. */
export function timeOf({
  type,
  format,
}: Pick<Column["datatype"], "type" | "format">): (value: unknown) => number | null {
  if (type === "epoch") return epochReader(format !== undefined && isUnit(format) ? format : "s");
  const read = (format === undefined ? null : goLayout(format)) ?? parseInstant;
  return (value) => (typeof value === "string" ? read(value.trim()) : null);
}

/** Nanoseconds in a unit. */
const UNIT_NS: Record<EpochUnit, bigint> = { s: 1_000_000_000n, ms: 1_000_000n, us: 1_000n, ns: 1n };
const DECIMAL = /^-?\d+(\.\d+)?$/;
/** Beyond these years a time cannot be written in RFC 3339. */
const [FIRST_MS, LAST_MS] = [-62_135_596_800_000, 253_402_300_799_999];

function epochReader(unit: EpochUnit): (value: unknown) => number | null {
  const perMs = { s: 1000, ms: 1, us: 1e-3, ns: 1e-6 }[unit];
  return (value) => {
    const text = typeof value === "string" ? value.trim() : typeof value === "bigint" ? String(value) : null;
    if (text === null && typeof value !== "number") return null;
    if (text !== null && !DECIMAL.test(text)) return null;
    // Digits beyond a double's are nanoseconds: they are counted exactly.
    const isLong = text !== null && !text.includes(".") && text.length > 15;
    const ms = isLong
      ? Number((BigInt(text) * UNIT_NS[unit]) / 1_000_000n)
      : Math.floor(Number(text ?? value) * perMs + 1e-6);
    return Number.isFinite(ms) && ms >= FIRST_MS && ms <= LAST_MS ? ms : null;
  };
}

const toTime =
  (read: (value: unknown) => number | null): Conversion =>
  (value) => {
    const ms = read(value);
    return ms === null ? null : `"${new Date(ms).toISOString()}"`;
  };

function toText(value: unknown): string | null {
  if (typeof value === "string") return JSON.stringify(value);
  if (typeof value === "number") return Number.isFinite(value) ? `"${value}"` : null;
  return typeof value === "boolean" || typeof value === "bigint" ? `"${value}"` : null;
}

function toBoolean(value: unknown): string | null {
  if (typeof value === "boolean") return String(value);
  if (value === 1 || value === 0) return String(value === 1);
  if (typeof value !== "string") return null;
  const text = value.trim().toLowerCase();
  if (text === "true" || text === "1") return "true";
  return text === "false" || text === "0" ? "false" : null;
}

const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/;

function toDouble(value: unknown): string | null {
  const text = typeof value === "string" ? value.trim() : null;
  if (text === null && typeof value !== "number" && typeof value !== "bigint") return null;
  const number = text === null || NUMBER.test(text) ? Number(text ?? value) : Number.NaN;
  // JSON may have numbers that no double has, such as 1e400.
  return Number.isFinite(number) ? JSON.stringify(number) : null;
}

const DIGITS = /^[+-]?\d{1,20}$/;

/** Digits are kept as they are, whatever a double could hold of them. */
function toInteger(min: bigint, max: bigint): Conversion {
  const [low, high] = [Number(min), Number(max)];
  return (value) => {
    if (typeof value === "number") {
      return Number.isSafeInteger(value) && value >= low && value <= high ? String(value === 0 ? 0 : value) : null;
    }
    const text = typeof value === "string" ? value.trim() : typeof value === "bigint" ? String(value) : "";
    if (!DIGITS.test(text)) return null;
    const exact = BigInt(text.startsWith("+") ? text.slice(1) : text);
    return exact >= min && exact <= max ? String(exact) : null;
  };
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

function toUuid(value: unknown): string | null {
  const text = typeof value === "string" ? value.trim() : "";
  return UUID.test(text) ? `"${text.toLowerCase()}"` : null;
}

const V4 = /^(25[0-5]|2[0-4]\d|1?\d?\d)(\.(25[0-5]|2[0-4]\d|1?\d?\d)){3}$/;

function toIp(value: unknown): string | null {
  const text = typeof value === "string" ? value.trim() : "";
  return V4.test(text) || isV6(text) ? `"${text}"` : null;
}

function isV6(text: string): boolean {
  return text.length <= 45 && /^[0-9a-f:.]+$/i.test(text) && text.includes(":") && URL.canParse(`http://[${text}]/`);
}

/** CSV has lists and maps as JSON in a field. */
function structured(value: unknown): unknown {
  if (typeof value !== "string") return value;
  try {
    return JSON.parse(value) as unknown;
  } catch {
    return null;
  }
}

function toList(value: unknown): string | null {
  const list = structured(value);
  return Array.isArray(list) ? jsonText(list) : null;
}

function toMap(value: unknown): string | null {
  const map = structured(value);
  return typeof map === "object" && map !== null && !Array.isArray(map) ? jsonText(map) : null;
}
