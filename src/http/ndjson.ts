/** What is gathered before it is sent: a line by itself would cost as much as a thousand. */
const CHUNK_CHARS = 64 * 1024;
const encoder = new TextEncoder();

/**
 * Answers with lines, each with its newline, as they come. The first piece is waited for, so that a failure before it is an
 * error of its own; a later one breaks the stream off, never ends it as if it were whole.
 *
 * @throws what the iteration throws before its first piece.
 */
export async function ndjsonResponse(lines: AsyncGenerator<string, void>): Promise<Response> {
  let first: Uint8Array | null = await gather(lines);
  const body = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const piece = first ?? (await gather(lines));
        first = null;
        if (piece.byteLength === 0) controller.close();
        else controller.enqueue(piece);
      },
      async cancel() {
        await lines.return();
      },
    },
    { highWaterMark: 1 },
  );
  return new Response(body, { headers: { "Content-Type": "application/x-ndjson", "Cache-Control": "no-store" } });
}

/** Empty at the end. */
async function gather(lines: AsyncGenerator<string, void>): Promise<Uint8Array> {
  const parts: string[] = [];
  for (let chars = 0; chars < CHUNK_CHARS; ) {
    const { done, value } = await lines.next();
    if (done) break;
    parts.push(value);
    chars += value.length;
  }
  return encoder.encode(parts.join(""));
}
