import { z } from "zod";
import type { AmendableSetting, ImportFile, ImportRecord, ImportSettings, ImportSpec } from "../domain/import.ts";
import type { ReadingState } from "../domain/object-rows.ts";

/** What may be said to an import's own Durable Object. Every answer is a value; times are Unix milliseconds. */

/** The doorbell: "there is work". */
export const importRingSchema = z.object({ v: z.literal(1), import: z.string() });
export type ImportRing = z.infer<typeof importRingSchema>;

/** How far a file has been read and handed over. */
export interface Progress {
  /** The next unit's number: a row's, a partition's. */
  unit: number;
  /** Where reading is taken up; null: at the start. */
  state: ReadingState | null;
  read: number;
  delivered: number;
  rejected: number;
  /** Bytes of the stored object, roughly. */
  bytes: number;
}

export const NO_PROGRESS: Progress = { unit: 0, state: null, read: 0, delivered: 0, rejected: 0, bytes: 0 };

/** A file to be read. */
export interface FileEntry {
  number: number;
  key: string;
  etag: string;
  size: number;
  /** Where it was left, by an earlier reader. */
  progress: Progress | null;
  /** Units below this are known to have been handed over. */
  floor: number;
  /** It failed before: it may be another object by now. */
  isRetry: boolean;
}

export interface TaskName {
  task: number;
  /** A newer reader has a higher one. */
  fence: number;
}

export type Work =
  | { kind: "idle" }
  /** Page by page behind `after`. */
  | { kind: "list"; name: TaskName; spec: ImportSpec; after: string | null; taken: number }
  | {
      kind: "index";
      name: TaskName;
      spec: ImportSpec;
      stream: number;
      /** A stream that this task had before: it is to be fenced off, and how far it came told. */
      previous: number | null;
      round: number;
      batch_id: string | null;
      /** Of a plain NDJSON object only the rows that begin here. */
      range: { from: number; to: number } | null;
      files: FileEntry[];
    }
  /** Every task has settled: the history is written, the batches are closed. */
  | {
      kind: "finish";
      name: TaskName;
      spec: ImportSpec;
      batch_ids: string[];
      /** Something has failed and may be retried: how far its streams came stays known. */
      keepsStreams: boolean;
    };

/** An object of a listing that passed the filter. */
export interface Listed {
  key: string;
  etag: string;
  size: number;
  /** Why it is not read: it was imported before, or is no file. */
  skip: string | null;
  /** Plain NDJSON that may be read in ranges. */
  isSplittable: boolean;
}

export interface FileResult {
  number: number;
  error: string | null;
  progress: Progress;
  /** Lines that were read of a range: those behind it count on from there. */
  lines: number;
  /** It was another object than listed. */
  renewed: { etag: string; size: number } | null;
}

export interface TaskReport {
  name: TaskName;
  settled: FileResult[];
  /** Of the file that is being read. */
  current: { number: number; progress: Progress } | null;
  /** Rejects that were stored since the last report. */
  part: { key: string; count: number } | null;
  sample: string[];
  /** The last file that this reader was given: it wants those behind it. */
  wantsAfter: number | null;
  end:
    | null
    /** No file is left. */
    | { kind: "done" }
    /** The task is given back; another reader goes on `afterMs` later. */
    | { kind: "leaving"; afterMs: number; why: string | null }
    /** The import must end. */
    | { kind: "abort"; reason: string; isCanceled: boolean };
}

export type ReportAnswer = { kind: "go_on"; files: FileEntry[] } | { kind: "stop" };

export type NextBatch =
  | { kind: "use"; round: number; batch_id: string }
  /** `isKnown`: the import has that batch all the same. */
  | { kind: "stop"; isKnown: boolean };

export type SteerAnswer =
  | { kind: "steered"; record: ImportRecord }
  | { kind: "refused"; record: ImportRecord; why: string }
  | { kind: "not_found" };

/** The Durable Object's methods. */
export interface ImportCoordinatorApi {
  /** Begins; the second time it changes nothing. */
  start(spec: ImportSpec, batchId: string | null): Promise<ImportRecord>;
  view(): Promise<ImportRecord | null>;
  files(after: number, limit: number): Promise<ImportFile[]>;
  /** Parts of the rejects, in order, behind a part's number, with the line that its file's range begins at. */
  rejectParts(after: number, limit: number): Promise<RejectPart[]>;
  pause(): Promise<SteerAnswer>;
  resume(): Promise<SteerAnswer>;
  cancel(): Promise<SteerAnswer>;
  retry(batchId: string | null): Promise<SteerAnswer>;
  /** Holds for what is read from now on. */
  amend(change: Amendment): Promise<SteerAnswer>;
  /** The sweeper's question: re-arms what was lost. */
  poke(): Promise<ImportRecord | null>;
  /** Forgets everything. */
  erase(): Promise<void>;

  lease(): Promise<Work>;
  listed(name: TaskName, after: string | null, objects: Listed[], next: string | null): Promise<ReportAnswer>;
  listFailed(name: TaskName, error: string): Promise<void>;
  /** Whoever lists is alive. */
  beat(name: TaskName): Promise<void>;
  report(report: TaskReport): Promise<ReportAnswer>;
  fenced(name: TaskName, place: { file: number; unit: number } | null): Promise<ReportAnswer>;
  /** A batch is full or closed and this is the next one; answers the one to use. Only a present reader may bring one. */
  batchOpened(name: TaskName, round: number, batchId: string): Promise<NextBatch>;
  /** Done files behind a number, for the history. */
  doneFiles(
    name: TaskName,
    after: number,
    limit: number,
  ): Promise<{ number: number; key: string; etag: string }[] | null>;
  finished(name: TaskName): Promise<ImportRecord | null>;
}

/** What of an import may be changed after it has begun. */
export interface Amendment {
  name?: string;
  settings?: Partial<Pick<ImportSettings, AmendableSetting>>;
}

export interface RejectPart {
  number: number;
  key: string;
  count: number;
  /** Lines before the first of the part's range; null: not known yet. */
  firstLine: number | null;
}

/** A reader that has said nothing for so long is taken for dead. */
export const READER_SILENCE_MS = 30_000;
/** A reader that waits says so. */
export const BEAT_MS = 5_000;
