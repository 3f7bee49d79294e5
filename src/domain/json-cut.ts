import { BAD, ENDED, Scan, scanKey, scanValue, skipSpace } from "./json-scan.ts";

const decoder = new TextDecoder("utf-8", { fatal: false, ignoreBOM: true });

/** The text of bytes that a scan has passed, so they are sound UTF-8. */
export const textOf = (bytes: Uint8Array, from: number, to: number): string => decoder.decode(bytes.subarray(from, to));

/**
 * Walks over the members of one object, checking as it goes. After each `next` that answered true the key stands in
 * `[keyFrom, keyTo)` (between its quotes) and the value in `[from, to)`, raw, with `depth` its nesting. After false,
 * `failed` tells the end from a problem, which stands in `scan`; `behind` is the index after the object.
 */
export class ObjectCursor {
  readonly scan = new Scan();
  keyFrom = 0;
  keyTo = 0;
  from = 0;
  to = 0;
  depth = 0;
  behind = 0;
  failed = false;

  private bytes: Uint8Array = new Uint8Array(0);
  private end = 0;
  private at = 0;
  private fresh = true;

  /** @param at stands on the opening brace. */
  open(bytes: Uint8Array, at: number, end: number): void {
    this.bytes = bytes;
    this.end = end;
    this.at = at + 1;
    this.fresh = true;
    this.failed = false;
  }

  next(): boolean {
    const { bytes, end, scan } = this;
    let at = skipSpace(bytes, this.at, end);
    if (at < end && bytes[at] === 0x7d) return this.close(at);
    if (!this.fresh) {
      if (at >= end || bytes[at] !== 0x2c) return this.fail(at, "expected , or }");
      at = skipSpace(bytes, at + 1, end);
    }
    this.fresh = false;
    const colon = scanKey(bytes, at, end, scan);
    if (colon === BAD) return this.refuse();
    this.keyFrom = at + 1;
    this.keyTo = lastQuote(bytes, colon);
    this.from = skipSpace(bytes, colon, end);
    this.to = scanValue(bytes, this.from, end, scan);
    if (this.to === BAD) return this.refuse();
    this.depth = scan.depth;
    this.at = this.to;
    return true;
  }

  /** The key's text, escapes resolved. */
  key(): string {
    const raw = textOf(this.bytes, this.keyFrom, this.keyTo);
    return raw.includes("\\") ? (JSON.parse(`"${raw}"`) as string) : raw;
  }

  private close(at: number): false {
    this.behind = at + 1;
    return false;
  }

  private fail(at: number, problem: string): false {
    this.scan.fail(at >= this.end ? ENDED : problem, at);
    return this.refuse();
  }

  private refuse(): false {
    this.failed = true;
    return false;
  }
}

/** The quote that closes a key, looked for backwards from behind its colon: only white space stands between. */
function lastQuote(bytes: Uint8Array, behindColon: number): number {
  let at = behindColon - 2;
  while (bytes[at] !== 0x22) at--;
  return at;
}

/** Where values stand in a text: `[from, to)` pairs, one after the other. */
export interface Spans {
  bounds: Int32Array;
  count: number;
}

/** The elements of an array that a scan has passed; `from` stands on its bracket. Those beyond `limit` are only counted. */
export function cutElements(bytes: Uint8Array, from: number, to: number, limit: number): Spans {
  const scan = new Scan();
  let bounds = new Int32Array(2 * Math.min(limit, 64));
  let count = 0;
  let at = skipSpace(bytes, from + 1, to);
  while (bytes[at] !== 0x5d) {
    if (bytes[at] === 0x2c) at = skipSpace(bytes, at + 1, to);
    const behind = scanValue(bytes, at, to, scan);
    if (count < limit) {
      if (2 * count === bounds.length) {
        const wider = new Int32Array(Math.min(2 * limit, 2 * bounds.length));
        wider.set(bounds);
        bounds = wider;
      }
      bounds[2 * count] = at;
      bounds[2 * count + 1] = behind;
    }
    count++;
    at = skipSpace(bytes, behind, to);
  }
  return { bounds, count };
}

