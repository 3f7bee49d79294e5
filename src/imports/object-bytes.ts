import { type ObjectSource, SourceError } from "./source.ts";
import { withinSilence } from "./store-answer.ts";
import type { ByteReader } from "./unpack.ts";

/** A connection that broke off is taken up again so often without a byte in between. */
const TRIES = 5;
/** …and no more once so long has passed without one: other objects wait. */
const PATIENCE_MS = 45_000;

/**
 * The bytes of one object, as it was listed. A connection that breaks off is taken up where it was, with `If-Match`: what is
 * read is one state of the object, or a `SourceError`.
 */
export class ObjectBytes {
  /** Bytes of the object that have been handed out, or passed by starting behind them. */
  at: number;
  private readonly source: ObjectSource;
  private readonly object: { key: string; etag: string; size: number };
  private reader: ReadableStreamDefaultReader<Uint8Array> | null = null;

  constructor(source: ObjectSource, object: { key: string; etag: string; size: number }, from: number) {
    this.source = source;
    this.object = object;
    this.at = from;
  }

  readonly read: ByteReader = async () => {
    const began = Date.now();
    for (let failures = 0; this.at < this.object.size; ) {
      try {
        this.reader ??= (await this.source.open(this.object.key, this.object.etag, this.at)).getReader();
        const { done, value } = await withinSilence(this.reader.read());
        if (!done) {
          this.at += value.byteLength;
          return value;
        }
        throw new Error(`the connection ended at byte ${this.at} of ${this.object.size}`);
      } catch (error) {
        this.reader = null;
        if (error instanceof SourceError && !error.isPassing) throw error;
        failures++;
        if (failures < TRIES && Date.now() - began < PATIENCE_MS) continue;
        throw error instanceof SourceError ? error : new SourceError("BrokenOff", (error as Error).message, true);
      }
    }
    return null;
  };

  close(): void {
    this.reader?.cancel().catch(() => undefined);
    this.reader = null;
  }
}
