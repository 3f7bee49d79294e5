import { ApiError } from "../domain/error.ts";
import { MAX_ITEM_BYTES } from "../domain/item.ts";
import { isCutOff, type Spans } from "../domain/json-cut.ts";
import { LineCutter } from "../domain/ndjson.ts";

/** Where a bulk's items come from: take those at hand while `next` says so, then ask for `more` until there is none. */
export interface ItemSource {
  /** The item is `bytes[from, to)`: a view that stays valid. */
  readonly bytes: Uint8Array;
  readonly from: number;
  readonly to: number;
  /** It was skipped for its length: there are no bytes of it. */
  readonly tooLong: boolean;
  /** Bytes of the body that it takes with it, what stands between items included. */
  readonly cost: number;
  next(): boolean;
  more(): Promise<boolean>;
}

/** A body part by part; null at its end. */
export type PartReader = () => Promise<Uint8Array | null>;

/** One item a line. Memory holds one unfinished line and the part at hand. */
export class LineSource implements ItemSource {
  private readonly cutter = new LineCutter(MAX_ITEM_BYTES);
  private readonly read: PartReader;
  private readonly knowsItsEnd: boolean;
  private ended = false;

  /** @param knowsItsEnd false where a connection that is lost may look like the end of the body. */
  constructor(read: PartReader, knowsItsEnd: boolean) {
    this.read = read;
    this.knowsItsEnd = knowsItsEnd;
  }

  get bytes(): Uint8Array {
    return this.cutter.bytes;
  }
  get from(): number {
    return this.cutter.from;
  }
  get to(): number {
    return this.cutter.to;
  }
  get tooLong(): boolean {
    return this.cutter.tooLong;
  }
  get cost(): number {
    return this.cutter.cost;
  }

  /** @throws ApiError `bad_request` where the body broke off in the middle of a line. */
  next(): boolean {
    if (this.cutter.next()) return true;
    if (!this.ended || !this.cutter.end()) return false;
    if (!this.knowsItsEnd && (this.tooLong || isCutOff(this.bytes, this.from, this.to))) {
      throw new ApiError("bad_request", "the body broke off in the middle of a line");
    }
    return true;
  }

  async more(): Promise<boolean> {
    if (this.ended) return false;
    const part = await this.read();
    if (part === null) this.ended = true;
    else this.cutter.feed(part);
    return true;
  }
}

/** The elements of an array in a body that is at hand. */
export class ArraySource implements ItemSource {
  readonly bytes: Uint8Array;
  readonly tooLong = false;
  from = 0;
  to = 0;
  private readonly spans: Spans;
  private at = 0;

  constructor(bytes: Uint8Array, spans: Spans) {
    this.bytes = bytes;
    this.spans = spans;
  }

  get cost(): number {
    return this.to - this.from;
  }

  next(): boolean {
    const { bounds } = this.spans;
    if (2 * this.at >= bounds.length || this.at >= this.spans.count) return false;
    this.from = bounds[2 * this.at] as number;
    this.to = bounds[2 * this.at + 1] as number;
    this.at++;
    return true;
  }

  async more(): Promise<boolean> {
    return false;
  }
}
