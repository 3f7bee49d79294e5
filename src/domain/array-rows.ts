import {
  BROKEN_TEXT,
  BrokenObject,
  MAX_ROW_BYTES,
  parseJson,
  type RowPlace,
  type RowReader,
  TOO_LONG,
} from "./row-reader.ts";

const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const lenient = new TextDecoder("utf-8", { fatal: false, ignoreBOM: true });
const SHOWN_BYTES = 4096;
const NOTHING = new Uint8Array(0);

const isSpace = (c: number): boolean => c === 0x20 || c === 0x0a || c === 0x0d || c === 0x09;

/** The elements of one JSON array. */
export class ArrayRows implements RowReader {
  value: unknown = null;
  text = "";
  problem: string | null = null;
  line: number;
  offset: number;

  private part: Uint8Array = NOTHING;
  private at = 0;
  /** Where the element at hand begins in the part, or goes on. */
  private elementAt = 0;
  /** Of `part[0]` in the stream. */
  private partOffset: number;
  private lines: number;
  /** What of the element at hand stood in earlier parts. */
  private kept: Uint8Array[] = [];
  private keptBytes = 0;
  private isTooLong = false;
  private state: "before" | "element" | "behind" = "before";
  private isStarted: boolean;
  private isFirst: boolean;
  private depth = 0;
  private inString = false;
  private isEscaped = false;
  private isEnded = false;

  /** @param from the start of the stream, or behind an element. */
  constructor(from: RowPlace, isStart: boolean) {
    this.partOffset = from.offset;
    this.offset = from.offset;
    this.lines = from.line;
    this.line = from.line;
    this.isStarted = !isStart;
    this.isFirst = isStart;
  }

  feed(part: Uint8Array): void {
    this.part = part;
  }

  end(): void {
    this.isEnded = true;
  }

  /** @throws BrokenObject for text behind the array, and where the stream ends before it does. */
  next(): boolean {
    while (this.at < this.part.length) {
      if (this.state === "element" ? this.scanElement() : this.between()) return true;
    }
    if (this.state === "element") this.keep(this.part, this.elementAt, this.part.length);
    this.partOffset += this.part.length;
    this.part = NOTHING;
    this.at = 0;
    if (this.isEnded && this.state !== "behind") throw new BrokenObject("the JSON array does not end");
    this.elementAt = 0;
    return false;
  }

  /** What stands between elements; true where an element was refused at once. */
  private between(): boolean {
    const c = this.part[this.at] as number;
    if (c === 0x0a) this.lines++;
    if (isSpace(c)) {
      this.at++;
      return false;
    }
    if (this.state === "behind") throw new BrokenObject("there is more text behind the JSON array");
    if (!this.isStarted) {
      this.isStarted = true;
      this.at++;
      return false;
    }
    if (c === 0x5d) {
      this.state = "behind";
      this.at++;
      return false;
    }
    if (c === 0x2c && !this.isFirst) {
      // The comma before an element.
      this.isFirst = true;
      this.at++;
      return false;
    }
    this.state = "element";
    this.elementAt = this.at;
    this.line = this.lines;
    this.offset = this.partOffset + this.at;
    this.depth = 0;
    return false;
  }

  /** True when the element has ended. */
  private scanElement(): boolean {
    const { part } = this;
    let at = this.at;
    for (; at < part.length; at++) {
      const c = part[at] as number;
      if (c === 0x0a) this.lines++;
      if (this.inString) {
        if (this.isEscaped) this.isEscaped = false;
        else if (c === 0x5c) this.isEscaped = true;
        else if (c === 0x22) this.inString = false;
      } else if (c === 0x22) this.inString = true;
      else if (c === 0x7b || c === 0x5b) this.depth++;
      else if ((c === 0x2c || c === 0x5d) && this.depth === 0) {
        this.at = at;
        this.finish(at);
        return true;
      } else if (c === 0x7d || c === 0x5d) this.depth--;
    }
    this.at = at;
    return false;
  }

  private keep(part: Uint8Array, from: number, to: number): void {
    if (to <= from) return;
    this.keptBytes += to - from;
    if (this.keptBytes > MAX_ROW_BYTES) {
      if (!this.isTooLong) this.kept = [this.joined(part, from, to).slice(0, SHOWN_BYTES)];
      this.isTooLong = true;
    } else this.kept.push(part.slice(from, to));
  }

  private joined(part: Uint8Array, from: number, to: number): Uint8Array {
    if (this.kept.length === 0) return part.subarray(from, to);
    const pieces = [...this.kept, part.subarray(from, to)];
    const whole = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
    let at = 0;
    for (const piece of pieces) {
      whole.set(piece, at);
      at += piece.length;
    }
    return whole;
  }

  private finish(end: number): void {
    if (this.keptBytes + end - this.elementAt > MAX_ROW_BYTES) this.keep(this.part, this.elementAt, end);
    const bytes = this.isTooLong ? (this.kept[0] as Uint8Array) : this.joined(this.part, this.elementAt, end);
    this.value = null;
    this.problem = null;
    this.judge(bytes);
    this.kept = [];
    this.keptBytes = 0;
    this.isTooLong = false;
    this.isFirst = false;
    this.state = "before";
  }

  private judge(bytes: Uint8Array): void {
    try {
      this.text = strict.decode(bytes).trim();
    } catch {
      this.text = lenient.decode(bytes);
      this.problem = BROKEN_TEXT;
    }
    if (this.isTooLong) this.problem = TOO_LONG;
    if (this.problem !== null) return;
    try {
      this.value = parseJson(this.text);
    } catch (error) {
      this.problem = `is not well-formed JSON: ${(error as Error).message}`;
    }
  }

  after(): RowPlace {
    return { offset: this.partOffset + this.at, line: this.lines };
  }
}
