import { createMiddleware } from "hono/factory";
import { ApiError } from "../domain/error.ts";
import type { AppEnv } from "./context.ts";

/** The body of a control request, in bytes. */
const MAX_CONTROL_BODY = 1024 * 1024;

/**
 * Reads the body, at most `maxBytes` of it, as strict UTF-8, for the validators behind. A length that the client states is
 * not believed.
 */
export const readBodyText = (maxBytes: number = MAX_CONTROL_BODY) =>
  createMiddleware<AppEnv>(async (c, next) => {
    const stream = c.req.raw.body;
    const encoding = c.req.header("content-encoding") ?? "identity";
    if (stream && encoding.toLowerCase() !== "identity") {
      throw new ApiError("unsupported_media_type", `Content-Encoding ${encoding} is not understood here`);
    }
    if (stream) {
      const bytes = await readAtMost(stream, maxBytes);
      refuseBrokenText(bytes);
      c.req.raw = new Request(c.req.raw, { body: bytes });
    }
    await next();
  });

async function readAtMost(stream: ReadableStream<Uint8Array>, maxBytes: number): Promise<Uint8Array<ArrayBuffer>> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  const reader = stream.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    size += value.byteLength;
    if (size > maxBytes) {
      await reader.cancel();
      throw new ApiError("payload_too_large", `the body is larger than ${maxBytes} bytes`);
    }
    chunks.push(value);
  }
  const bytes = new Uint8Array(size);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.byteLength;
  }
  return bytes;
}

function refuseBrokenText(bytes: Uint8Array): void {
  try {
    new TextDecoder("utf-8", { fatal: true, ignoreBOM: false }).decode(bytes);
  } catch {
    throw new ApiError("bad_request", "the body is not valid UTF-8");
  }
}
