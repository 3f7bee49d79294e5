import {
  type AcceptItem,
  type AcceptRequest,
  type ItemOutcome,
  isRejected,
  MAX_CHUNK_BYTES,
  MAX_CHUNK_ITEMS,
  type RejectedItem,
} from "../coordinator/protocol.ts";
import { ApiError, notFound } from "../domain/error.ts";
import { ledgerId } from "../domain/id.ts";
import { isTerminal, type RunRecord } from "../domain/run.ts";
import type { Env } from "../env.ts";
import { findRuns } from "../store/runs.ts";
import type { Caller } from "./authorize.ts";
import { askCoordinator } from "./coordinator-refusal.ts";
import { jobById, versionByRef } from "./jobs.ts";
import { type Home, homeOf } from "./ledger-home.ts";
import { byHome, refused, type SteerResult } from "./run-steering.ts";
import { loadRun, payloadOf, type ShownRun, seekRun, showRun } from "./runs.ts";

/** A replay is a new run of an old run's payload, tags, metadata, priority and keys, on the job as it is now. */

/** What a request for replays says beside the runs. */
export interface ReplayContext {
  /** The same for every repeat of the request, so that no run is replayed twice by it; null where it has no key. */
  requestId: string | null;
  traceparent: string | null;
  project?: string;
}

/** What becomes of an item that is in no batch. */
type Outcome = Exclude<ItemOutcome, { o: "taken" }>;

/** A run to replay, as the coordinator takes it. */
export interface Replay {
  run: RunRecord;
  item: AcceptItem | RejectedItem;
}

/**
 * Replays one run.
 *
 * @returns the new run.
 * @throws ApiError `not_found`; `conflict` where it is not terminal, its payload is gone, or the job is disabled.
 */
export async function replayRun(env: Env, caller: Caller, id: string, context: ReplayContext): Promise<ShownRun> {
  const home = await homeOf(env, caller, id, "run", context.project);
  const { item } = await replayOf(env, home, await loadRun(env, home, id), context.requestId);
  const [outcome] = isRejected(item) ? [rejectedBy(item)] : await accept(env, home, caller, context, [item]);
  if (!outcome || outcome.o === "rejected") throw new ApiError("conflict", outcome?.error.message ?? "not accepted");
  return showRun(env, await loadRun(env, home, newIdOf(home, outcome)));
}

/** Replays up to 500 runs of any jobs, each by itself; results in the order asked for. */
export async function replayRuns(
  env: Env,
  caller: Caller,
  ids: string[],
  context: ReplayContext,
): Promise<SteerResult[]> {
  const results = new Map<string, SteerResult>();
  for (const { home, ids: theirs } of await byHome(env, caller, ids, context.project)) {
    for await (const chunk of inChunks(replaysOf(env, home, loadRuns(env, home, theirs), context.requestId))) {
      const outcomes = await tryAccept(env, home, caller, context, chunk);
      chunk.forEach(({ run }, i) => {
        const outcome = outcomes[i];
        if (outcome) results.set(run.id, replayResult(home, run, outcome));
      });
    }
  }
  return ids.map((id) => results.get(id) ?? refused(id, notFound("run")));
}

/** A job that takes nothing refuses its own runs only. */
async function tryAccept(
  env: Env,
  home: Home,
  caller: Caller,
  context: ReplayContext,
  chunk: Replay[],
): Promise<(Outcome | ApiError)[]> {
  const good = chunk.flatMap(({ item }) => (isRejected(item) ? [] : [item]));
  let outcomes: Iterator<Outcome>;
  try {
    outcomes = (good.length === 0 ? [] : await accept(env, home, caller, context, good)).values();
  } catch (error) {
    if (!(error instanceof ApiError) || error.status >= 500) throw error;
    return chunk.map(() => error);
  }
  return chunk.map(({ item }) => (isRejected(item) ? rejectedBy(item) : (outcomes.next().value as Outcome)));
}

function replayResult(home: Home, run: RunRecord, outcome: Outcome | ApiError): SteerResult {
  if (outcome instanceof ApiError) return refused(run.id, outcome, run.status);
  if (outcome.o === "rejected") return refused(run.id, new ApiError("conflict", outcome.error.message), run.status);
  return {
    id: run.id,
    outcome: "replayed",
    status: outcome.status,
    new_run_id: newIdOf(home, outcome),
    error: null,
  };
}

const rejectedBy = (item: RejectedItem): Outcome => ({ o: "rejected", error: item.error });