/** A JSON text that is not one. */
export interface Malformed {
  problem: string;
  /** Offset in bytes. */
  at: number;
}

/** Members beyond this many are checked and counted as unknown, not kept: nobody has so many fields. */
const MAX_MEMBERS = 64;

/** The members of a text that is one object, by key: `[from, to)` of the raw value. A key that stands twice is listed. */
export interface CutObject {
  members: Map<string, { from: number; to: number; depth: number }>;
  repeated: string[];
}

export const isMalformed = (cut: CutObject | Malformed | null): cut is Malformed => cut !== null && "problem" in cut;

const BOM = [0xef, 0xbb, 0xbf];

/** Where a text begins: behind its byte order mark, where it has one. */
export const textStart = (bytes: Uint8Array): number => (BOM.every((b, i) => bytes[i] === b) ? BOM.length : 0);

/**
 * Takes a whole body apart at its first level, after checking all of it. A byte order mark before it is passed over.
 *
 * @returns null where the text is sound and its value is no object.
 */
export function cutObject(bytes: Uint8Array): CutObject | Malformed | null {
  const end = bytes.length;
  const start = skipSpace(bytes, textStart(bytes), end);
  const cursor = new ObjectCursor();
  const { scan } = cursor;
  const problem = (): Malformed => ({ problem: scan.problem, at: scan.at });
  if (bytes[start] !== 0x7b) {
    const behind = scanValue(bytes, start, end, scan);
    if (behind === BAD) return problem();
    return trailing(bytes, behind);
  }
  const cut: CutObject = { members: new Map(), repeated: [] };
  cursor.open(bytes, start, end);
  while (cursor.next()) {
    if (cut.members.size + cut.repeated.length >= MAX_MEMBERS) continue;
    const key = cursor.key();
    if (cut.members.has(key)) cut.repeated.push(key);
    cut.members.set(key, { from: cursor.from, to: cursor.to, depth: cursor.depth });
  }
  if (cursor.failed) return problem();
  return trailing(bytes, cursor.behind) ?? cut;
}

function trailing(bytes: Uint8Array, behind: number): Malformed | null {
  const at = skipSpace(bytes, behind, bytes.length);
  return at === bytes.length ? null : { problem: "has more text behind its end", at };
}

/** Whether a text is the beginning of a JSON value and not all of it. */
export function isCutOff(bytes: Uint8Array, from: number, to: number): boolean {
  const scan = new Scan();
  return scanValue(bytes, from, to, scan) === BAD && scan.problem === ENDED;
}

/** A value that a scan has passed, parsed. */
export const parsed = (bytes: Uint8Array, from: number, to: number): unknown => JSON.parse(textOf(bytes, from, to));

/**
 * Follows a path of names (and indexes of arrays) into a value that a scan has passed; of a key that stands twice the
 * last one counts, as parsers have it.
 */
export function valueAt(
  bytes: Uint8Array,
  from: number,
  to: number,
  path: readonly string[],
): { from: number; to: number } | null {
  const cursor = new ObjectCursor();
  let found: { from: number; to: number } | null = { from, to };
  for (const name of path) {
    const inside: { from: number; to: number } = found;
    found = null;
    if (bytes[inside.from] === 0x7b) {
      cursor.open(bytes, inside.from, inside.to);
      while (cursor.next()) if (cursor.key() === name) found = { from: cursor.from, to: cursor.to };
    } else if (bytes[inside.from] === 0x5b && /^(0|[1-9]\d{0,6})$/.test(name)) {
      found = elementAt(bytes, inside.from, inside.to, Number(name));
    }
    if (found === null) return null;
  }
  return found;
}

function elementAt(bytes: Uint8Array, from: number, to: number, index: number): { from: number; to: number } | null {
  const { bounds, count } = cutElements(bytes, from, to, index + 1);
  if (index >= count) return null;
  return { from: bounds[2 * index] as number, to: bounds[2 * index + 1] as number };
}
