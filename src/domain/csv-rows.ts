import { type CsvFormat, type CsvRow, splitQuotedRow } from "./csv-format.ts";
import {
  BROKEN_TEXT,
  isTooLong,
  LONGEST_LINE,
  MAX_ROW_BYTES,
  type RowPlace,
  type RowReader,
  TOO_LONG,
} from "./row-reader.ts";
import { type TextBlock, TextBlocks, utf8Length } from "./text-blocks.ts";

/** What must be known to take a CSV file up in the middle. */
export interface CsvHead {
  /** Rows of the head that have been passed. */
  passed: number;
  /** The last row of the head. */
  names: string[] | null;
  /** Fields that every row must have; null before the first. */
  width: number | null;
}

export const NO_HEAD: CsvHead = { passed: 0, names: null, width: null };

const ENDLESS = "has a quoted field that does not end";

/** A run of text that came in one block. */
interface Segment {
  index: number;
  offset: number;
  isBroken: boolean;
  /** A byte a character. */
  isNarrow: boolean;
}

/**
 * Rows of RFC 4180, with quoted newlines. Empty lines are passed over. Every row must be as wide as the head, or as the first
 * row where there is none. A quote that is never closed costs its own line only: reading goes on at the next one.
 */
export class CsvRows implements RowReader {
  fields: string[] = [];
  text = "";
  problem: string | null = null;
  line: number;
  readonly head: CsvHead;

  private readonly format: CsvFormat;
  private readonly minWidth: number;
  private readonly blocks: TextBlocks;
  private isEnded = false;
  /** Text that has come and is not read, from `at`. */
  private all = "";
  private at = 0;
  private rowAt = 0;
  /** A place in the text whose byte is known. */
  private known = { index: 0, offset: 0 };
  private refusedAt = -1;
  private nextLine: number;
  private segments: Segment[] = [];
  /** Of the byte behind the text. */
  private endOffset: number;
  /** The first quote in the text from `at`; -1 for none. */
  private quoteAt = -1;
  /** A row that was not whole is looked at again when there is twice as much of it. */
  private wanted = 0;
  /** A line too long to be kept, which comes behind the text. */
  private monster: TextBlock | null = null;

  /** @param minWidth fields that the columns need, at least. */
  constructor(format: CsvFormat, minWidth: number, from: RowPlace, head: CsvHead = NO_HEAD) {
    this.format = format;
    this.minWidth = minWidth;
    this.blocks = new TextBlocks(LONGEST_LINE, from.offset);
    this.endOffset = from.offset;
    this.line = from.line;
    this.nextLine = from.line;
    this.head = { ...head };
  }

  get value(): string[] | null {
    return this.problem === null ? this.fields : null;
  }

  feed(part: Uint8Array): void {
    this.blocks.feed(part);
  }

  end(): void {
    this.blocks.end();
    this.isEnded = true;
  }

  next(): boolean {
    for (;;) {
      const size = this.all.length - this.at;
      const row = size > 0 && size >= this.wanted ? this.cut() : null;
      if (row !== null) {
        if (this.take(row)) return true;
        continue;
      }
      if (this.monster !== null) {
        this.refuse(this.monster);
        return true;
      }
      if (!this.more()) return false;
    }
  }

  /** Brings the next block in. False where there is none and all has been read. */
  private more(): boolean {
    const block = this.blocks.take();
    if (block === null) {
      // What is left at the end is looked at once more, however little it has grown.
      const isWaiting = this.isEnded && this.wanted > 0 && this.at < this.all.length;
      this.wanted = 0;
      return isWaiting;
    }
    if (block.isTooLong) {
      this.monster = block;
      this.wanted = 0;
      return true;
    }
    this.forgetRead();
    const { offset, isBroken } = block;
    this.known = { index: this.all.length, offset };
    const isNarrow = block.end - offset === block.text.length;
    this.segments.push({ index: this.all.length, offset, isBroken, isNarrow });
    this.all += block.text;
    this.endOffset = block.end;
    if (this.quoteAt === -1) this.findQuote();
    return true;
  }

  private forgetRead(): void {
    const { at } = this;
    if (at === 0) return;
    const first = at < this.all.length ? this.segmentAt(at) : null;
    const offset = this.offsetOf(at);
    this.known = { index: 0, offset };
    this.segments = [
      ...(first === null ? [] : [{ ...first, index: 0, offset }]),
      ...this.segments.filter((s) => s.index > at).map((s) => ({ ...s, index: s.index - at })),
    ];
    this.all = this.all.slice(at);
    this.quoteAt = this.quoteAt < at ? -1 : this.quoteAt - at;
    this.at = 0;
  }

