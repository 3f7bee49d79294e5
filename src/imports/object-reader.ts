import { setImmediate as nextTurn } from "node:timers/promises";
import { type ReadingState, rowsFrom, stateAfter, tellFormat, transformFor } from "../domain/object-rows.ts";
import { BrokenObject, type RowReader } from "../domain/row-reader.ts";
import { compileTransform, type RowTransform } from "../domain/row-transform.ts";
import type { TransformSpec } from "../domain/transform.ts";
import { ObjectBytes } from "./object-bytes.ts";
import type { ObjectSource } from "./source.ts";
import { type ByteReader, packingOf, unpack } from "./unpack.ts";

/** What of an object is read: all of it, or the rows that begin in a range of plain NDJSON. */
export interface ObjectPart {
  key: string;
  etag: string;
  size: number;
  range: { from: number; to: number } | null;
}

/** More than this of white space before the first row is none of the formats. */
const MAX_LEAD = 1024 * 1024;
const NEWLINE = 0x0a;
/** Unpacked bytes that are read in one go: whatever else goes on here has its turn in between, and cancels are heard. */
const BYTES_A_TURN = 512 * 1024;

/** Rows of one object: bytes, unpacked, cut and taken apart, as a stream. */
export class ObjectReader {
  readonly transform: RowTransform;
  rows: RowReader | null = null;
  private state: ReadingState | null;
  private readonly given: ReadingState | null;
  private readonly spec: TransformSpec | null;
  private readonly part: ObjectPart;
  private readonly bytes: ObjectBytes;
  private read: ByteReader | null = null;
  private closeUnpacker: () => void = () => undefined;
  private lead: Uint8Array = new Uint8Array(0);
  /** The range begins in the middle of a line, which belongs to the range before; so much of it has been passed. */
  private passLine = false;
  private passed = 0;
  /** Unpacked bytes to pass over before rows are read. */
  private toSkip = 0;
  private takenInTurn = 0;
  private isEnded = false;
  /** The row at hand belongs to the next range. */
  private isBeyond = false;
  private hasRow = false;
  private readonly isStart: boolean;

  /** @param state where reading was left; null from the start. */
  constructor(source: ObjectSource, part: ObjectPart, transform: TransformSpec | null, state: ReadingState | null) {
    this.part = part;
    this.spec = transformFor(transform, part.key);
    this.transform = compileTransform(this.spec);
    this.state = state;
    this.given = state;
    this.isStart = state === null;
    // A range begins behind the newline before its first row: its last byte may be that newline.
    this.bytes = new ObjectBytes(source, part, state === null ? Math.max(0, (part.range?.from ?? 0) - 1) : 0);
    if (part.range !== null && state !== null) this.bytes.at = state.place.offset;
  }

  /** Bytes of the stored object that have been read. */
  get bytesRead(): number {
    return Math.max(0, this.bytes.at - (this.part.range?.from ?? 0));
  }

  /** True when a row is at hand; false when more has to be awaited. */
  next(): boolean {
    if (this.isEnded && this.isBeyond) return false;
    if (this.rows === null || !this.rows.next()) return false;
    const { range } = this.part;
    if (range === null || this.rows.offset < range.to) {
      this.hasRow = true;
      return true;
    }
    this.isEnded = true;
    this.isBeyond = true;
    return false;
  }

  /**
   * Reads on. False at the end.
   *
   * @throws BrokenObject, SourceError.
   */
  async more(): Promise<boolean> {
    if (this.isEnded) return false;
    if (this.takenInTurn >= BYTES_A_TURN) {
      this.takenInTurn = 0;
      await nextTurn();
    }
    this.read ??= await this.begin();
    const part = await this.read();
    if (part === null) this.finish();
    else this.take(part);
    return true;
  }

