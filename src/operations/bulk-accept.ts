import { coordinatorOf } from "../coordinator/client.ts";
import type { AcceptAnswer, CoordinatorApi, ItemOutcome, Refusal, WorkflowOrigin } from "../coordinator/protocol.ts";
import { ApiError, assertNever, notFound } from "../domain/error.ts";
import type { Job } from "../domain/job.ts";
import type { TriggeredBy } from "../domain/run.ts";
import type { Env } from "../env.ts";
import { logError } from "../log.ts";
import type { Chunk } from "./bulk-chunk.ts";
import { askCoordinator } from "./coordinator-refusal.ts";
import type { JobJudge } from "./job-judge.ts";
import { jobById } from "./jobs.ts";

/** Who asks, the same for every chunk of a request. */
export interface Origin {
  triggered_by: TriggeredBy;
  created_by: string;
  traceparent: string | null;
  /** Set for a step of a workflow run. */
  workflow?: WorkflowOrigin;
}

/** The right to add to a batch: a newer epoch takes it away. */
export interface Pen {
  batchId: string;
  epoch: number;
}

/** Asks the coordinator of the judge's job; the judge goes along with a newer state of it. */
export const askFor = <A extends { kind: string }>(
  env: Env,
  judge: JobJudge,
  ask: (coordinator: CoordinatorApi, job: Job) => Promise<A>,
): Promise<Exclude<A, Refusal>> =>
  askCoordinator(
    env,
    judge.job,
    () => jobById(env, judge.job.id),
    (coordinator, job) => {
      judge.adopt(job);
      return ask(coordinator, job);
    },
  );

export interface AcceptMode {
  origin: Origin;
  /** Null for items of no batch: a rehearsal. */
  pen: Pen | null;
  dryRun: boolean;
  /** What was judged once stays judged, though the job has changed since: an atomic request is one decision. */
  settled: boolean;
}

/**
 * Hands a chunk to the coordinator, judged by the configuration that it has.
 *
 * @throws ApiError `conflict` where a newer request has the pen, the batch is closed, or an item was taken with other bytes
 *   or is not the next one; `payload_too_large` where the batch is full.
 */
export async function acceptChunk(env: Env, judge: JobJudge, chunk: Chunk, mode: AcceptMode): Promise<ItemOutcome[]> {
  const { origin, pen } = mode;
  const answer = await askFor(env, judge, async (coordinator, job) => {
    if (chunk.revision !== job.revision && !mode.settled) await chunk.rejudge(judge, Date.now());
    return coordinator.accept({
      ...origin,
      revision: job.revision,
      versions: judge.versionsOf(chunk.items),
      items: chunk.items,
      dry_run: mode.dryRun || undefined,
      batch: pen
        ? { id: pen.batchId, epoch: pen.epoch, first_index: chunk.firstIndex, hashes: chunk.hashes }
        : undefined,
    });
  });
  return outcomesOf(answer, pen);
}

function outcomesOf(answer: Exclude<AcceptAnswer, Refusal>, pen: Pen | null): ItemOutcome[] {
  const batch = pen === null ? {} : { batch_id: pen.batchId };
  switch (answer.kind) {
    case "accepted":
      return answer.outcomes;
    case "fenced":
      throw fencedError(pen);
    case "conflict":
      throw new ApiError("conflict", `item ${answer.index} was taken before with other bytes`, {
        extra: { ...batch, index: answer.index },
      });
    case "gap":
      throw new ApiError("conflict", `from_index: the next index is ${answer.item_count}`, {
        extra: { ...batch, item_count: answer.item_count },
      });
    case "sealed":
      throw new ApiError("conflict", "the batch operation is closed: it takes no more items", {
        extra: { ...batch, item_count: answer.item_count },
      });
    case "too_many":
      throw new ApiError("payload_too_large", `a batch operation has at most ${answer.item_count} items`, {
        extra: { ...batch, item_count: answer.item_count },
      });
    case "not_found":
      throw notFound("batch operation");
    default:
      return assertNever(answer);
  }
}

export const fencedError = (pen: Pen | null): ApiError =>
  new ApiError("conflict", "a newer request goes on with this batch operation; this one can add nothing more", {
    extra: pen === null ? {} : { batch_id: pen.batchId },
  });

/** A repeat of a request whose batch was canceled, stopped or sealed before all items were in. */
export const closedError = (batchId: string): ApiError =>
  new ApiError("conflict", "Idempotency-Key: the batch operation of this key was closed before all items were in", {
    extra: { batch_id: batchId },
  });

/** A request ends early: the next one need not wait until it is taken for dead. */
export async function releasePen(env: Env, job: Job, { batchId, epoch }: Pen): Promise<void> {
  try {
    await coordinatorOf(env, job.id).releaseBatch(batchId, epoch);
  } catch (error) {
    // The failure that led here is the one to tell; silence releases the batch too.
    logError("batch_not_released", { batch_id: batchId }, error);
  }
}
