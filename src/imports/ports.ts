import type { ImportRecord, ImportSpec } from "../domain/import.ts";
import type { TriggerItem } from "../domain/item.ts";
import type { ObjectSource } from "./source.ts";

/** What an import needs of the rest of Sluice: `index.ts` hands it in. */
export interface ImportPorts {
  /**
   * The source of an import, its credentials opened.
   *
   * @throws SourceError where they are gone, or the bucket is not this project's.
   */
  source(spec: ImportSpec): Promise<ObjectSource>;
  /** Which objects the job has imported already, in order. */
  known(spec: ImportSpec, objects: { key: string; etag: string }[]): Promise<boolean[]>;
  remember(spec: ImportSpec, objects: { key: string; etag: string }[]): Promise<void>;
  /** Opens the import's batch of that number; the same number is the same batch. */
  openBatch(spec: ImportSpec, round: number): Promise<OpenedBatch>;
  delivery(spec: ImportSpec): Promise<Delivery | { gone: string }>;
  /** Fences a stream off; where it would go on, or null. */
  fence(spec: ImportSpec, stream: number): Promise<{ file: number; unit: number } | null>;
  seal(spec: ImportSpec, batchId: string): Promise<void>;
  forgetStreams(spec: ImportSpec): Promise<void>;
  /** Rejects of a task, as NDJSON. */
  storeRejects(spec: ImportSpec, name: string, text: string): Promise<string>;
  /** Shows the state in lists. */
  copy(record: ImportRecord): Promise<void>;
}

export type OpenedBatch =
  | { kind: "opened"; batch_id: string }
  | { kind: "wait"; ms: number; why: string }
  | { kind: "gone"; why: string };

/** Something to hand over: a row, a partition or a file. */
export interface Unit {
  file: number;
  unit: number;
  /** Rows in it. */
  rows: number;
  /** JSON. */
  payload: string;
  item: JudgedItem;
}

/** An item as the job's rules left it, and the revision of the job that they were of. */
export interface JudgedItem {
  item: TriggerItem;
  revision: number;
}

export interface Chunk {
  batchId: string;
  stream: number;
  fence: number;
  units: Unit[];
}

export type DeliveryAnswer =
  /** `refused[i]` is why the job's rules refuse unit i. */
  | { kind: "taken"; refused: Map<number, string>; waiting: number }
  | { kind: "closed"; why: "full" | "sealed" | "canceled" | "stopped" }
  | { kind: "fenced" }
  | { kind: "wait"; ms: number; why: string }
  | { kind: "gone"; why: string };

/** Hands units over to the job, judged by its rules. */
export interface Delivery {
  /** A payload as an item, or why the job's rules refuse it. */
  judge(payload: string): JudgedItem | { problem: string };
  send(chunk: Chunk): Promise<DeliveryAnswer>;
  /** Runs of the batch that are not terminal. */
  waiting(batchId: string): Promise<number>;
}
