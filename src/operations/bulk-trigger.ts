import { createHash } from "node:crypto";
import { coordinatorOf } from "../coordinator/client.ts";
import { type BatchOptions, MAX_BATCH_ITEMS, type StoredAnswer } from "../coordinator/protocol.ts";
import { ApiError, assertNever, invalid } from "../domain/error.ts";
import { isRefused } from "../domain/item.ts";
import type { Job } from "../domain/job.ts";
import type { Env } from "../env.ts";
import { acceptChunk, askFor, closedError, fencedError, type Origin, type Pen, releasePen } from "./bulk-accept.ts";
import { type BulkBody, keepAnswer, replayAnswer } from "./bulk-answer.ts";
import type { Chunk } from "./bulk-chunk.ts";
import { type Reading, readChunks } from "./bulk-reading.ts";
import { BulkTally } from "./bulk-tally.ts";
import type { ItemSource } from "./item-source.ts";
import { JobJudge } from "./job-judge.ts";

/** What a bulk request says beside its items. */
export interface BulkRequest {
  options: BatchOptions;
  /** Everything of the request but its items, for the comparison with a repeat. It may hold secrets: only its hash is kept. */
  fingerprintOf: unknown;
  idempotencyKey: string | null;
  /** The job version that all items name, where they do. */
  jobVersion?: number;
  origin: Origin;
  /** All or nothing. Only for a source that is at hand. */
  atomic: boolean;
  /** The batch stays open for further parts. */
  open: boolean;
}

export interface BulkAnswer {
  body: BulkBody;
  /** It was answered before, and nothing was done again. */
  replayed: boolean;
}

const MAX_LISTED = 100;

/**
 * Triggers a run for every item of a source, as one batch operation.
 *
 * A failure on the way leaves what was taken in; a repeat with the same key goes on from there.
 *
 * @throws ApiError `validation_failed` for no items, or for bad ones where it is atomic; `conflict` for the key of another
 *   request or of one that still runs, and for a disabled job; `payload_too_large` beyond a million items, the first
 *   million kept; whatever the source throws.
 */
export async function triggerBulk(env: Env, job: Job, request: BulkRequest, source: ItemSource): Promise<BulkAnswer> {
  const bulk = new Bulk(env, job, request);
  try {
    const reading = await bulk.read(source);
    return await bulk.finish(reading);
  } catch (error) {
    await bulk.abandon();
    throw error;
  }
}

/** One bulk request under way. Its batch is opened with the first chunk, so that a request which is refused leaves none. */
class Bulk {
  private readonly env: Env;
  private readonly request: BulkRequest;
  private readonly judge: JobJudge;
  private readonly tally: BulkTally;
  private pen: Pen | null = null;
  /** The answer of the request before with the same key. */
  private answered: { batchId: string; answer: StoredAnswer } | null = null;

  constructor(env: Env, job: Job, request: BulkRequest) {
    this.env = env;
    this.request = request;
    this.judge = new JobJudge(env, job);
    this.tally = new BulkTally(env, job, false);
  }

  async read(source: ItemSource): Promise<Reading> {
    const chunks: Chunk[] = [];
    const { atomic } = this.request;
    const reading = await readChunks(source, {
      judge: this.judge,
      from: 0,
      limit: MAX_BATCH_ITEMS,
      judging: () => this.answered === null,
      deliver: async (chunk) => {
        if (atomic) chunks.push(chunk);
        else await this.deliver(chunk);
      },
    });
    if (reading.digest.count === 0) throw invalid([{ path: "items", message: "must hold at least one item" }]);
    if (atomic) {
      refuseBadItems(chunks);
      for (const chunk of chunks) await this.deliver(chunk);
    }
    return reading;
  }

  private async deliver(chunk: Chunk): Promise<void> {
    if (this.pen === null && this.answered === null) await this.open();
    if (this.answered !== null) return;
    const outcomes = await acceptChunk(this.env, this.judge, chunk, {
      origin: this.request.origin,
      pen: this.pen,
      dryRun: false,
      settled: this.request.atomic,
    });
    await this.tally.add(chunk.firstIndex, outcomes);
  }

  private async open(): Promise<void> {
    const { idempotencyKey: key, origin, options, fingerprintOf } = this.request;
    const answer = await askFor(this.env, this.judge, (coordinator, job) =>
      coordinator.openBatch({
        ...origin,
        revision: job.revision,
        options,
        job_version: this.request.jobVersion,
        request: key === null ? null : { key, fingerprint: sha256(JSON.stringify(fingerprintOf)) },
      }),
    );
    switch (answer.kind) {
      case "opened":
        this.pen = { batchId: answer.batch_id, epoch: answer.epoch };
        return;
      case "answered":
        this.answered = { batchId: answer.batch_id, answer: answer.answer };
        return;
      case "running":
        throw new ApiError("conflict", "Idempotency-Key: the first request with this key is still running", {
          retryAfterSecs: answer.retry_after_secs,
        });
      case "closed":
        throw closedError(answer.batch_id);
      case "conflict":
        throw new ApiError("conflict", "Idempotency-Key: was used with another request");
      default:
        assertNever(answer);
    }
  }

  async finish({ digest, overflown }: Reading): Promise<BulkAnswer> {
    const fingerprint = overflown ? `${digest.value()}+` : digest.value();
    if (this.answered !== null) {
      return { body: replayAnswer(this.answered.answer, fingerprint), replayed: true };
    }
    const { pen } = this;
    if (pen === null) throw new Error("a bulk with items has opened no batch");
    const body: BulkBody = { batch_id: pen.batchId, ...(await this.counts(pen)), ...this.tally.shown() };
    const kept = keepAnswer(body, overflown, fingerprint, digest.count);
    const closed = await coordinatorOf(this.env, this.judge.job.id).closeBatch({
      batch_id: pen.batchId,
      epoch: pen.epoch,
      seal: !this.request.open,
      answer: this.request.idempotencyKey === null ? null : kept,
    });
    // Sealed by somebody else in between: every item is in it all the same.
    if (closed.kind === "fenced") throw fencedError(pen);
    if (closed.kind !== "closed" && closed.kind !== "sealed") throw new Error(`closing was answered ${closed.kind}`);
    return { body: replayAnswer(kept, fingerprint), replayed: false };
  }

  /** Of items taken by a request that died only the batch knows what became. */
  private async counts(pen: Pen): Promise<Omit<BulkBody, "batch_id" | "results" | "results_truncated">> {
    const { counts, taken } = this.tally;
    if (taken === 0) return counts;
    const batch = await coordinatorOf(this.env, this.judge.job.id).getBatch(pen.batchId);
    if (batch === null) throw fencedError(pen);
    return {
      total: counts.total,
      created: batch.created_count,
      duplicates: batch.duplicate_count,
      rejected: batch.rejected_count,
    };
  }

  async abandon(): Promise<void> {
    if (this.pen !== null) await releasePen(this.env, this.judge.job, this.pen);
  }
}

/** @throws ApiError `validation_failed` that lists the first bad items and says how many there are. */
export function refuseBadItems(chunks: readonly Chunk[]): void {
  const bad = chunks.flatMap((chunk) => chunk.items.filter(isRefused));
  if (bad.length === 0) return;
  const details = bad.slice(0, MAX_LISTED).map(({ error }) => {
    const [first] = error.details;
    return { path: first?.path ?? "items", message: first?.message ?? error.message };
  });
  throw new ApiError("validation_failed", `${bad.length} of the items are bad; nothing was created`, {
    details,
    extra: { rejected: bad.length },
  });
}

const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex");
