import { effectiveSettings, type ImportSpec, type Reject } from "../domain/import.ts";
import { MAX_PAYLOAD_DEPTH } from "../domain/item.ts";
import type { ReadingState } from "../domain/object-rows.ts";
import { objectUrl, parseObjectUrl } from "../domain/object-url.ts";
import { BrokenObject } from "../domain/row-reader.ts";
import { MAX_BODY_BYTES } from "../domain/run.ts";
import { Ended, type Handover, Leaving } from "./handover.ts";
import { ObjectReader } from "./object-reader.ts";
import { Partition } from "./partition.ts";
import type { JudgedItem } from "./ports.ts";
import { type FileEntry, NO_PROGRESS, type Progress, type Work } from "./protocol.ts";
import type { Reporter } from "./reporter.ts";
import { type ObjectSource, SourceError } from "./source.ts";

const MAX_RAW_BYTES = 4096;
/** A chunk is sent though it is not full, where reading is slow. */
const SEND_EVERY_MS = 500;
const SAMPLE_ROWS = 100;

/** An invocation has its bounds. */
export interface Slice {
  isOverAtFile(): boolean;
  isOverInside(): boolean;
}

type Evaluated = { text: string; primaryMs: number | null } | { problem: string };

/** One file, or a range of one: rows to units, with a place behind each at which reading may be taken up. */
export class FileReading {
  private readonly spec: ImportSpec;
  private readonly file: FileEntry;
  private readonly object: { etag: string; size: number } | { problem: string };
  private readonly source: ObjectSource;
  private readonly handover: Handover;
  private readonly reporter: Reporter;
  private readonly slice: Slice;
  private readonly range: { from: number; to: number } | null;
  private readonly url: string;
  private readonly partition: Partition | null;
  private readonly isRenewed: boolean;
  /** Bytes of a partition's payload beside its rows. */
  private readonly overhead: number;
  private progress: Progress;
  /** As it was behind the last partition, and the rejects that came before that. */
  private closed: { progress: Progress; rejects: number };
  private sentAt = Date.now();
  private sampled = 0;
  /** On `on_error: abort`: the first reject. */
  private fatal: string | null = null;

  constructor(
    work: Work & { kind: "index" },
    file: FileEntry,
    object: { etag: string; size: number } | { problem: string },
    source: ObjectSource,
    handover: Handover,
    reporter: Reporter,
    slice: Slice,
  ) {
    this.spec = work.spec;
    this.file = file;
    this.object = object;
    this.source = source;
    this.handover = handover;
    this.reporter = reporter;
    this.slice = slice;
    this.range = work.range;
    const place = parseObjectUrl(work.spec.source.url);
    if (typeof place === "string") throw new Error("the import's source is wrong");
    this.url = objectUrl(place, file.key);
    this.isRenewed = "etag" in object && object.etag !== file.etag;
    this.progress = { ...((this.isRenewed ? null : file.progress) ?? NO_PROGRESS) };
    this.closed = { progress: { ...this.progress }, rejects: 0 };
    this.overhead = this.envelope("").length * 3 + 16;
    const settings = effectiveSettings(work.spec.settings);
    this.partition =
      work.spec.delivery === "partition"
        ? new Partition({
            maxRows: settings.max_rows_per_partition,
            maxSpanMs: settings.max_minutes_per_partition * 60_000,
            maxBytes: MAX_BODY_BYTES,
            maxDepth: MAX_PAYLOAD_DEPTH,
          })
        : null;
  }

  /** @throws Stopped, Ended, Leaving. */
  async read(): Promise<void> {
    const { object } = this;
    if ("problem" in object) return this.settle(object.problem, 0);
    const isWhole = this.progress.state === null && this.range === null;
    if (this.spec.on_error === "skip_file" && isWhole) {
      const problem = await this.probe(object);
      if (problem !== null) return this.settle(problem, 0);
    }
    const reader = this.open(object, this.progress.state);
    try {
      await this.readRows(reader);
      this.closePartition(null);
      await this.settle(null, reader.linesRead);
    } catch (error) {
      const problem = problemOf(error);
      if (problem === null) throw error;
      this.breakOff(reader);
      await this.settle(problem, reader.linesRead);
    } finally {
      reader.close();
    }
  }

