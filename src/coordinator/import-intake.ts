import { takeItems } from "./accept.ts";
import { type Batch, batchId } from "./batch.ts";
import { findBatch, openBatch } from "./batch-book.ts";
import type { ImportAnswer, ImportChunk, OpenImportAnswer, OpenImportRequest, StreamPlace } from "./import-protocol.ts";
import type { Lane } from "./lane.ts";
import { type JobConfig, MAX_BATCH_ITEMS } from "./protocol.ts";

/** No Idempotency-Key of a request can be such a key. */
const requestKey = ({ import_id, round }: OpenImportRequest): string => `\u0001import:${import_id}:${round}`;

export function openImport(lane: Lane, request: OpenImportRequest, now: number): OpenImportAnswer {
  const key = requestKey(request);
  const earlier = lane.ledger.all("SELECT batch FROM requests WHERE key = ?", key)[0];
  const batch = earlier === undefined ? undefined : lane.batches.get(earlier.batch as number);
  if (batch !== undefined) return { kind: "opened", batch_id: batchId(batch, lane.config as JobConfig) };
  const opened = openBatch(
    lane,
    {
      revision: request.revision,
      created_by: request.created_by,
      traceparent: request.traceparent,
      triggered_by: "import",
      options: {
        max_concurrency: request.max_concurrency,
        failure_threshold: null,
        metadata: request.metadata,
        webhook_url: null,
        webhook_secret: null,
      },
      request: null,
    },
    now,
  );
  if (opened.kind !== "opened") throw new Error(`opening a batch was answered ${opened.kind}`);
  const seq = (findBatch(lane, opened.batch_id) as Batch).seq;
  lane.ledger.run("INSERT OR REPLACE INTO requests VALUES (?, '', ?, NULL, ?)", key, seq, now);
  return { kind: "opened", batch_id: opened.batch_id };
}

interface Stream {
  fence: number;
  next: StreamPlace;
}

function findStream(lane: Lane, importId: string, stream: number): Stream | null {
  const row = lane.ledger.all(
    "SELECT fence, file, unit FROM import_streams WHERE import = ? AND stream = ?",
    importId,
    stream,
  )[0];
  if (row === undefined) return null;
  return { fence: row.fence as number, next: { file: row.file as number, unit: row.unit as number } };
}

const saveStream = (lane: Lane, importId: string, stream: number, { fence, next }: Stream): void =>
  lane.ledger.run(
    `INSERT INTO import_streams VALUES (?, ?, ?, ?, ?) ON CONFLICT (import, stream)
     DO UPDATE SET fence = excluded.fence, file = excluded.file, unit = excluded.unit`,
    importId,
    stream,
    fence,
    next.file,
    next.unit,
  );

const isBefore = (a: StreamPlace, b: StreamPlace): boolean => a.file < b.file || (a.file === b.file && a.unit < b.unit);

const isAlive = ({ counts: c }: Batch): number => c.delayed + c.queued + c.dequeued + c.executing;

/** Takes in what of a chunk the stream has not brought before. */
export function acceptImport(lane: Lane, chunk: ImportChunk, now: number): ImportAnswer {
  const batch = findBatch(lane, chunk.batch_id);
  if (!batch) return { kind: "not_found" };
  if (batch.cancel_requested) return { kind: "closed", why: "canceled" };
  if (batch.stopped) return { kind: "closed", why: "stopped" };
  if (batch.sealed) return { kind: "closed", why: "sealed" };
  const stream = findStream(lane, chunk.import_id, chunk.stream);
  if (stream !== null && stream.fence > chunk.fence) return { kind: "fenced" };
  for (const version of chunk.versions ?? []) lane.ledger.saveVersion(version);
  const known = stream === null ? 0 : chunk.places.findIndex((place) => !isBefore(place, stream.next));
  const from = known === -1 ? chunk.items.length : known;
  const fits = chunk.items.slice(from, from + MAX_BATCH_ITEMS - batch.item_count);
  const last = chunk.places[from + fits.length - 1];
  if (fits.length > 0 && last !== undefined) {
    const origin = { created_by: chunk.created_by, traceparent: chunk.traceparent, triggered_by: "import" as const };
    takeItems(lane, { ...origin, revision: chunk.revision, items: fits }, fits, batch, batch.item_count, now);
    const next = { file: last.file, unit: last.unit + 1 };
    saveStream(lane, chunk.import_id, chunk.stream, { fence: chunk.fence, next });
  }
  batch.last_part_at = now;
  batch.interruption_told = false;
  lane.pending.batches.add(batch);
  if (from + fits.length < chunk.items.length) return { kind: "closed", why: "full" };
  return { kind: "taken", waiting: isAlive(batch) };
}

export function fenceImport(lane: Lane, importId: string, stream: number, fence: number): StreamPlace | null {
  const known = findStream(lane, importId, stream);
  const next = known?.next ?? { file: 0, unit: 0 };
  saveStream(lane, importId, stream, { fence: Math.max(known?.fence ?? 0, fence), next });
  return known === null ? null : known.next;
}

export const forgetImport = (lane: Lane, importId: string): void =>
  lane.ledger.run("DELETE FROM import_streams WHERE import = ?", importId);