  private findQuote(): void {
    this.quoteAt = this.format.quote === "" ? -1 : this.all.indexOf(this.format.quote, this.at);
  }

  private get isLast(): boolean {
    return this.isEnded && this.blocks.isEmpty && this.monster === null;
  }

  /** The row at `at`; null where it is not whole yet. */
  private cut(): CsvRow | null {
    const { all, at, format } = this;
    if (this.quoteAt !== -1 && this.quoteAt < at) this.findQuote();
    const newline = all.indexOf("\n", at);
    const end = newline === -1 ? all.length : newline + 1;
    const isComment = format.skip_comments && all.startsWith(format.comment, at);
    if (isComment || this.quoteAt === -1 || this.quoteAt >= end) {
      const text = isComment ? "" : withoutNewline(all, at, end);
      return { fields: text === "" ? [] : text.split(format.delimiter), end, problem: null };
    }
    const row = splitQuotedRow(all, at, format, this.isLast);
    if (row !== null) return isTooLong(all, at, row.end) ? this.firstLine() : row;
    const size = all.length - at;
    if (this.isLast || size > MAX_ROW_BYTES || this.monster !== null) return this.firstLine();
    this.wanted = 2 * size;
    return null;
  }

  /** Of a row that has no end the first line is refused. */
  private firstLine(): CsvRow {
    const newline = this.all.indexOf("\n", this.at);
    const end = newline === -1 ? this.all.length : newline + 1;
    return { fields: [withoutNewline(this.all, this.at, end)], end, problem: ENDLESS };
  }

  /** False for what is no row: an empty line, a comment, the head. */
  private take(row: CsvRow): boolean {
    const { at } = this;
    this.wanted = 0;
    this.rowAt = at;
    this.refusedAt = -1;
    this.line = this.nextLine;
    this.nextLine += newlines(this.all, at, row.end);
    this.at = row.end;
    if (row.fields.length === 0) return false;
    this.fields = row.fields;
    this.text = withoutNewline(this.all, at, row.end);
    this.problem = this.isBroken(at, row.end) ? BROKEN_TEXT : row.problem;
    if (isTooLong(this.text, 0, this.text.length)) this.problem = TOO_LONG;
    if (this.head.passed < this.format.skip_head) {
      this.head.passed++;
      this.head.names = row.fields;
      this.head.width = Math.max(row.fields.length, this.minWidth);
      return false;
    }
    this.head.width ??= Math.max(row.fields.length, this.minWidth);
    if (this.problem === null && row.fields.length !== this.head.width) {
      this.problem = `has ${row.fields.length} fields where ${this.head.width} are expected`;
    }
    return true;
  }

  /** A line that nobody has kept. */
  private refuse(monster: TextBlock): void {
    this.refusedAt = monster.offset;
    this.line = this.nextLine++;
    this.text = monster.text;
    this.problem = TOO_LONG;
    this.all = "";
    this.at = 0;
    this.segments = [];
    this.quoteAt = -1;
    this.endOffset = monster.end;
    this.monster = null;
  }

  private isBroken(from: number, to: number): boolean {
    return this.segments.some(
      (s, i) => s.isBroken && s.index < to && (this.segments[i + 1]?.index ?? this.all.length) > from,
    );
  }

  get offset(): number {
    return this.refusedAt === -1 ? this.offsetOf(this.rowAt) : this.refusedAt;
  }

  after(): RowPlace {
    return { offset: this.offsetOf(this.at), line: this.nextLine };
  }

  private segmentAt(index: number): Segment | null {
    return this.segments.findLast((s) => s.index <= index) ?? null;
  }

  private offsetOf(index: number): number {
    const segment = index >= this.all.length ? null : this.segmentAt(index);
    if (segment === null) return this.endOffset;
    if (segment.isNarrow) return segment.offset + index - segment.index;
    const from = this.known.index >= segment.index && this.known.index <= index ? this.known : segment;
    this.known = { index, offset: from.offset + utf8Length(this.all, from.index, index) };
    return this.known.offset;
  }
}

function withoutNewline(text: string, from: number, to: number): string {
  let end = to;
  if (end > from && text.charCodeAt(end - 1) === 0x0a) end--;
  if (end > from && text.charCodeAt(end - 1) === 0x0d) end--;
  return text.slice(from, end);
}

function newlines(text: string, from: number, to: number): number {
  let count = 0;
  for (let at = text.indexOf("\n", from); at !== -1 && at < to; at = text.indexOf("\n", at + 1)) count++;
  return count;
}
