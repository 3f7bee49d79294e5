import type { Notice } from "../domain/notice.ts";
import type { ItemRow, RunRow } from "../store/projection.ts";
import type { Batch } from "./batch.ts";
import type { Lease } from "./lease.ts";
import type { Blob, OutboxBody } from "./outbox.ts";

/** What one transaction has decided and not yet written. */
export interface Pending {
  runs: RunRow[];
  seqs: number[];
  touched: number[];
  /** All living runs that changed, copied or not. */
  noted: number[];
  items: ItemRow[];
  blobs: Blob[];
  notices: Notice[];
  deleted: number[];
  batches: Set<Batch>;
  /** Those that their failure threshold has just stopped. */
  stopped: Batch[];
  leases: Set<Lease>;
  /** When the oldest run was created that ended here before D1 ever heard of it. */
  since: number;
}

export const nothingPending = (): Pending => ({
  runs: [],
  seqs: [],
  touched: [],
  noted: [],
  items: [],
  blobs: [],
  notices: [],
  deleted: [],
  batches: new Set(),
  stopped: [],
  leases: new Set(),
  since: Number.POSITIVE_INFINITY,
});

/** What of it leaves the object. */
export const outboxBody = ({ runs, seqs, touched, batches, items, blobs, notices }: Pending): OutboxBody => ({
  ...{ runs, seqs, touched, items, blobs, notices },
  batches: [...batches].map((b) => b.seq),
});
