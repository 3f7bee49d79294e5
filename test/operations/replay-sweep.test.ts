import { beforeAll, describe, expect, test } from "vitest";
import { coordinatorOf } from "../../src/coordinator/client.ts";
import type { Job } from "../../src/domain/job.ts";
import type { RunStatus } from "../../src/domain/run.ts";
import type { Caller } from "../../src/operations/authorize.ts";
import { carryOn, carryOnIdle, replaySelection, retryFailed } from "../../src/operations/replay-sweep.ts";
import { copyBatch, copyRuns, env, newJob, newProject, until } from "../http/run-world.ts";

/** Replays of many runs, which go on behind their request and survive whoever carries them on. */

const CONTEXT = { requestId: null, traceparent: null };
let project: string;
let caller: Caller;

beforeAll(async () => {
  project = (await newProject()).id;
  caller = { kind: "key", projectId: project, scopes: ["*"], actorId: "apikey:test" };
});

/** A finished batch of a job of its own whose every third run completed; the ids of the others in index order. */
async function failedBatch(count: number): Promise<{ job: Job; id: string; failed: string[] }> {
  const job = await newJob(project);
  const statuses = Array.from({ length: count }, (_, i): RunStatus => {
    if (i % 3 === 2) return "completed";
    return i % 2 === 0 ? "failed" : "timed_out";
  });
  const failedCount = statuses.filter((s) => s !== "completed").length;
  const counts = { completed: count - failedCount, failed: failedCount, timed_out: 0, crashed: 0, expired: 0 };
  const id = await copyBatch(job, 1, { item_count: count, created_count: count, counts });
  const ids: string[] = [];
  for (let from = 0; from < count; from += 1_000) {
    const rows = statuses.slice(from, from + 1_000).map((status, i) => ({
      ...{ seq: 10 + from + i, batch: id, index: from + i, status },
      payload: JSON.stringify({ n: from + i }),
    }));
    ids.push(...(await copyRuns(job, rows)));
  }
  return { job, id, failed: ids.filter((_, i) => statuses[i] !== "completed") };
}

const batchOf = (job: Job, id: string) => coordinatorOf(env, job.id).getBatch(id);

/** What the copy says that a batch replays, in index order; compared as one text, for a difference of thousands says nothing. */
async function replayed(id: string, count: number): Promise<string[]> {
  const rows = await until(
    async () =>
      (
        await env.DB.prepare("SELECT doc->>'replayed_run_id' AS id FROM runs WHERE batch_id = ? ORDER BY batch_index")
          .bind(id)
          .all<{ id: string }>()
      ).results,
    (got) => got.length === count,
  );
  return rows.map((row) => row.id);
}

const lapse = () => env.DB.prepare("UPDATE replay_sweeps SET claimed_until = 0").run();
const sweeps = async () => (await env.DB.prepare("SELECT batch_id FROM replay_sweeps").all()).results.length;

describe("what failed of a batch", () => {
  test("is replayed in index order, and the answer lists it", async () => {
    const { job, id, failed } = await failedBatch(9);
    const { operationId, answer, isDone } = await retryFailed(env, caller, id, CONTEXT);
    expect(isDone).toBe(true);
    expect(answer).toMatchObject({ batch_id: operationId, total: 6, created: 6, duplicates: 0, rejected: 0 });
    expect(answer.results?.map((r) => [r.index, r.outcome])).toEqual(failed.map((_, i) => [i, "created"]));
    expect(await batchOf(job, operationId)).toMatchObject({ retry_of: id, created_count: 6, status: "queued" });
    expect(await replayed(operationId, 6)).toEqual(failed);
    expect(await sweeps()).toBe(0);
  });

  test("of more than an answer lists goes on behind the request, whoever dies on the way", async () => {
    const { job, id, failed } = await failedBatch(3_000);
    const { operationId, answer, isDone } = await retryFailed(env, caller, id, CONTEXT);
    expect([isDone, answer.total, answer.created, answer.results]).toEqual([false, 2_000, 1_000, null]);
    expect((await batchOf(job, operationId))?.accepted_at).toBeNull();
    // Another stretch, of one page; then somebody who dies behind a page that was taken in and not noted.
    await carryOn(env, operationId, 0);
    expect((await batchOf(job, operationId))?.item_count).toBe(1_200);
    const noted = await env.DB.prepare("SELECT doc FROM replay_sweeps").first<{ doc: string }>();
    await carryOn(env, operationId, 0);
    await env.DB.prepare("UPDATE replay_sweeps SET doc = ?")
      .bind(noted?.doc ?? "")
      .run();
    await lapse();
    // Two at once: the pen has room for one.
    await Promise.all([carryOnIdle(env), carryOnIdle(env)]);
    expect(await batchOf(job, operationId)).toMatchObject({
      ...{ item_count: 2_000, created_count: 2_000, duplicate_count: 0, rejected_count: 0, retry_of: id },
    });
    expect((await batchOf(job, operationId))?.accepted_at).not.toBeNull();
    expect((await replayed(operationId, 2_000)).join() === failed.join()).toBe(true);
    expect(await sweeps()).toBe(0);
  });

  test("is left out from where its batch was canceled", async () => {
    const { job, id } = await failedBatch(3_000);
    const { operationId } = await retryFailed(env, caller, id, CONTEXT);
    await coordinatorOf(env, job.id).cancelBatch(operationId);
    await carryOn(env, operationId, Number.POSITIVE_INFINITY);
    expect(await sweeps()).toBe(0);
    await until(
      async () => (await batchOf(job, operationId)) ?? { status: "canceled" },
      (batch) => batch.status === "canceled",
    );
  });

  test("is replayed once by a request that is sent again after its answer was lost", async () => {
    const { job, id } = await failedBatch(3_000);
    const context = { requestId: "request-1", traceparent: null };
    const first = await retryFailed(env, caller, id, context);
    expect(await retryFailed(env, caller, id, context)).toMatchObject({
      ...{ operationId: first.operationId, answer: first.answer },
    });
    await lapse();
    await carryOnIdle(env);
    expect((await retryFailed(env, caller, id, context)).operationId).toBe(first.operationId);
    expect(await batchOf(job, first.operationId)).toMatchObject({ item_count: 2_000, created_count: 2_000 });
  });
});

describe("a job's runs of a status", () => {
  test("are each replayed once, though more come in between", async () => {
    const job = await newJob(project);
    const run = (i: number) => ({ seq: 10 + i, at: 1_700_000_000_000 + i, status: "failed" as const });
    const failed: string[] = [];
    for (let from = 0; from < 1_500; from += 500) {
      failed.push(
        ...(await copyRuns(
          job,
          Array.from({ length: 500 }, (_, i) => run(2 * (from + i))),
        )),
      );
    }
    const selection = { job_id: job.id, status: "failed" as const };
    const { operationId, isDone } = await replaySelection(env, caller, selection, CONTEXT);
    expect(isDone).toBe(false);
    const noted = await env.DB.prepare("SELECT doc FROM replay_sweeps").first<{ doc: string }>();
    await carryOn(env, operationId, 0);
    // The stretch died before it was noted, and a run failed late among those that it had taken.
    const late = await copyRuns(job, [run(801)]);
    await env.DB.prepare("UPDATE replay_sweeps SET doc = ?")
      .bind(noted?.doc ?? "")
      .run();
    await lapse();
    await carryOnIdle(env);
    const batch = await batchOf(job, operationId);
    expect(batch).toMatchObject({ created_count: 1_501, rejected_count: 0 });
    const all = await replayed(operationId, 1_501);
    expect(all.sort().join() === [...failed, ...late].sort().join()).toBe(true);
  });
});
