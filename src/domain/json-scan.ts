/**
 * A scanner of raw JSON (RFC 8259) in UTF-8. It checks the grammar and the encoding and finds where values begin and end,
 * and builds nothing: a million items cross it, and what it passes can be cut out byte for byte.
 *
 * A scan answers the index behind the value, or `BAD`; then `problem` says what is wrong and `at` where.
 */
export const BAD = -1;

/** What a scan leaves behind. One is used again and again: it is no value to keep. */
export class Scan {
  /** Nesting of arrays and objects in the last value; 0 for a plain one. */
  depth = 0;
  problem = "";
  /** Offset of the problem. */
  at = 0;
  /** 1 for an object, 0 for an array, outermost first. */
  stack = new Uint8Array(128);

  fail(problem: string, at: number): typeof BAD {
    this.problem = problem;
    this.at = at;
    return BAD;
  }

  private grow(): void {
    const wider = new Uint8Array(this.stack.length * 2);
    wider.set(this.stack);
    this.stack = wider;
  }

  enter(depth: number, kind: 0 | 1): void {
    if (depth >= this.stack.length) this.grow();
    this.stack[depth] = kind;
    if (depth >= this.depth) this.depth = depth + 1;
  }
}

/** The problem of a text that goes well as far as it goes. */
export const ENDED = "ends in the middle of a value";
const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const BACKSLASH = 0x5c;

const byteAt = (b: Uint8Array, at: number, end: number): number => (at < end ? (b[at] as number) : BAD);

/** The first index from `at` that is no white space. */
export function skipSpace(b: Uint8Array, from: number, end: number): number {
  let at = from;
  while (at < end) {
    const c = b[at];
    if (c !== 0x20 && c !== 0x0a && c !== 0x0d && c !== 0x09) break;
    at++;
  }
  return at;
}

/** Scans one value from `from`, white space before it allowed. Nesting has no limit of its own and uses no stack. */
export function scanValue(b: Uint8Array, from: number, end: number, scan: Scan): number {
  let at = from;
  let depth = 0;
  scan.depth = 0;
  for (;;) {
    at = skipSpace(b, at, end);
    const c = byteAt(b, at, end);
    if (c === 0x7b || c === 0x5b) {
      const kind = c === 0x7b ? 1 : 0;
      scan.enter(depth++, kind);
      at = skipSpace(b, at + 1, end);
      if (byteAt(b, at, end) === c + 2) {
        at++;
        depth--;
      } else {
        if (kind === 1) at = scanKey(b, at, end, scan);
        if (at === BAD) return BAD;
        continue;
      }
    } else {
      at = c === QUOTE ? scanString(b, at + 1, end, scan) : scanScalar(b, at, end, c, scan);
      if (at === BAD) return BAD;
    }
    // Behind a value: close what closes, or go on to the next.
    for (;;) {
      if (depth === 0) return at;
      at = skipSpace(b, at, end);
      const d = byteAt(b, at, end);
      const isObject = scan.stack[depth - 1] === 1;
      if (d === COMMA) {
        at++;
        if (isObject) at = scanKey(b, skipSpace(b, at, end), end, scan);
        if (at === BAD) return BAD;
        break;
      }
      if (d !== (isObject ? 0x7d : 0x5d)) {
        return scan.fail(d === BAD ? ENDED : `expected , or ${isObject ? "}" : "]"}`, at);
      }
      at++;
      depth--;
    }
  }
}

/** A key and its colon; `at` stands where the key's quote must be. */
export function scanKey(b: Uint8Array, at: number, end: number, scan: Scan): number {
  const c = byteAt(b, at, end);
  if (c !== QUOTE) return scan.fail(c === BAD ? ENDED : "expected a key in double quotes", at);
  const behind = scanString(b, at + 1, end, scan);
  if (behind === BAD) return BAD;
  const colon = skipSpace(b, behind, end);
  const d = byteAt(b, colon, end);
  if (d !== COLON) return scan.fail(d === BAD ? ENDED : "expected :", colon);
  return colon + 1;
}

/** A string from behind its opening quote to behind its closing one. */
function scanString(b: Uint8Array, from: number, end: number, scan: Scan): number {
  let at = from;
  while (at < end) {
    const c = b[at] as number;
    if (c === QUOTE) return at + 1;
    if (c === BACKSLASH) {
      const length = escapeLength(b, at, end);
      if (length === 0) return scan.fail(isCutEscape(b, at, end) ? ENDED : "holds a bad escape in a string", at);
      at += length;
    } else if (c < 0x20) {
      return scan.fail("holds a raw control character in a string", at);
    } else if (c < 0x80) {
      at++;
    } else {
      const length = sequenceLength(b, at, end, c);
      if (length === 0) return scan.fail(end - at < 4 && isTails(b, at + 1, end) ? ENDED : "is not valid UTF-8", at);
      at += length;
    }
  }
  return scan.fail(ENDED, end);
}

