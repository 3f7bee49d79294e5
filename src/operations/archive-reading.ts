import { resultHead } from "../domain/result-line.ts";
import type { RunStatus } from "../domain/run.ts";
import type { Env } from "../env.ts";
import type { BatchArchive } from "../store/batch-archives.ts";
import type { IndexedLine } from "./results.ts";

/** The lines of an archive beyond an index, read from near there on. */
export async function* readArchive(
  env: Env,
  archive: BatchArchive,
  statuses: readonly RunStatus[],
  after: number | null,
): AsyncGenerator<IndexedLine, void> {
  const offset = offsetOf(archive, after);
  if (offset >= archive.bytes) return;
  const object = await env.BLOBS.get(archive.key, { range: { offset } });
  if (object === null) throw new Error(`the archive ${archive.key} is gone`);
  for await (const line of linesOf(object.body)) {
    const { index, status } = resultHead(line);
    if ((after === null || index > after) && statuses.includes(status)) yield { index, line };
  }
}

/** Where the last known line begins that does not lie beyond the one asked for. */
function offsetOf({ offsets, bytes }: BatchArchive, after: number | null): number {
  if (after === null) return 0;
  let low = 0;
  for (let high = offsets.length; low < high; ) {
    const middle = (low + high) >> 1;
    if ((offsets[middle]?.[0] ?? 0) <= after + 1) low = middle + 1;
    else high = middle;
  }
  return low === 0 ? (offsets.length === 0 ? bytes : 0) : (offsets[low - 1]?.[1] ?? 0);
}

/** Lines with their newline; a stream holds whole ones. */
async function* linesOf(body: ReadableStream<Uint8Array<ArrayBuffer>>): AsyncGenerator<string> {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let parts: string[] = [];
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      let from = 0;
      for (let end = value.indexOf("\n"); end !== -1; end = value.indexOf("\n", from)) {
        parts.push(value.slice(from, end + 1));
        yield parts.join("");
        parts = [];
        from = end + 1;
      }
      if (from < value.length) parts.push(value.slice(from));
    }
  } finally {
    await reader.cancel();
  }
}
