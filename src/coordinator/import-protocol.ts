import type { JobVersion } from "../domain/job.ts";
import type { AcceptItem, Refusal } from "./protocol.ts";

/**
 * How an import hands its rows over. Several tasks add to one batch side by side. Each task is a *stream*: it delivers units
 * (rows, partitions or files) in an order that is the same however often it is begun anew, and the ledger keeps how far each
 * stream has come, in the transaction that makes the runs. So a unit is taken once, whoever brings it how often.
 */

/** A place in a stream: the file's number, and the unit's number within it. Places are ordered. */
export interface StreamPlace {
  file: number;
  unit: number;
}

export interface OpenImportRequest {
  revision: number;
  import_id: string;
  /** The import's batches are numbered from 0. The same number is the same batch. */
  round: number;
  created_by: string;
  traceparent: string | null;
  max_concurrency: number | null;
  metadata: Record<string, string>;
}

export type OpenImportAnswer = { kind: "opened"; batch_id: string } | Refusal;

export interface ImportChunk {
  revision: number;
  versions?: JobVersion[];
  import_id: string;
  batch_id: string;
  stream: number;
  /** Who reads the stream: a higher number fences the lower ones off. */
  fence: number;
  created_by: string;
  traceparent: string | null;
  /** At most 500, at most 4 MiB of payload. */
  items: AcceptItem[];
  /** `places[i]` is where item i stands. */
  places: StreamPlace[];
}

export type ImportAnswer =
  /** `waiting`: runs of the batch that are not terminal. */
  | { kind: "taken"; waiting: number }
  /** The batch takes no more: what it took of the chunk stays, and a repeat for the next batch skips it. */
  | { kind: "closed"; why: "full" | "sealed" | "canceled" | "stopped" }
  /** Another reader has the stream. */
  | { kind: "fenced" }
  | { kind: "not_found" }
  | Refusal;

export interface ImportIntakeApi {
  openImport(request: OpenImportRequest): Promise<OpenImportAnswer>;
  acceptImport(chunk: ImportChunk): Promise<ImportAnswer>;
  /** Fences off every reader below `fence`, and says which place the stream comes to next; null: it has brought nothing. */
  fenceImport(importId: string, stream: number, fence: number): Promise<StreamPlace | null>;
  /** The import will bring nothing again. */
  forgetImport(importId: string): Promise<void>;
}
