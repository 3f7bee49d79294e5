import { coordinatorOf } from "../coordinator/client.ts";
import type { ItemOutcome, OpenBatchAnswer } from "../coordinator/protocol.ts";
import { type BatchRecord, failedCount } from "../domain/batch.ts";
import { ApiError, invalid, notFound } from "../domain/error.ts";
import { isTerminal, type RunRecord, type RunStatus } from "../domain/run.ts";
import type { Env } from "../env.ts";
import { logError } from "../log.ts";
import { findArchive } from "../store/batch-archives.ts";
import { pageOfBatchRuns } from "../store/batch-runs.ts";
import {
  claimSweep,
  deleteSweep,
  insertSweep,
  listIdleSweeps,
  type ReplaySweep,
  saveSweep,
} from "../store/replay-sweeps.ts";
import { findRuns, listRuns } from "../store/runs.ts";
import type { Page } from "../store/scan.ts";
import type { Caller } from "./authorize.ts";
import { getBatch } from "./batches.ts";
import { closedError } from "./bulk-accept.ts";
import type { BulkBody } from "./bulk-answer.ts";
import { type BulkCounts, BulkTally } from "./bulk-tally.ts";
import { askCoordinator } from "./coordinator-refusal.ts";
import { copyHasCaughtUp } from "./copy.ts";
import { jobById } from "./jobs.ts";
import { findJobForRuns, type Home, homeOf } from "./ledger-home.ts";
import { acceptedBy, acceptReplays, inChunks, type Replay, type ReplayContext, replaysOf } from "./replay.ts";

/**
 * Replays of many runs, as a new batch operation of the same job. The first of them are taken in within the request; the
 * rest goes on behind it, page by page from a row in D1: right away, and after a crash from the sweeper.
 */

/** Which runs: a batch's failed ones, or a job's ones of a status. */
export type Selection = { batch_id: string } | { job_id: string; status: RunStatus };

/** What a request for replays has begun. */
export interface BegunReplays {
  operationId: string;
  answer: BulkBody;
  /** Everything is taken in; else `carryOn` goes on with it. */
  isDone: boolean;
}

/** What `failed_count` counts. */
const FAILED: readonly RunStatus[] = ["failed", "timed_out", "crashed", "expired"];
const WHAT = "batch operation";

/** Replays that the request itself takes in: as many as its answer lists. */
const AT_ONCE = 1_000;
/** Runs read at once, with payloads of up to 32 KiB. */
const PAGE = 200;
/** Who carries one on and falls silent is replaced after so long. */
const CLAIM_MS = 60_000;
/** What follows a request may go on for 30 s. */
export const BEHIND_REQUEST_MS = 25_000;
const SWEEPS_A_MINUTE = 50;
const MINUTE_MS = 40_000;

/**
 * Replays what failed of a finished batch, in index order.
 *
 * @throws ApiError `not_found`; `conflict` where it is not finished, nothing of it failed, its runs are no longer kept, or
 *   its job takes nothing.
 */
export async function retryFailed(env: Env, caller: Caller, id: string, context: ReplayContext): Promise<BegunReplays> {
  const batch = await getBatch(env, caller, id, context.project);
  if (batch.finished_at === null)
    throw new ApiError("conflict", `the batch operation is not finished: ${batch.status}`);
  if (failedCount(batch.counts) === 0) throw new ApiError("conflict", "nothing of the batch operation failed");
  return begin(env, caller, context, await planOf(env, caller, id, context.project));
}

/** @throws ApiError `not_found`; `conflict` where the batch's runs are no longer kept. */
async function planOf(env: Env, caller: Caller, batchId: string, project: string | undefined): Promise<Plan> {
  const batch = await getBatch(env, caller, batchId, project);
  await refuseForgotten(env, batch);
  return {
    home: await homeOf(env, caller, batchId, WHAT, project),
    source: { batch_id: batchId },
    statuses: FAILED,
    isSettled: batch.finished_at !== null,
    retryOf: batch,
    expected: failedCount(batch.counts),
  };
}

/** Runs that the retention has taken, or is about to take, have no payload any more. */
async function refuseForgotten(env: Env, batch: BatchRecord): Promise<void> {
  const archive = await findArchive(env, batch.id);
  if (archive === null || archive.state === "writing") return;
  throw new ApiError("conflict", "the runs of the batch operation are no longer kept");
}

/**
 * Replays every run of a selection.
 *
 * @throws ApiError `not_found`; `validation_failed` for a status that is not terminal; `conflict` for a disabled job.
 */
export async function replaySelection(
  env: Env,
  caller: Caller,
  selection: Selection,
  context: ReplayContext,
): Promise<BegunReplays> {
  if ("batch_id" in selection) {
    return begin(env, caller, context, await planOf(env, caller, selection.batch_id, context.project));
  }
  const { job_id, status } = selection;
  if (!isTerminal(status)) {
    throw invalid([
      { path: "status", message: `${status} is not terminal: only runs that have ended can be replayed` },
    ]);
  }
  const home = await findJobForRuns(env, caller, job_id, context.project);
  const plan = { home, source: { job_id: home.id }, statuses: [status], isSettled: false, retryOf: undefined };
  return begin(env, caller, context, { ...plan, expected: 0 });
}

