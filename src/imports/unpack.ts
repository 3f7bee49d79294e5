import { constants, createGunzip, createZstdDecompress } from "node:zlib";
import { BrokenObject } from "../domain/row-reader.ts";
import { ZstdFrames } from "../domain/zstd-frames.ts";

/** The next part of a stream of bytes; null at its end. */
export type ByteReader = () => Promise<Uint8Array | null>;

/** What is unpacked may be this many times what was read, once it is more than `FREE_BYTES`. */
const MAX_RATIO = 250;
const FREE_BYTES = 64 * 1024 * 1024;
/** However well it is packed, an object has no more bytes than this. */
const MAX_BYTES = 2 ** 40;
const PART_BYTES = 256 * 1024;
/** A zstd frame may ask for more memory than this Worker has. */
const MAX_WINDOW_LOG = 25;

export type Packing = "none" | "gzip" | "zstd";

/** Told by the first bytes, whatever a name says. Four are enough. */
export function packingOf(bytes: Uint8Array): Packing {
  const [a, b, c, d] = bytes;
  if (a === 0x1f && b === 0x8b) return "gzip";
  if (a === 0x28 && b === 0xb5 && c === 0x2f && d === 0xfd) return "zstd";
  const isSkippable = a !== undefined && a >= 0x50 && a <= 0x5f && b === 0x2a && c === 0x4d && d === 0x18;
  return isSkippable ? "zstd" : "none";
}

/**
 * Unpacks part by part, no faster than it is read: memory stays flat however well the stream is packed. Gzip of several
 * members is one stream, as are several frames of zstd.
 *
 * @throws BrokenObject while reading: where the stream is cut or damaged, and for a bomb.
 */
export function unpack(read: ByteReader, packing: "gzip" | "zstd"): { read: ByteReader; close: () => void } {
  let sent = 0;
  let produced = 0;
  const packed: ByteReader = async () => {
    const part = await read();
    sent += part?.byteLength ?? 0;
    return part;
  };
  const unpacked = packing === "gzip" ? new Unpacking(packed, gunzip(), "gzip") : new UnpackedFrames(packed);
  return {
    read: async () => {
      const part = await unpacked.read();
      produced += part?.byteLength ?? 0;
      if (produced <= FREE_BYTES || (produced <= MAX_BYTES && produced <= MAX_RATIO * sent)) return part;
      unpacked.close();
      throw new BrokenObject(
        `unpacks to more than ${produced > MAX_BYTES ? MAX_BYTES : `${MAX_RATIO} times its size`}`,
      );
    },
    close: () => unpacked.close(),
  };
}

const gunzip = () => createGunzip({ chunkSize: PART_BYTES });
const unzstd = () =>
  createZstdDecompress({ chunkSize: PART_BYTES, params: { [constants.ZSTD_d_windowLogMax]: MAX_WINDOW_LOG } });
type Unpacker = ReturnType<typeof gunzip> | ReturnType<typeof unzstd>;

/** One stream through one unpacker of `node:zlib`. */
class Unpacking {
  private readonly source: ByteReader;
  private readonly unpacker: Unpacker;
  private readonly packing: string;
  private failure: unknown = null;
  private parts: AsyncIterator<Uint8Array> | null = null;

  constructor(source: ByteReader, unpacker: Unpacker, packing: string) {
    this.source = source;
    this.unpacker = unpacker;
    this.packing = packing;
  }

  async read(): Promise<Uint8Array | null> {
    this.parts ??= this.begin();
    let next: IteratorResult<Uint8Array>;
    try {
      next = await this.parts.next();
    } catch (error) {
      throw this.failure ?? new BrokenObject(`is not sound ${this.packing}: ${(error as Error).message}`);
    }
    if (this.failure !== null) throw this.failure;
    return next.done ? null : next.value;
  }

  close(): void {
    this.unpacker.destroy();
  }

  private begin(): AsyncIterator<Uint8Array> {
    this.feed().catch((error: unknown) => {
      this.failure = error;
      this.unpacker.destroy();
    });
    return this.unpacker[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>;
  }

  /** Writes no faster than is read. */
  private async feed(): Promise<void> {
    const { unpacker } = this;
    let resume = (): void => undefined;
    unpacker.on("drain", () => resume());
    unpacker.on("close", () => resume());
    for (let part = await this.source(); part !== null; part = await this.source()) {
      if (unpacker.destroyed) return;
      if (unpacker.write(part)) continue;
      await new Promise<void>((resolve) => {
        resume = resolve;
      });
    }
    unpacker.end();
  }
}

/** A stream of zstd frames, each through an unpacker of its own: one that has come to its frame's end drops what follows. */
class UnpackedFrames {
  private readonly source: ByteReader;
  private readonly frames = new ZstdFrames();
  private rest: Uint8Array = new Uint8Array(0);
  private current: Unpacking | null = null;
  private isFrameOver = false;

  constructor(source: ByteReader) {
    this.source = source;
  }

  async read(): Promise<Uint8Array | null> {
    for (;;) {
      if (this.current === null) {
        if (!(await this.hasMore())) return null;
        this.isFrameOver = false;
        this.current = new Unpacking(() => this.partOfFrame(), unzstd(), "zstd");
      }
      const part = await this.current.read();
      if (part !== null) return part;
      this.current = null;
    }
  }

  close(): void {
    this.current?.close();
  }

  private async hasMore(): Promise<boolean> {
    while (this.rest.length === 0) {
      const part = await this.source();
      if (part === null) return false;
      this.rest = part;
    }
    return true;
  }

  private async partOfFrame(): Promise<Uint8Array | null> {
    if (this.isFrameOver || !(await this.hasMore())) return null;
    const part = this.rest;
    let end: number;
    try {
      end = this.frames.end(part, 0);
    } catch (error) {
      throw new BrokenObject(`is not sound zstd: ${(error as Error).message}`);
    }
    this.isFrameOver = end !== -1;
    this.rest = end === -1 ? new Uint8Array(0) : part.subarray(end);
    return end === -1 ? part : part.subarray(0, end);
  }
}