function isCutEscape(b: Uint8Array, at: number, end: number): boolean {
  if (at + 1 >= end) return true;
  if (at + 6 <= end || b[at + 1] !== 0x75) return false;
  for (let i = at + 2; i < end; i++) if (!isHex(b[i] as number)) return false;
  return true;
}

const isHex = (c: number): boolean => (c >= 0x30 && c <= 0x39) || ((c | 0x20) >= 0x61 && (c | 0x20) <= 0x66);

/** 2 or 6; 0 for what is no escape. */
function escapeLength(b: Uint8Array, at: number, end: number): number {
  switch (byteAt(b, at + 1, end)) {
    case QUOTE:
    case BACKSLASH:
    case 0x2f: // /
    case 0x62: // b
    case 0x66: // f
    case 0x6e: // n
    case 0x72: // r
    case 0x74: // t
      return 2;
    case 0x75: // u
      for (let i = 2; i < 6; i++) if (!isHex(byteAt(b, at + i, end))) return 0;
      return 6;
    default:
      return 0;
  }
}

function isTails(b: Uint8Array, from: number, end: number): boolean {
  for (let at = from; at < end; at++) if (!isTail(b[at] as number)) return false;
  return true;
}

const isTail = (c: number): boolean => (c & 0xc0) === 0x80;

/** Bytes of a well-formed UTF-8 sequence (Unicode, table 3-7) that begins with `c` ≥ 0x80; 0 for none. */
function sequenceLength(b: Uint8Array, at: number, end: number, c: number): number {
  if (c < 0xc2 || c > 0xf4) return 0;
  const second = byteAt(b, at + 1, end);
  if (!isTail(second)) return 0;
  if (c < 0xe0) return 2;
  if (!isTail(byteAt(b, at + 2, end))) return 0;
  // No overlong forms, no surrogates, nothing beyond U+10FFFF.
  if (c < 0xf0) return (c === 0xe0 && second < 0xa0) || (c === 0xed && second > 0x9f) ? 0 : 3;
  if (!isTail(byteAt(b, at + 3, end))) return 0;
  return (c === 0xf0 && second < 0x90) || (c === 0xf4 && second > 0x8f) ? 0 : 4;
}

const LITERALS: Record<number, Uint8Array> = {
  116: new TextEncoder().encode("true"),
  102: new TextEncoder().encode("false"),
  110: new TextEncoder().encode("null"),
};

function scanScalar(b: Uint8Array, at: number, end: number, c: number, scan: Scan): number {
  if (c === 0x2d || (c >= 0x30 && c <= 0x39)) return scanNumber(b, at, end, scan);
  const literal = LITERALS[c];
  if (!literal) return scan.fail(c === BAD ? ENDED : "expected a value", at);
  for (let i = 1; i < literal.length; i++) {
    const d = byteAt(b, at + i, end);
    if (d !== literal[i]) return scan.fail(d === BAD ? ENDED : "expected a value", at);
  }
  return at + literal.length;
}

const isDigit = (c: number): boolean => c >= 0x30 && c <= 0x39;

function skipDigits(b: Uint8Array, from: number, end: number): number {
  let at = from;
  while (at < end && isDigit(b[at] as number)) at++;
  return at;
}

function scanNumber(b: Uint8Array, from: number, end: number, scan: Scan): number {
  let at = byteAt(b, from, end) === 0x2d ? from + 1 : from;
  const whole = at;
  at = byteAt(b, at, end) === 0x30 ? at + 1 : skipDigits(b, at, end);
  if (at === whole) return scan.fail(at < end ? "holds a bad number" : ENDED, at);
  if (byteAt(b, at, end) === 0x2e) {
    const digits = at + 1;
    at = skipDigits(b, digits, end);
    if (at === digits) return scan.fail(at < end ? "holds a bad number" : ENDED, at);
  }
  if ((byteAt(b, at, end) | 0x20) === 0x65) {
    const sign = byteAt(b, at + 1, end);
    const digits = sign === 0x2b || sign === 0x2d ? at + 2 : at + 1;
    at = skipDigits(b, digits, end);
    if (at === digits) return scan.fail(at < end ? "holds a bad number" : ENDED, at);
  }
  if (isDigit(byteAt(b, at, end))) return scan.fail("holds a number with a leading zero", at);
  return at;
}
