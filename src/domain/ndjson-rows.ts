import {
  BROKEN_TEXT,
  isTooLong,
  LONGEST_LINE,
  parseJson,
  type RowPlace,
  type RowReader,
  TOO_LONG,
} from "./row-reader.ts";
import { type TextBlock, TextBlocks, utf8Length } from "./text-blocks.ts";

const EMPTY: TextBlock = { text: "", offset: 0, end: 0, isBroken: false, isTooLong: false };
const BLANK = /^\s*$/;

/** One JSON value a line. Blank lines are passed over. */
export class NdjsonRows implements RowReader {
  value: unknown = null;
  text = "";
  problem: string | null = null;
  line: number;
  private readonly blocks: TextBlocks;
  private block: TextBlock = EMPTY;
  private at = 0;
  private rowAt = 0;
  /** Lines up to here in the block have been measured: a text index and the byte that stands there. */
  private known = { index: 0, offset: 0 };

  constructor(from: RowPlace) {
    this.blocks = new TextBlocks(LONGEST_LINE, from.offset);
    this.block = { ...EMPTY, offset: from.offset, end: from.offset };
    this.known = { index: 0, offset: from.offset };
    this.line = from.line - 1;
  }

  feed(part: Uint8Array): void {
    this.blocks.feed(part);
  }

  end(): void {
    this.blocks.end();
  }

  next(): boolean {
    for (;;) {
      const { text } = this.block;
      if (this.at >= text.length) {
        const block = this.blocks.take();
        if (block === null) return false;
        this.block = block;
        this.at = 0;
        this.known = { index: 0, offset: block.offset };
        continue;
      }
      const newline = text.indexOf("\n", this.at);
      const end = newline === -1 ? text.length : newline;
      this.rowAt = this.at;
      this.at = newline === -1 ? end : end + 1;
      this.line++;
      if (this.read(text, end)) return true;
    }
  }

  /** False for a blank line. */
  private read(text: string, end: number): boolean {
    const { isBroken } = this.block;
    this.text = text.slice(this.rowAt, end);
    if (this.block.isTooLong) this.at = text.length;
    else if (text.charCodeAt(this.rowAt) <= 0x20 && BLANK.test(this.text)) return false;
    else if (end === this.rowAt) return false;
    this.value = null;
    const isLong = this.block.isTooLong || isTooLong(text, this.rowAt, end);
    this.problem = isLong ? TOO_LONG : isBroken ? BROKEN_TEXT : null;
    if (this.problem !== null) return true;
    try {
      this.value = parseJson(this.text);
    } catch (error) {
      this.problem = `is not well-formed JSON: ${(error as Error).message}`;
    }
    return true;
  }

  get offset(): number {
    return this.offsetOf(this.rowAt);
  }

  after(): RowPlace {
    return { offset: this.offsetOf(this.at), line: this.line + 1 };
  }

  private offsetOf(index: number): number {
    const { text, offset, end } = this.block;
    if (index >= text.length) return end;
    if (end - offset === text.length) return offset + index;
    const { known } = this;
    const bytes = index >= known.index ? utf8Length(text, known.index, index) : -utf8Length(text, index, known.index);
    this.known = { index, offset: known.offset + bytes };
    return this.known.offset;
  }
}
