import { toHex } from "./hex.ts";

/** W3C Trace Context, level 1: the headers `traceparent` and `tracestate`. */

/**
 * A trace as it is kept and handed on: its `traceparent`, with its `tracestate` behind a space where one came. It is forwarded
 * as it came: nobody here adds a span of their own.
 */
export type Trace = string;

export interface TraceParent {
  /** 32 hex digits, not all zero. */
  trace_id: string;
  /** 16 hex digits, not all zero. */
  parent_id: string;
  /** 8 bits; bit 0 is `sampled`. */
  flags: number;
}

/** A version from the future may carry more behind the flags; version ff is invalid. */
const HEADER = /^(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;

/** The parts of a header, or null where it is none: then a new trace begins. */
export function parseTraceparent(header: string): TraceParent | null {
  const match = HEADER.exec(header);
  if (!match) return null;
  const [, version, trace_id, parent_id, flags, more] = match;
  if (trace_id === undefined || parent_id === undefined || flags === undefined) return null;
  if (version === "00" && more !== undefined) return null;
  return { trace_id, parent_id, flags: Number.parseInt(flags, 16) };
}

/** All zero is invalid; the last digit of such an id becomes 1. */
const notZero = (id: string): string => (/^0+$/.test(id) ? `${id.slice(1)}1` : id);

/** A new trace: `random` gives 24 bytes. It is marked as sampled, so that the endpoint's own tracer may keep it. */
export const newTraceparent = (random: Uint8Array): string =>
  `00-${notZero(toHex(random.subarray(0, 16)))}-${notZero(toHex(random.subarray(16, 24)))}-01`;

const KEY = "(?:[a-z][a-z0-9_*/-]{0,255}|[a-z0-9][a-z0-9_*/-]{0,240}@[a-z][a-z0-9_*/-]{0,13})";
/** Printable, without comma and equals sign, and not ending with a space. */
const VALUE = "[\\x20-\\x2b\\x2d-\\x3c\\x3e-\\x7e]{0,255}[\\x21-\\x2b\\x2d-\\x3c\\x3e-\\x7e]";
const MEMBER = new RegExp(`^(${KEY})=${VALUE}$`);
const MAX_MEMBERS = 32;
const MAX_STATE = 512;

/** The header without its empty members, and without the last ones where it is too long; null where it is none. */
export function parseTracestate(header: string): string | null {
  const members = header
    .split(",")
    .map((member) => member.replace(/^[ \t]+|[ \t]+$/g, ""))
    .filter((member) => member !== "");
  const keys = members.map((member) => MEMBER.exec(member)?.[1]);
  if (members.length > MAX_MEMBERS || keys.includes(undefined) || new Set(keys).size < keys.length) return null;
  while (members.join(",").length > MAX_STATE) members.pop();
  return members.length === 0 ? null : members.join(",");
}

/** The trace that a request's headers name; a new one where they name none. `random` gives 24 bytes. */
export function receivedTrace(
  traceparent: string | undefined,
  tracestate: string | undefined,
  random: () => Uint8Array,
): Trace {
  if (traceparent === undefined || parseTraceparent(traceparent) === null) return newTraceparent(random());
  const state = tracestate === undefined ? null : parseTracestate(tracestate);
  return state === null ? traceparent : `${traceparent} ${state}`;
}

/** The headers that hand a trace on; null where it is none. */
export function traceHeaders(trace: Trace): Record<string, string> | null {
  const [traceparent = "", ...state] = trace.split(" ");
  if (parseTraceparent(traceparent) === null) return null;
  return state.length === 0 ? { traceparent } : { traceparent, tracestate: state.join(" ") };
}
