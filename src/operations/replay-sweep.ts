import { coordinatorOf } from "../coordinator/client.ts";
import type { AcceptAnswer } from "../coordinator/protocol.ts";
import { ApiError, invalid } from "../domain/error.ts";
import { isTerminal, type RunRecord, type RunStatus } from "../domain/run.ts";
import type { Env } from "../env.ts";
import { listRuns, type RunFilter } from "../store/runs.ts";
import type { Caller } from "./authorize.ts";
import { getBatch } from "./batches.ts";
import { askCoordinator } from "./coordinator-refusal.ts";
import { copyHasCaughtUp } from "./copy.ts";
import { jobById } from "./jobs.ts";
import { findJobForRuns, type Home, homeOf } from "./ledger-home.ts";
import { acceptedBy, acceptReplays, inChunks, type Replay, type ReplayContext, replaysOf } from "./replay.ts";

/** Which runs a sweep replays: a batch's failed ones, or a job's ones of a status. */
export type Selection = { batch_id: string } | { job_id: string; status: RunStatus };

export interface SweepOutcome {
  /** The new batch operation that holds the replays. */
  operationId: string;
  replayed: number;
  /** Where a further request is to go on; null where nothing is left out. */
  next: string | null;
}

/** Replays in one request; the rest is for the next. */
export const MAX_SWEEP = 10_000;
const PAGE = 200;
/** Pages in one request; a page of a rare status costs up to ten statements, and an invocation has a thousand. */
const MAX_PAGES = 90;

/** What `failed_count` counts. */
const FAILED: readonly RunStatus[] = ["failed", "timed_out", "crashed", "expired"];

/**
 * Replays every run of a selection, newest first, as a new batch operation of the same job.
 *
 * @param after `next` of the request before, or null.
 * @param max of runs in this request.
 * @throws ApiError `not_found`; `validation_failed` for a status that is not terminal; `conflict` for a disabled job.
 */
export async function replaySelection(
  env: Env,
  caller: Caller,
  selection: Selection,
  context: ReplayContext,
  after: string | null,
  max = MAX_SWEEP,
): Promise<SweepOutcome> {
  const { home, filter } = await resolveSelection(env, caller, selection, context.project);
  // A run that has just ended must not be left out.
  if (!(await copyHasCaughtUp(env, home.id))) {
    throw new ApiError("unavailable", "the list of runs is behind; try again", { retryAfterSecs: 1 });
  }
  const batch = await openBatch(env, home, caller, selection, context);
  const runs = new Sweep(env, filter, after, max);
  const sweep = { operationId: batch.batch_id, replayed: 0 };
  try {
    let index = 0;
    for await (const chunk of inChunks(replaysOf(env, home, runs.read(), context.requestId))) {
      const answer = await acceptChunk(env, home, caller, context, { ...batch, index }, chunk);
      // Canceled or sealed by somebody else: what is left out is not wanted any more.
      if (answer.kind !== "accepted") return { ...sweep, next: null };
      index += chunk.length;
      sweep.replayed += answer.outcomes.filter((o) => o.o !== "rejected").length;
    }
  } finally {
    // What was taken in goes on, whatever has happened to the rest.
    await coordinatorOf(env, home.id).closeBatch({
      batch_id: batch.batch_id,
      epoch: batch.epoch,
      seal: true,
      answer: null,
    });
  }
  return { ...sweep, next: runs.next };
}

/** The runs of a filter, page by page, at most `max` of them. */
class Sweep {
  /** The key to go on after; null once the end is reached. */
  next: string | null;
  private readonly env: Env;
  private readonly filter: RunFilter;
  private readonly max: number;

  constructor(env: Env, filter: RunFilter, after: string | null, max: number) {
    this.env = env;
    this.filter = filter;
    this.next = after;
    this.max = max;
  }

  async *read(): AsyncGenerator<RunRecord> {
    for (let read = 0, pages = 0; read < this.max && pages < MAX_PAGES; pages++) {
      const page = await listRuns(this.env, this.filter, this.next, Math.min(PAGE, this.max - read));
      read += page.rows.length;
      this.next = page.next;
      yield* page.rows;
      if (page.next === null) return;
    }
  }
}

async function resolveSelection(
  env: Env,
  caller: Caller,
  selection: Selection,
  project: string | undefined,
): Promise<{ home: Home; filter: RunFilter }> {
  if ("batch_id" in selection) {
    const { batch_id } = selection;
    const home = await homeOf(env, caller, batch_id, "batch operation", project);
    await getBatch(env, caller, batch_id, project);
    return { home, filter: { project_id: home.project_id, batch_id, statuses: FAILED } };
  }
  const { job_id, status } = selection;
  if (!isTerminal(status)) {
    throw invalid([
      { path: "status", message: `${status} is not terminal: only runs that have ended can be replayed` },
    ]);
  }
  const home = await findJobForRuns(env, caller, job_id, project);
  return { home, filter: { project_id: home.project_id, job_id: home.id, statuses: [status] } };
}

async function openBatch(env: Env, home: Home, caller: Caller, selection: Selection, context: ReplayContext) {
  const original = "batch_id" in selection ? selection.batch_id : undefined;
  const answer = await askCoordinator(
    env,
    home,
    () => jobById(env, home.id),
    (coordinator, job) =>
      coordinator.openBatch({
        ...acceptedBy(caller, context),
        revision: job.revision,
        options: {
          max_concurrency: null,
          failure_threshold: null,
          metadata: {},
          webhook_url: null,
          webhook_secret: null,
        },
        retry_of: original,
        request: null,
      }),
  );
  if (answer.kind !== "opened") throw new Error(`a batch without a request key was answered ${answer.kind}`);
  return answer;
}

async function acceptChunk(
  env: Env,
  home: Home,
  caller: Caller,
  context: ReplayContext,
  batch: { batch_id: string; epoch: number; index: number },
  chunk: Replay[],
): Promise<Extract<AcceptAnswer, { kind: "accepted" | "sealed" | "fenced" }>> {
  const answer = await acceptReplays(env, home, {
    ...acceptedBy(caller, context),
    batch: {
      id: batch.batch_id,
      epoch: batch.epoch,
      first_index: batch.index,
      hashes: chunk.map(({ run }) => run.id),
    },
    items: chunk.map(({ item }) => item),
  });
  if (answer.kind === "accepted" || answer.kind === "sealed" || answer.kind === "fenced") return answer;
  throw new Error(`a chunk of replays was answered ${answer.kind}`);
}
