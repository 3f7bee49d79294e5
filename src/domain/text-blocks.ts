/**
 * Cuts a stream of bytes into blocks of whole lines and decodes them. A block that is not sound UTF-8 is handed out line by
 * line, so that one broken line spoils no other. Memory holds one unfinished line and the part at hand: a line beyond
 * `maxLine` bytes is passed over, with its first bytes kept to show.
 */
export interface TextBlock {
  /** Whole lines with their newlines; only the last line of the stream may lack its own. */
  text: string;
  /** Of its first byte, in the stream. */
  offset: number;
  /** Of the first byte behind it. */
  end: number;
  /** The line is not sound UTF-8: what could not be read stands as U+FFFD. Only a block of one line can be. */
  isBroken: boolean;
  /** The line was passed over: `text` is only how it begins. */
  isTooLong: boolean;
}

const NEWLINE = 0x0a;
/** Of a line that is passed over, so much is kept to show. */
const SHOWN_BYTES = 4096;

const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const lenient = new TextDecoder("utf-8", { fatal: false, ignoreBOM: true });

export class TextBlocks {
  private readonly maxLine: number;
  /** Where in the stream the next byte that is not handed out yet stands. */
  private offset: number;
  private pending: Uint8Array[] = [];
  private pendingBytes = 0;
  /** Blocks that wait to be taken. */
  private ready: TextBlock[] = [];
  /** How the line begins that is being passed over. */
  private skipped: Uint8Array | null = null;
  private skippedBytes = 0;

  /** @param offset of the stream's first byte: not 0 where a stream is taken up in the middle. */
  constructor(maxLine: number, offset = 0) {
    this.maxLine = maxLine;
    this.offset = offset;
  }

  take(): TextBlock | null {
    return this.ready.shift() ?? null;
  }

  /** Nothing waits to be taken. */
  get isEmpty(): boolean {
    return this.ready.length === 0;
  }

  /** The part may be written over afterwards: what is kept of it is copied. */
  feed(part: Uint8Array): void {
    let from = 0;
    if (this.skipped !== null) {
      const newline = part.indexOf(NEWLINE);
      this.skippedBytes += newline === -1 ? part.length : newline + 1;
      if (newline === -1) return;
      this.endSkipped();
      from = newline + 1;
    }
    const last = part.lastIndexOf(NEWLINE);
    if (last < from) {
      this.keep(part.subarray(from));
      return;
    }
    this.release(this.joined(part.subarray(from, last + 1)));
    this.keep(part.subarray(last + 1));
  }

  /** The stream is over: what is left is its last line. */
  end(): void {
    if (this.skipped !== null) this.endSkipped();
    else if (this.pendingBytes > 0) this.release(this.joined(new Uint8Array(0)));
  }

  private keep(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.pending.push(bytes.slice());
    this.pendingBytes += bytes.length;
    if (this.pendingBytes <= this.maxLine) return;
    const whole = this.joined(new Uint8Array(0));
    this.skipped = whole.slice(0, SHOWN_BYTES);
    this.skippedBytes = whole.length;
  }

  private joined(last: Uint8Array): Uint8Array {
    if (this.pendingBytes === 0) return last;
    const whole = new Uint8Array(this.pendingBytes + last.length);
    let at = 0;
    for (const bytes of [...this.pending, last]) {
      whole.set(bytes, at);
      at += bytes.length;
    }
    this.pending = [];
    this.pendingBytes = 0;
    return whole;
  }

  private endSkipped(): void {
    const shown = lenient.decode(this.skipped ?? new Uint8Array(0));
    const end = this.offset + this.skippedBytes;
    this.ready.push({ text: shown, offset: this.offset, end, isBroken: false, isTooLong: true });
    this.offset = end;
    this.skipped = null;
    this.skippedBytes = 0;
  }

  private release(bytes: Uint8Array): void {
    const text = decoded(bytes);
    if (text !== null) {
      this.push(text, bytes.length, false);
      return;
    }
    for (let from = 0; from < bytes.length; ) {
      const newline = bytes.indexOf(NEWLINE, from);
      const to = newline === -1 ? bytes.length : newline + 1;
      const line = bytes.subarray(from, to);
      const sound = decoded(line);
      this.push(sound ?? lenient.decode(line), line.length, sound === null);
      from = to;
    }
  }

  private push(text: string, bytes: number, isBroken: boolean): void {
    this.ready.push({ text, offset: this.offset, end: this.offset + bytes, isBroken, isTooLong: false });
    this.offset += bytes;
  }
}

/** Null where the bytes are not sound UTF-8. */
function decoded(bytes: Uint8Array): string | null {
  try {
    return strict.decode(bytes);
  } catch {
    return null;
  }
}

/** Bytes that a text has in UTF-8. */
export function utf8Length(text: string, from = 0, to = text.length): number {
  let bytes = to - from;
  for (let i = from; i < to; i++) {
    const unit = text.charCodeAt(i);
    if (unit < 0x80) continue;
    // Each half of a surrogate pair counts for two of its four bytes.
    bytes += unit < 0x800 || (unit >= 0xd800 && unit <= 0xdfff) ? 1 : 2;
  }
  return bytes;
}