/** A duplicate is what an earlier try of this very request made. */
const newIdOf = (home: Home, outcome: Exclude<Outcome, { o: "rejected" }>): string =>
  outcome.o === "duplicate" ? outcome.of : ledgerId({ at: outcome.at, seq: outcome.seq, lane: 0, job: home.number });

async function accept(
  env: Env,
  home: Home,
  caller: Caller,
  context: ReplayContext,
  items: AcceptItem[],
): Promise<Outcome[]> {
  const answer = await acceptReplays(env, home, { ...acceptedBy(caller, context), items });
  if (answer.kind !== "accepted") throw new Error(`items without a batch were answered ${answer.kind}`);
  return answer.outcomes.filter((o) => o.o !== "taken");
}

export const acceptedBy = (caller: Caller, context: ReplayContext) => ({
  triggered_by: "replay" as const,
  created_by: caller.actorId,
  traceparent: context.traceparent,
});

/** Hands a chunk to the coordinator, whatever configuration it has. */
export function acceptReplays(env: Env, home: Home, request: Omit<AcceptRequest, "revision">) {
  const isKeyless = request.batch === undefined && request.items.every((item) => !("identity" in item));
  const once = isKeyless ? crypto.randomUUID() : undefined;
  return askCoordinator(
    env,
    home,
    () => jobById(env, home.id),
    (coordinator, job) => coordinator.accept({ ...request, once, revision: job.revision }),
  );
}

// ---------------------------------------------------------------------------------------------- the runs

const COPIES_AT_ONCE = 50;

/** Runs by their ids: terminal ones from the copy, the others from the coordinator. Unknown ones are left out. */
async function* loadRuns(env: Env, home: Home, ids: string[]): AsyncGenerator<RunRecord> {
  for (let i = 0; i < ids.length; i += COPIES_AT_ONCE) {
    const some = ids.slice(i, i + COPIES_AT_ONCE);
    const copies = new Map((await findRuns(env, home.project_id, some)).map((run) => [run.id, run]));
    for (const id of some) {
      const copy = copies.get(id);
      const run = copy && isTerminal(copy.status) ? copy : await seekRun(env, home, id);
      if (run) yield run;
    }
  }
}

/** Makes replays of runs, one at a time: a payload may be 1 MiB. */
export async function* replaysOf(
  env: Env,
  home: Home,
  runs: AsyncIterable<RunRecord>,
  requestId: string | null,
): AsyncGenerator<Replay> {
  for await (const run of runs) yield await replayOf(env, home, run, requestId);
}

async function replayOf(env: Env, home: Home, run: RunRecord, requestId: string | null): Promise<Replay> {
  const reject = (message: string): Replay => ({ run, item: { error: { code: "conflict", message, details: [] } } });
  if (!isTerminal(run.status)) return reject(`only a run that has ended can be replayed; this one is ${run.status}`);
  const payload = await payloadOf(env, run);
  if (payload === null) return reject("the run's payload is no longer kept");
  const item: AcceptItem = { payload, replayed_run_id: run.id };
  if (requestId !== null) item.identity = `r:${requestId}:${run.id}`;
  if (run.priority !== 0) item.priority = run.priority;
  if (run.concurrency_key !== null) item.concurrency_key = run.concurrency_key;
  if (run.rate_limit_keys !== null) item.rate_limit_keys = run.rate_limit_keys;
  if (Object.keys(run.tags).length > 0) item.tags = run.tags;
  if (Object.keys(run.metadata).length > 0) item.metadata = run.metadata;
  // A number of attempts of the run's own stays its own; the job's may have changed.
  const version = await versionByRef(env, home, run.job_version);
  if (version && version.spec.max_attempts !== run.max_attempts) item.max_attempts = run.max_attempts;
  return { run, item };
}

/** Groups as large as one call to the coordinator takes. */
export async function* inChunks(replays: AsyncIterable<Replay>): AsyncGenerator<Replay[]> {
  let chunk: Replay[] = [];
  let bytes = 0;
  for await (const replay of replays) {
    const size = isRejected(replay.item) ? 0 : utf8Bytes(replay.item.payload);
    if (chunk.length > 0 && (chunk.length >= MAX_CHUNK_ITEMS || bytes + size > MAX_CHUNK_BYTES)) {
      yield chunk;
      chunk = [];
      bytes = 0;
    }
    chunk.push(replay);
    bytes += size;
  }
  if (chunk.length > 0) yield chunk;
}

const encoder = new TextEncoder();
const utf8Bytes = (text: string): number => encoder.encode(text).byteLength;
