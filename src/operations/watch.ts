import type { BatchMessage, RunMessage } from "../coordinator/watch-protocol.ts";
import type { BatchRecord } from "../domain/batch.ts";
import { parseLedgerId } from "../domain/id.ts";
import { isTerminal } from "../domain/run.ts";
import { markedVersion, versionOfEvent } from "../domain/version-mark.ts";
import type { Env } from "../env.ts";
import { runVersion } from "../store/runs.ts";
import type { Caller } from "./authorize.ts";
import { getBatch } from "./batches.ts";
import { join, type Watcher } from "./feed.ts";
import { homeOf } from "./ledger-home.ts";
import { getRun, type ShownRun } from "./runs.ts";

export interface WatchOptions {
  project?: string;
  /** The `ver` that the caller has seen last. One that belongs to another object is ignored. */
  lastEventId?: string;
  /** Aborted: the watching ends. So it does where the iteration is left. */
  signal?: AbortSignal;
}

/**
 * A state of a batch. `state`: the first one, and wherever `status` changed; `progress`: other changes, at most four a
 * second. `ver` is the batch's persisted version, the event's `id`.
 */
export interface BatchEvent {
  event: "state" | "progress";
  ver: number;
  batch: BatchRecord;
}

/** A state of a run, with its attempts. `ver` only rises. */
export interface RunEvent {
  ver: number;
  run: ShownRun;
}

/**
 * Watches a batch: the present state at once, every change of status, and the end last. Nothing at all where the caller's
 * `lastEventId` is the end.
 *
 * @throws ApiError `not_found`, before the first item.
 */
export async function watchBatch(
  env: Env,
  caller: Caller,
  id: string,
  { project, lastEventId, signal }: WatchOptions = {},
): Promise<AsyncIterable<BatchEvent>> {
  const home = await homeOf(env, caller, id, "batch operation", project);
  const watcher = join<BatchMessage>(
    env,
    {
      target: { kind: "batch", id },
      jobId: home.id,
      isMilestone: (before, after) => before.batch.status !== after.batch.status,
      readEnd: async (own) => {
        const batch = await getBatch(own, caller, id, project);
        return { ver: batch.ver, ended: batch.finished_at !== null, batch };
      },
    },
    signal,
  );
  let status: string | null = null;
  return follow(watcher, versionOfEvent(lastEventId, id), ({ ver, batch }) => {
    const event = batch.status === status ? "progress" : "state";
    status = batch.status;
    return { event, ver, batch };
  });
}

/**
 * Watches a run: the present state at once, every change of its status, and the end last. Nothing at all where the
 * caller's `lastEventId` is the end.
 *
 * @throws ApiError `not_found`, before the first item.
 */
export async function watchRun(
  env: Env,
  caller: Caller,
  id: string,
  { project, lastEventId, signal }: WatchOptions = {},
): Promise<AsyncIterable<RunEvent>> {
  const home = await homeOf(env, caller, id, "run", project);
  const first = await getRun(env, caller, id, project);
  const readEnd = async (own: Env): Promise<RunMessage> => {
    const { run, result } = await getRun(own, caller, id, project);
    const seq = parseLedgerId(id)?.seq ?? 0;
    const ver = await runVersion(own, home.project_id, id);
    return { ver: markedVersion(ver, seq, home.number), ended: isTerminal(run.status), run: { ...run, result } };
  };
  const watcher = join<RunMessage>(
    env,
    { target: { kind: "run", id }, jobId: home.id, isMilestone: (a, b) => stage(a) !== stage(b), readEnd },
    signal,
  );
  let told: string | null = null;
  return follow(watcher, versionOfEvent(lastEventId, id), (message) => {
    const { ver, run } = message;
    if (stage(message) === told) return null;
    told = stage(message);
    return { ver, run: { ...first, run, result: run.result } };
  });
}

const stage = ({ run }: RunMessage): string => `${run.status} ${run.attempt} ${run.used_fallback}`;

/**
 * What `show` makes of each message; null is left out. The first one is waited for here, so that a failure is thrown
 * before anything is answered.
 */
async function follow<M extends BatchMessage | RunMessage, E>(
  watcher: Watcher<M>,
  seen: number | null,
  show: (message: M) => E | null,
): Promise<AsyncIterableIterator<E>> {
  let pending: IteratorResult<M, undefined> | null = await watcher.next();
  if (pending.value?.ended && pending.value.ver === seen) pending = { done: true, value: undefined };
  const events: AsyncIterableIterator<E> = {
    [Symbol.asyncIterator]: () => events,
    async next() {
      for (;;) {
        const { done, value } = pending ?? (await watcher.next());
        pending = null;
        if (done) return { done, value };
        const event = show(value);
        if (event !== null) return { done: false, value: event };
      }
    },
    async return() {
      await watcher.return();
      return { done: true, value: undefined };
    },
  };
  return events;
}
