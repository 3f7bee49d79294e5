import { createGunzip } from "node:zlib";
import { ApiError } from "../domain/error.ts";
import type { PartReader } from "../operations/item-source.ts";

/**
 * Bodies as bytes, for the routes that cut items out of them: part by part, `Content-Encoding: gzip` undone, with limits
 * that hold after unpacking. Memory stays flat however large or however packed a body is.
 */

export interface RawBody {
  read: PartReader;
  /** A body that breaks off cannot be taken for a shorter one: it says its length, or its packing ends it. */
  knowsItsEnd: boolean;
}

/** What is unpacked may be this many times what was sent, once it is more than `FREE_BYTES`. */
const MAX_RATIO = 200;
const FREE_BYTES = 64 * 1024 * 1024;
const PART_BYTES = 64 * 1024;

/**
 * @throws ApiError `unsupported_media_type` for an encoding that is not known. Reading throws `bad_request` for a body that
 *   breaks off or is not what its encoding says, `payload_too_large` for a bomb.
 */
export function bodyOf(request: Request): RawBody {
  const encoding = (request.headers.get("Content-Encoding") ?? "identity").trim().toLowerCase();
  if (!["identity", "gzip", "x-gzip"].includes(encoding)) {
    throw new ApiError("unsupported_media_type", "Content-Encoding: only gzip is understood");
  }
  const length = request.headers.get("Content-Length");
  const plain = sentParts(request.body, length === null ? null : Number(length));
  return encoding === "identity"
    ? { read: plain, knowsItsEnd: length !== null }
    : { read: unpacked(plain), knowsItsEnd: true };
}

/** The client is gone, so hardly anybody reads this. */
const brokenOff = (why: string): ApiError => new ApiError("bad_request", `the body broke off: ${why}`);

function sentParts(body: ReadableStream<Uint8Array> | null, length: number | null): PartReader {
  const reader = body?.getReader();
  let received = 0;
  return async () => {
    if (!reader) return null;
    const { done, value } = await reader.read().catch((error: Error) => {
      throw brokenOff(error.message);
    });
    if (!done) {
      received += value.byteLength;
      return value;
    }
    // A proxy on the way may make a clean end of a lost connection.
    if (length !== null && received < length) throw brokenOff(`${received} of ${length} bytes have come`);
    return null;
  };
}

/**
 * `node:zlib` and not `DecompressionStream`: that one unpacks all of a part before anybody has read of it, and a part of
 * 64 KiB can unpack to 64 MiB.
 */
function unpacked(read: PartReader): PartReader {
  let sent = 0;
  let produced = 0;
  async function* source(): AsyncGenerator<Uint8Array> {
    for (let part = await read(); part !== null; part = await read()) {
      sent += part.byteLength;
      yield part;
    }
  }
  const parts = gunzip(source());
  return async () => {
    const { done, value } = await parts.next();
    if (done) return null;
    produced += value.byteLength;
    if (produced > FREE_BYTES && produced > MAX_RATIO * sent) {
      await parts.return(undefined);
      throw new ApiError("payload_too_large", `the body unpacks to more than ${MAX_RATIO} times its size`);
    }
    return value;
  };
}

async function* gunzip(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const unzip = createGunzip({ chunkSize: PART_BYTES });
  let failure: unknown = null;
  const feeding = feed(source, unzip).catch((error: unknown) => {
    failure = error;
    unzip.destroy();
  });
  try {
    // A copy: the unpacker may write over what it hands out, and views of it live on.
    for await (const part of unzip) yield new Uint8Array(part as Uint8Array);
  } catch (error) {
    if (failure instanceof ApiError) throw failure;
    throw new ApiError("bad_request", `the body is not sound gzip: ${(error as Error).message}`);
  } finally {
    unzip.destroy();
  }
  await feeding;
  if (failure !== null) throw failure;
}

/** Writes no faster than is read. */
async function feed(source: AsyncIterable<Uint8Array>, unzip: ReturnType<typeof createGunzip>): Promise<void> {
  let resume = (): void => undefined;
  unzip.on("drain", () => resume());
  unzip.on("close", () => resume());
  for await (const part of source) {
    if (unzip.destroyed) return;
    if (unzip.write(part)) continue;
    await new Promise<void>((resolve) => {
      resume = resolve;
    });
  }
  unzip.end();
}

/**
 * A whole body in one buffer.
 *
 * @throws ApiError `payload_too_large` beyond `maxBytes`; whatever reading throws.
 */
export async function readWhole(read: PartReader, maxBytes: number): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let size = 0;
  for (let part = await read(); part !== null; part = await read()) {
    size += part.byteLength;
    if (size > maxBytes) throw new ApiError("payload_too_large", `the body is larger than ${maxBytes} bytes`);
    parts.push(part);
  }
  const [only] = parts;
  if (only && parts.length === 1) return only;
  const whole = new Uint8Array(size);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.byteLength;
  }
  return whole;
}
