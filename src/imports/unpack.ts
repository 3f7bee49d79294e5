import { constants, createGunzip, createZstdDecompress } from "node:zlib";
import { BrokenObject } from "../domain/row-reader.ts";

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
  let failure: unknown = null;
  const unpacker =
    packing === "gzip"
      ? createGunzip({ chunkSize: PART_BYTES })
      : createZstdDecompress({
          chunkSize: PART_BYTES,
          params: { [constants.ZSTD_d_windowLogMax]: MAX_WINDOW_LOG },
        });

  /** Writes no faster than is read. */
  const feed = async (): Promise<void> => {
    let resume = (): void => undefined;
    unpacker.on("drain", () => resume());
    unpacker.on("close", () => resume());
    for (let part = await read(); part !== null; part = await read()) {
      sent += part.byteLength;
      if (unpacker.destroyed) return;
      if (unpacker.write(part)) continue;
      await new Promise<void>((resolve) => {
        resume = resolve;
      });
    }
    unpacker.end();
  };

  let parts: AsyncIterator<Uint8Array> | null = null;
  const begin = (): AsyncIterator<Uint8Array> => {
    feed().catch((error: unknown) => {
      failure = error;
      unpacker.destroy();
    });
    return unpacker[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>;
  };

  return {
    read: async () => {
      parts ??= begin();
      let next: IteratorResult<Uint8Array>;
      try {
        next = await parts.next();
      } catch (error) {
        throw failure ?? new BrokenObject(`is not sound ${packing}: ${(error as Error).message}`);
      }
      if (failure !== null) throw failure;
      if (next.done) return null;
      produced += next.value.byteLength;
      if (produced > MAX_BYTES || (produced > FREE_BYTES && produced > MAX_RATIO * sent)) {
        unpacker.destroy();
        throw new BrokenObject(
          `unpacks to more than ${produced > MAX_BYTES ? MAX_BYTES : `${MAX_RATIO} times its size`}`,
        );
      }
      return next.value;
    },
    close: () => void unpacker.destroy(),
  };
}
