const NEWLINE = 0x0a;
const FIRST_ROOM = 4096;

const isBlank = (c: number | undefined): boolean => c === 0x20 || c === 0x09 || c === 0x0d;

/**
 * Cuts lines out of a stream of bytes: `feed` a part, take lines while `next` says so, at last ask `end`. It keeps at most
 * one unfinished line; one longer than `maxLine` is skipped to its newline without being kept. Blank lines are passed
 * over, white space at both ends (a CR too) and a byte order mark at the start of the stream are cut off.
 *
 * The line is `bytes[from, to)`, a view that stays valid: nothing is written over it.
 */
export class LineCutter {
  bytes: Uint8Array = new Uint8Array(0);
  from = 0;
  to = 0;
  /** The line was skipped: there are no bytes of it. */
  tooLong = false;
  /** Bytes of the stream from the end of the line before to the end of this one. */
  cost = 0;

  private readonly maxLine: number;
  private part: Uint8Array = new Uint8Array(0);
  private at = 0;
  private kept: Uint8Array = new Uint8Array(0);
  private keptLength = 0;
  private skipping = false;
  private atStart = true;
  private passed = 0;

  constructor(maxLine: number) {
    this.maxLine = maxLine;
  }

  /** Only after `next` has answered false. The part must not be changed afterwards. */
  feed(part: Uint8Array): void {
    this.part = part;
    this.at = 0;
  }

  next(): boolean {
    while (this.at < this.part.length) {
      this.passBlankLines();
      if (this.at >= this.part.length) return false;
      const newline = this.part.indexOf(NEWLINE, this.at);
      const end = newline === -1 ? this.part.length : newline;
      const start = this.at;
      this.at = newline === -1 ? end : end + 1;
      this.passed += this.at - start;
      if (newline === -1) {
        this.keep(start, end);
        return false;
      }
      if (this.finish(start, end)) return true;
    }
    return false;
  }

  /** Newlines in a row cost one step each, not a line each: there may be hundreds of millions. */
  private passBlankLines(): void {
    if (this.keptLength > 0 || this.skipping || this.part[this.at] !== NEWLINE) return;
    const { part } = this;
    let at = this.at;
    while (at < part.length && part[at] === NEWLINE) at++;
    this.passed += at - this.at;
    this.at = at;
    this.atStart = false;
  }

  /** The last line, where the stream did not end in a newline. */
  end(): boolean {
    return (this.keptLength > 0 || this.skipping) && this.finish(this.part.length, this.part.length);
  }

  private finish(start: number, end: number): boolean {
    this.tooLong = this.skipping || this.keptLength + end - start > this.maxLine;
    if (this.tooLong) {
      this.show(this.part, end, end);
    } else if (this.keptLength === 0) {
      this.show(this.part, start, end);
    } else {
      this.keep(start, end);
      this.show(this.kept, 0, this.keptLength);
    }
    if (this.keptLength > 0) this.kept = new Uint8Array(0);
    this.keptLength = 0;
    this.skipping = false;
    this.atStart = false;
    if (this.from === this.to && !this.tooLong) return false;
    this.cost = this.passed;
    this.passed = 0;
    return true;
  }

  private show(bytes: Uint8Array, from: number, to: number): void {
    let start = from;
    let end = to;
    if (this.atStart && bytes[start] === 0xef && bytes[start + 1] === 0xbb && bytes[start + 2] === 0xbf) start += 3;
    while (start < end && isBlank(bytes[start])) start++;
    while (start < end && isBlank(bytes[end - 1])) end--;
    this.bytes = bytes;
    this.from = start;
    this.to = end;
  }

  private keep(start: number, end: number): void {
    const length = this.keptLength + end - start;
    if (this.skipping || length > this.maxLine) {
      this.kept = new Uint8Array(0);
      this.keptLength = 0;
      this.skipping = true;
      return;
    }
    if (length > this.kept.length) {
      const wider = new Uint8Array(Math.max(FIRST_ROOM, length, Math.min(this.kept.length * 2, this.maxLine)));
      wider.set(this.kept.subarray(0, this.keptLength));
      this.kept = wider;
    }
    this.kept.set(this.part.subarray(start, end), this.keptLength);
    this.keptLength = length;
  }
}