interface Plan {
  home: Home;
  source: ReplaySweep["source"];
  statuses: readonly RunStatus[];
  /** What it selects changes no more. */
  isSettled: boolean;
  /** The batch that it is a retry of. */
  retryOf: BatchRecord | undefined;
  /** How many there will be, where that is known. */
  expected: number;
}

async function begin(env: Env, caller: Caller, context: ReplayContext, plan: Plan): Promise<BegunReplays> {
  const { home, source, statuses, isSettled, retryOf, expected } = plan;
  // A run that has just ended must not be left out.
  if (!(await copyHasCaughtUp(env, home.id))) {
    throw new ApiError("unavailable", "the list of runs is behind; try again", { retryAfterSecs: 1 });
  }
  const opened = await openBatch(env, home, caller, context, retryOf);
  if (opened.kind === "answered") {
    return { operationId: opened.batch_id, answer: JSON.parse(opened.answer.body) as BulkBody, isDone: true };
  }
  const { batch_id: operationId, epoch } = opened;
  const sweep: ReplaySweep = {
    ...{ project_id: home.project_id, job_id: home.id, source, statuses, isSettled },
    ...{ created_by: caller.actorId, traceparent: context.traceparent, after: null, index: 0 },
  };
  await insertSweep(env, operationId, sweep, Date.now() + CLAIM_MS);
  const tally = new BulkTally(env, home, false);
  const run = new SweepRun(env, home, operationId, epoch, sweep, tally);
  const isDone = await run.go(() => tally.counts.total >= AT_ONCE);
  const shown = isDone ? tally.shown() : { results: null, results_truncated: true };
  const answer: BulkBody = { batch_id: operationId, ...(await countsOf(env, home, operationId, tally)), ...shown };
  if (!isDone) answer.total = Math.max(expected, answer.total);
  await run.close(isDone, answer);
  return { operationId, answer, isDone };
}

/** Of what a request that died has taken in only the batch knows what became. */
async function countsOf(env: Env, home: Home, batchId: string, tally: BulkTally): Promise<BulkCounts> {
  const batch = tally.taken === 0 ? null : await coordinatorOf(env, home.id).getBatch(batchId);
  if (batch === null) return tally.counts;
  const { item_count, created_count, duplicate_count, rejected_count } = batch;
  return { total: item_count, created: created_count, duplicates: duplicate_count, rejected: rejected_count };
}

type Opened = Extract<OpenBatchAnswer, { kind: "opened" | "answered" }>;

async function openBatch(
  env: Env,
  home: Home,
  caller: Caller,
  context: ReplayContext,
  retryOf: BatchRecord | undefined,
): Promise<Opened> {
  // What the endpoint bears is the same the second time. What share of failures is too much was said of all of the items.
  const { max_concurrency = null, metadata = {} } = retryOf ?? {};
  const options = {
    ...{ max_concurrency, failure_threshold: null, metadata },
    ...{ webhook_url: null, webhook_secret: null },
  };
  // The same request, sent again after its answer was lost, goes on with what it has begun.
  const request = context.requestId === null ? null : { key: `replay:${context.requestId}`, fingerprint: "" };
  const answer = await askCoordinator(
    env,
    home,
    () => jobById(env, home.id),
    (coordinator, job) =>
      coordinator.openBatch({
        ...acceptedBy(caller, context),
        ...{ revision: job.revision, options, retry_of: retryOf?.id, request },
      }),
  );
  switch (answer.kind) {
    case "opened":
    case "answered":
      return answer;
    case "running":
      throw new ApiError("conflict", "Idempotency-Key: the first request with this key is still running", {
        retryAfterSecs: answer.retry_after_secs,
      });
    case "closed":
      throw closedError(answer.batch_id);
    default:
      throw new Error(`a batch of replays was answered ${answer.kind}`);
  }
}

/**
 * Goes on with replays behind the request that began them, for so long. What is left is the sweeper's.
 *
 * @param until Unix milliseconds.
 */
export async function carryOn(env: Env, operationId: string, until: number): Promise<void> {
  const sweep = await claimSweep(env, operationId, Date.now(), Date.now() + CLAIM_MS);
  if (sweep === null) return;
  const home = await jobById(env, sweep.job_id);
  if (!home) throw notFound("job");
  const pen = await coordinatorOf(env, home.id).resumeBatch(operationId);
  // Canceled or sealed by somebody else: what is left out is not wanted any more.
  if (pen.kind !== "resumed") return deleteSweep(env, operationId);
  const run = new SweepRun(env, home, operationId, pen.epoch, sweep, null);
  try {
    if (await run.go(() => Date.now() >= until)) await run.close(true, null);
  } catch (error) {
    if (!(error instanceof ApiError) || error.status >= 500) throw error;
    // The job takes nothing any more: what was taken in goes on, and no more comes.
    logError("replays_cut_short", { batch_id: operationId }, error.message);
    await run.close(true, null);
  }
}