  private open(object: { etag: string; size: number }, state: ReadingState | null): ObjectReader {
    const part = { key: this.file.key, ...object, range: this.range };
    return new ObjectReader(this.source, part, this.spec.transform_spec, state);
  }

  private async readRows(reader: ObjectReader): Promise<void> {
    const { handover, partition } = this;
    do {
      while (reader.next()) {
        const row = this.evaluate(reader);
        if (partition !== null && !("problem" in row) && partition.isFullFor(row.text, row.primaryMs, this.overhead)) {
          this.closePartition(reader.placeBefore());
          if (handover.isFull || this.isTime) await this.flush(reader.placeBefore());
        }
        this.takeRow(reader, row);
        if (partition?.isFull) {
          this.closePartition(reader.placeAfter());
          if (this.isTime) await this.flush(reader.placeAfter());
        }
        if (this.fatal !== null) await this.abort(reader);
        if (handover.isFull && partition?.isEmpty !== false) await this.flush(reader.placeAfter());
      }
      this.progress.bytes = Math.max(this.progress.bytes, reader.bytesRead);
      if (this.isTime && !handover.isEmpty && partition?.isEmpty !== false) await this.flush(reader.placeAfter());
      if (this.reporter.isDue) await this.reporter.ifDue();
    } while (await reader.more());
  }

  private get isTime(): boolean {
    return Date.now() - this.sentAt >= SEND_EVERY_MS;
  }

  private async flush(state: ReadingState | null): Promise<void> {
    this.sentAt = Date.now();
    this.progress.state = state;
    await this.handover.flush({ number: this.file.number, progress: { ...this.progress } });
    this.closed.rejects = 0;
    if (!this.slice.isOverInside()) return;
    await this.handover.arrived();
    throw new Leaving(null);
  }

  /** What came before the first error is handed over; a retry goes on behind it. */
  private async abort(reader: ObjectReader): Promise<void> {
    this.closePartition(reader.placeAfter());
    this.progress.state = reader.placeAfter();
    await this.handover.flush({ number: this.file.number, progress: { ...this.progress } });
    await this.end();
  }

  private async end(): Promise<never> {
    await this.handover.arrived();
    throw new Ended(`on_error is abort: ${this.fatal}`);
  }

  // -------------------------------------------------------------------------------------------- rows

  private evaluate(reader: ObjectReader): Evaluated {
    const { rows } = reader;
    if (rows === null) throw new Error("a row without its reader");
    if (rows.problem !== null) return { problem: rows.problem };
    const row = reader.transform(rows.value, rows.text, reader.head);
    const misfit = "problem" in row ? null : (this.partition?.misfit(row.text, this.overhead) ?? null);
    return misfit === null ? row : { problem: misfit };
  }

  private takeRow(reader: ObjectReader, row: Evaluated): void {
    if ("problem" in row) this.reject(reader, row.problem);
    else if (this.partition === null) this.takeSingle(reader, row.text);
    else this.takeInto(this.partition, reader, row.text, row.primaryMs);
  }

  private takeSingle(reader: ObjectReader, text: string): void {
    const item = this.handover.judge(text);
    if ("problem" in item) {
      this.reject(reader, item.problem);
      return;
    }
    this.show(text);
    this.hand(text, item, this.progress.unit, 1);
    this.progress.unit += 1;
    this.progress.read += 1;
    this.progress.delivered += 1;
  }

  private takeInto(partition: Partition, reader: ObjectReader, text: string, primaryMs: number | null): void {
    if (partition.isEmpty && reader.rows !== null) {
      partition.line = reader.rows.line;
      partition.offset = reader.rows.offset;
    }
    this.show(text);
    partition.add(text, primaryMs);
    this.progress.read += 1;
  }

  private envelope(rows: string): string {
    const { unit } = this.progress;
    const head = JSON.stringify({ import_id: this.spec.id, file: this.url, partition: unit });
    return `${head.slice(0, -1)},"rows":[${rows}]}`;
  }

