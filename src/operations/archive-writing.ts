import type { BatchRecord } from "../domain/batch.ts";
import type { Env } from "../env.ts";
import { type BatchArchive, saveArchive } from "../store/batch-archives.ts";
import { endedLines, TERMINAL } from "./results.ts";

/** Parts of one object have one size. At 10,000 of them an archive holds 160 GB. */
const PART_BYTES = 16 * 1024 * 1024;
/** An entry of the table of offsets at least every so many rows, and every so many bytes. */
const OFFSET_EVERY_ROWS = 1_000;
const OFFSET_EVERY_BYTES = 8 * 1024 * 1024;

const archiveKey = (batch: BatchRecord): string => `batches/${batch.project_id}/${batch.id}/results.ndjson`;

export const newArchive = (batch: BatchRecord): BatchArchive => ({
  state: "writing",
  key: archiveKey(batch),
  bytes: 0,
  rows: 0,
  offsets: [],
  upload: null,
  after: null,
  skip: 0,
});

/** How much of a minute the writing may take. */
export interface WritingBudget {
  isSpent(): boolean;
  /** A page was read. */
  spend(): void;
}

/**
 * Writes the results of a finished batch into R2, from where an earlier call stopped, until they are all there or the budget
 * is spent. What has been written is kept part by part, one at least.
 *
 * @returns the archive as it stands, saved.
 */
export async function writeArchive(
  env: Env,
  batch: BatchRecord,
  begun: BatchArchive,
  budget: WritingBudget,
  partBytes = PART_BYTES,
): Promise<BatchArchive> {
  const writer = new ArchiveWriter(env, batch, begun, partBytes);
  for await (const { index, line } of endedLines(env, batch, TERMINAL, begun.after, async () => {
    budget.spend();
    return null;
  })) {
    await writer.add(index, line);
    if (writer.hasProgress && budget.isSpent()) return writer.archive;
  }
  return writer.finish();
}

const encoder = new TextEncoder();

class ArchiveWriter {
  /** As of the last whole part: what a later call goes on from. */
  archive: BatchArchive;
  /** A part was written. */
  hasProgress = false;
  private readonly env: Env;
  private readonly batch: BatchRecord;
  private readonly part: Uint8Array<ArrayBuffer>;
  private filled = 0;
  private rows: number;
  private readonly offsets: [number, number][];
  /** Of the line that the last part cut. */
  private skip: number;
  private lastIndex: number | null;

  constructor(env: Env, batch: BatchRecord, begun: BatchArchive, partBytes: number) {
    this.env = env;
    this.batch = batch;
    this.archive = begun;
    this.part = new Uint8Array(partBytes);
    this.rows = begun.rows;
    this.offsets = [...begun.offsets];
    this.skip = begun.skip;
    this.lastIndex = begun.after;
  }

  async add(index: number, line: string): Promise<void> {
    const bytes = encoder.encode(line);
    let from = this.skip;
    this.skip = 0;
    if (from === 0) this.noteOffset(index);
    while (from < bytes.length) {
      const piece = bytes.subarray(from, from + this.part.length - this.filled);
      this.part.set(piece, this.filled);
      this.filled += piece.length;
      from += piece.length;
      if (this.filled < this.part.length) continue;
      const isWhole = from === bytes.length;
      await this.send(
        isWhole
          ? { after: index, skip: 0, rows: this.rows + 1 }
          : { after: this.lastIndex, skip: from, rows: this.rows },
      );
    }
    this.lastIndex = index;
    this.rows += 1;
  }

  /** The last part, or all of it where it fits into one. */
  async finish(): Promise<BatchArchive> {
    const rest = this.part.subarray(0, this.filled);
    const { upload, key, bytes } = this.archive;
    if (upload === null) await this.env.BLOBS.put(key, rest);
    else {
      const multipart = this.env.BLOBS.resumeMultipartUpload(key, upload.id);
      const parts = [...upload.parts];
      if (rest.length > 0) parts.push(await sendPart(multipart, parts.length + 1, rest));
      await multipart.complete(parts.map(({ n, etag }) => ({ partNumber: n, etag })));
    }
    return this.save({
      ...this.archive,
      state: "done",
      bytes: bytes + rest.length,
      rows: this.rows,
      offsets: this.offsets,
      upload: null,
    });
  }

  private noteOffset(index: number): void {
    const offset = this.archive.bytes + this.filled;
    const last = this.offsets.at(-1);
    const isFar = last === undefined || offset - last[1] >= OFFSET_EVERY_BYTES;
    if (isFar || this.rows % OFFSET_EVERY_ROWS === 0) this.offsets.push([index, offset]);
  }

  private async send(at: Pick<BatchArchive, "after" | "skip" | "rows">): Promise<void> {
    const { key, bytes } = this.archive;
    const begun = this.archive.upload;
    const multipart = begun
      ? this.env.BLOBS.resumeMultipartUpload(key, begun.id)
      : await this.env.BLOBS.createMultipartUpload(key);
    const parts = begun?.parts ?? [];
    const part = await sendPart(multipart, parts.length + 1, this.part);
    await this.save({
      ...this.archive,
      ...at,
      bytes: bytes + this.part.length,
      offsets: [...this.offsets],
      upload: { id: multipart.uploadId, parts: [...parts, part] },
    });
    this.filled = 0;
    this.hasProgress = true;
  }

  private async save(archive: BatchArchive): Promise<BatchArchive> {
    await saveArchive(this.env, this.batch.id, archive);
    this.archive = archive;
    return archive;
  }
}

async function sendPart(upload: R2MultipartUpload, n: number, bytes: Uint8Array): Promise<{ n: number; etag: string }> {
  const { etag } = await upload.uploadPart(n, bytes);
  return { n, etag };
}