/** The sweeper's part: replays that nobody carries on. */
export async function carryOnIdle(env: Env): Promise<void> {
  const until = Date.now() + MINUTE_MS;
  for (const id of await listIdleSweeps(env, Date.now(), SWEEPS_A_MINUTE)) {
    if (Date.now() >= until) return;
    try {
      await carryOn(env, id, until);
    } catch (error) {
      logError("replays_not_carried_on", { batch_id: id }, error);
    }
  }
}

/** One stretch of a sweep, by whoever has the pen of its batch. */
class SweepRun {
  private readonly env: Env;
  private readonly home: Home;
  private readonly batchId: string;
  private readonly epoch: number;
  private readonly tally: BulkTally | null;
  private sweep: ReplaySweep;

  constructor(env: Env, home: Home, batchId: string, epoch: number, sweep: ReplaySweep, tally: BulkTally | null) {
    this.env = env;
    this.home = home;
    this.batchId = batchId;
    this.epoch = epoch;
    this.sweep = sweep;
    this.tally = tally;
  }

  /**
   * Takes in page after page until `isEnough`.
   *
   * @returns whether nothing is left.
   */
  async go(isEnough: () => boolean): Promise<boolean> {
    for (;;) {
      const page = await pageOf(this.env, this.sweep);
      const index = await this.take(page.rows);
      // Fenced or sealed: somebody else goes on, or nobody is to.
      if (index === null) return false;
      if (page.next === null) return true;
      this.sweep = { ...this.sweep, after: page.next, index };
      const isOver = isEnough();
      await saveSweep(this.env, this.batchId, this.sweep, isOver ? 0 : Date.now() + CLAIM_MS);
      if (isOver) return false;
      await turnOfOthers();
    }
  }

  /** This stretch is over, or all of it. An answer is kept for a repeat of the request. */
  async close(isDone: boolean, answer: BulkBody | null): Promise<void> {
    const kept = answer === null ? null : { digest: "", item_count: answer.total, body: JSON.stringify(answer) };
    await coordinatorOf(this.env, this.home.id).closeBatch({
      ...{ batch_id: this.batchId, epoch: this.epoch, seal: isDone, answer: kept },
    });
    if (isDone) await deleteSweep(this.env, this.batchId);
  }

  /** @returns the next index; null where the batch takes no more from here. */
  private async take(runs: readonly RunRecord[]): Promise<number | null> {
    // What is selected may have become more since a stretch that died: then an identity of its own keeps a run from being
    // replayed twice. What changes no more is told by its place.
    const identity = this.sweep.isSettled ? null : this.batchId;
    let { index } = this.sweep;
    for await (const chunk of inChunks(replaysOf(this.env, this.home, each(runs), identity))) {
      const taken = await this.accept(index, chunk);
      if (taken === null) return null;
      await this.tally?.add(taken.first, taken.outcomes);
      index = taken.first + chunk.length;
    }
    return index;
  }

  private async accept(first: number, chunk: Replay[]): Promise<{ first: number; outcomes: ItemOutcome[] } | null> {
    const { created_by, traceparent } = this.sweep;
    const answer = await acceptReplays(this.env, this.home, {
      ...{ triggered_by: "replay", created_by, traceparent },
      batch: { id: this.batchId, epoch: this.epoch, first_index: first, hashes: chunk.map(({ run }) => run.id) },
      items: chunk.map(({ item }) => item),
    });
    switch (answer.kind) {
      case "accepted":
        return { first, outcomes: answer.outcomes };
      case "conflict": {
        // Others have come in between since the stretch that died: what follows is new, or a duplicate.
        const batch = await coordinatorOf(this.env, this.home.id).getBatch(this.batchId);
        if (batch === null || batch.item_count <= first || this.sweep.isSettled) {
          throw new Error("replays do not fit their batch");
        }
        return this.accept(batch.item_count, chunk);
      }
      case "fenced":
      case "sealed":
      case "not_found":
        return null;
      default:
        throw new Error(`a chunk of replays was answered ${answer.kind}`);
    }
  }
}

/**
 * The local runtime is one thread, and looks for new requests only where nothing is left to do: page upon page would keep
 * them all waiting until the last one.
 */
const turnOfOthers = (): Promise<void> => new Promise((resume) => setTimeout(resume, 1));

async function* each(runs: readonly RunRecord[]): AsyncGenerator<RunRecord> {
  yield* runs;
}

async function pageOf(env: Env, { project_id, source, statuses, after }: ReplaySweep): Promise<Page<RunRecord>> {
  if ("job_id" in source) return listRuns(env, { project_id, job_id: source.job_id, statuses }, after, PAGE);
  const batch = { id: source.batch_id, project_id };
  const page = await pageOfBatchRuns(env, batch, statuses, after === null ? null : Number(after), PAGE);
  const ids = page.rows.map((row) => row.run_id);
  const runs = new Map((await findRuns(env, project_id, ids)).map((run) => [run.id, run]));
  return { rows: ids.flatMap((id) => runs.get(id) ?? []), next: page.next === null ? null : String(page.next) };
}