  /** @param state where reading is taken up behind it; null at the end of the file. */
  private closePartition(state: ReadingState | null): void {
    const { partition } = this;
    if (partition === null || partition.isEmpty) return;
    const count = partition.rows.length;
    const payload = this.envelope(partition.rows.join(","));
    const item = this.handover.judge(payload);
    if ("problem" in item) {
      const reason = `partition ${this.progress.unit} of ${count} rows: ${item.problem}`;
      this.note(partition.line, partition.offset, reason, payload);
      this.progress.rejected += count;
    } else {
      this.hand(payload, item, this.progress.unit, count);
      this.progress.delivered += count;
    }
    this.progress.unit += 1;
    this.progress.state = state;
    partition.clear();
    this.closed = { progress: { ...this.progress }, rejects: this.handover.rejects.length };
  }

  private hand(payload: string, item: JudgedItem, unit: number, rows: number): void {
    // Below the floor it has been handed over before, by a reader that did not live to say so.
    const isKnown = !this.isRenewed && unit < this.file.floor;
    if (!isKnown) this.handover.add({ file: this.file.number, unit, rows, payload, item });
  }

  private show(text: string): void {
    if (!this.spec.settings.dry_run || this.sampled >= SAMPLE_ROWS) return;
    this.sampled += 1;
    this.handover.sample.push(text);
  }

  // -------------------------------------------------------------------------------------------- rejects

  private reject(reader: ObjectReader, reason: string): void {
    const { rows } = reader;
    if (rows === null) return;
    if (this.partition === null) this.progress.unit += 1;
    this.progress.read += 1;
    this.progress.rejected += 1;
    this.note(rows.line, rows.offset, reason, rows.text);
  }

  private note(line: number, offset: number, reason: string, raw: string): void {
    const reject: Reject = { file: this.url, line, byte_offset: offset, reason, raw: cutRaw(raw) };
    this.handover.rejects.push(reject);
    this.partition?.rejected(reject.raw.length);
    if (this.spec.on_error === "abort") this.fatal ??= `${this.url}, line ${line}: ${reason}`;
  }

  /** `skip_file`: nothing of a file with an error is handed over, so it is read once before. */
  private async probe(object: { etag: string; size: number }): Promise<string | null> {
    const reader = this.open(object, null);
    try {
      do {
        while (reader.next()) {
          const row = this.evaluate(reader);
          const item = "problem" in row || this.partition !== null ? row : this.handover.judge(row.text);
          if (!("problem" in item)) continue;
          this.reject(reader, item.problem);
          return `line ${reader.rows?.line}: ${item.problem}`;
        }
        await this.reporter.ifDue();
      } while (await reader.more());
      return null;
    } catch (error) {
      const problem = problemOf(error);
      if (problem === null) throw error;
      return problem;
    } finally {
      reader.close();
    }
  }

  /** The file is done, or cannot be read on. */
  private async settle(error: string | null, lines: number): Promise<void> {
    const { handover, object } = this;
    const renewed = this.isRenewed && "etag" in object ? object : null;
    const progress = { ...this.progress, bytes: 0 };
    handover.settled.push({ number: this.file.number, error, progress, lines, renewed });
    if (this.fatal !== null) {
      await handover.flush(null);
      await this.end();
    }
    if (handover.isFull) await handover.flush(null);
  }

  /** A retry goes on where reading broke off; what stood in an open partition is read again. */
  private breakOff(reader: ObjectReader): void {
    const { partition, handover } = this;
    if (partition === null) this.progress.state = reader.placeAfter();
    else if (!partition.isEmpty) {
      this.progress = { ...this.closed.progress };
      handover.rejects.length = Math.min(handover.rejects.length, this.closed.rejects);
      partition.clear();
    }
  }
}

function problemOf(error: unknown): string | null {
  return error instanceof BrokenObject || error instanceof SourceError ? error.message : null;
}

/** At most 4 KiB in UTF-8. */
function cutRaw(text: string): string {
  const bytes = new TextEncoder().encode(text.length > MAX_RAW_BYTES ? text.slice(0, MAX_RAW_BYTES) : text);
  if (bytes.length <= MAX_RAW_BYTES) return text.slice(0, MAX_RAW_BYTES);
  return new TextDecoder().decode(bytes.subarray(0, MAX_RAW_BYTES)).replace(/\ufffd+$/, "");
}