  private async begin(): Promise<ByteReader> {
    const { range } = this.part;
    if (range !== null) {
      this.passLine = this.isStart && range.from > 0;
      if (!this.passLine) this.rows = rowsFrom(this.state ?? PLAIN_START, null, this.isStart);
      return this.bytes.read;
    }
    const first = await this.firstBytes();
    const packing = packingOf(first);
    if (this.state !== null) this.rows = rowsFrom(this.state, this.spec, false);
    if (packing === "none" && this.state !== null) {
      // A plain object is taken up by range.
      this.bytes.close();
      this.bytes.at = this.state.place.offset;
      return this.bytes.read;
    }
    const replay = replayed(first, this.bytes.read);
    if (packing === "none") return replay;
    if (this.state !== null) this.toSkip = this.state.place.offset;
    const unpacked = unpack(replay, packing);
    this.closeUnpacker = unpacked.close;
    return unpacked.read;
  }

  private async firstBytes(): Promise<Uint8Array> {
    let first: Uint8Array = new Uint8Array(0);
    while (first.length < 4) {
      const part = await this.bytes.read();
      if (part === null) break;
      first = joined(first, part);
    }
    return first;
  }

  private take(given: Uint8Array): void {
    let part = given;
    this.takenInTurn += part.length;
    if (this.passLine) {
      const newline = part.indexOf(NEWLINE);
      this.passed += newline === -1 ? part.length : newline + 1;
      if (newline === -1) return;
      this.passLine = false;
      const offset = Math.max(0, (this.part.range?.from ?? 0) - 1) + this.passed;
      this.rows = rowsFrom({ format: "ndjson", head: null, place: { offset, line: 1 } }, null, true);
      part = part.subarray(newline + 1);
    }
    if (this.toSkip > 0) {
      const skipped = Math.min(this.toSkip, part.length);
      this.toSkip -= skipped;
      part = part.subarray(skipped);
    }
    if (this.rows !== null) this.rows.feed(part);
    else this.tell(part, false);
  }

  private tell(part: Uint8Array, isAll: boolean): void {
    this.lead = joined(this.lead, part);
    const state = tellFormat(this.lead, isAll, this.spec);
    if (state === null) {
      if (this.lead.length > MAX_LEAD) throw new BrokenObject("begins with more white space than any row format does");
      return;
    }
    this.state = state;
    this.rows = rowsFrom(state, this.spec, true);
    this.rows.feed(this.lead.subarray(state.place.offset));
    this.lead = new Uint8Array(0);
  }

  private finish(): void {
    this.isEnded = true;
    if (this.toSkip > 0) throw new BrokenObject("is shorter than it was when reading began");
    if (this.rows === null && this.part.range === null) this.tell(new Uint8Array(0), true);
    this.rows?.end();
  }

  /** Where reading may be taken up behind the row at hand; null where nothing has been read. */
  placeAfter(): ReadingState | null {
    if (!this.hasRow || this.rows === null || this.format === null) return this.given;
    return stateAfter(this.format, this.rows);
  }

  /** Lines of a range. */
  get linesRead(): number {
    if (this.rows === null) return 0;
    return (this.isBeyond ? this.rows.line : this.rows.after().line) - 1;
  }

  /** Where reading may be taken up with the row at hand as the next one. */
  placeBefore(): ReadingState | null {
    const after = this.placeAfter();
    if (!this.hasRow || after === null || this.rows === null) return this.given;
    return { ...after, place: { offset: this.rows.offset, line: this.rows.line } };
  }

  private get format(): ReadingState["format"] | null {
    return this.part.range === null ? (this.state?.format ?? null) : "ndjson";
  }

  get head(): ReadingState["head"] {
    const { rows } = this;
    return rows !== null && "head" in rows ? (rows.head as ReadingState["head"]) : null;
  }

  close(): void {
    this.closeUnpacker();
    this.bytes.close();
  }
}

const PLAIN_START: ReadingState = { format: "ndjson", head: null, place: { offset: 0, line: 1 } };

function joined(a: Uint8Array, b: Uint8Array): Uint8Array {
  if (a.length === 0) return b.slice();
  const whole = new Uint8Array(a.length + b.length);
  whole.set(a);
  whole.set(b, a.length);
  return whole;
}

/** A stream whose first bytes have been looked at. */
function replayed(first: Uint8Array, read: ByteReader): ByteReader {
  let isGiven = false;
  return async () => {
    if (isGiven || first.length === 0) return read();
    isGiven = true;
    return first;
  };
}
