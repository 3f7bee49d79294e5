/** W3C Trace Context, level 1: the `traceparent` header. */
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

const hex = (bytes: Uint8Array): string => {
  let text = "";
  for (const byte of bytes) text += (byte < 16 ? "0" : "") + byte.toString(16);
  return text;
};

/** All zero is invalid; the last digit of such an id becomes 1. */
const notZero = (id: string): string => (/^0+$/.test(id) ? `${id.slice(1)}1` : id);

/** A new trace: `random` gives 24 bytes. It is marked as sampled, so that the endpoint's own tracer may keep it. */
export const newTraceparent = (random: Uint8Array): string =>
  `00-${notZero(hex(random.subarray(0, 16)))}-${notZero(hex(random.subarray(16, 24)))}-01`;
