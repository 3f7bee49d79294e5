import { expect, test } from "vitest";
import { coordinatorOf } from "../../src/coordinator/client.ts";
import type { Caller } from "../../src/operations/authorize.ts";
import { replaySelection } from "../../src/operations/replay-sweep.ts";
import { listRuns } from "../../src/store/runs.ts";
import { copyRuns, env, newJob, newProject, until } from "../http/run-world.ts";

const caller = (projectId: string): Caller => ({ kind: "key", projectId, scopes: ["*"], actorId: "apikey:test" });

test("sweeps that go on where the one before stopped replay each run once", async () => {
  const project = await newProject();
  const job = await newJob(project.id);
  const failed = await copyRuns(
    job,
    Array.from({ length: 23 }, (_, seq) => ({
      seq: seq + 100,
      at: 1_700_000_000_000 + seq,
      status: "failed" as const,
    })),
  );
  const context = { requestId: null, traceparent: null };
  const selection = { job_id: job.id, status: "failed" as const };
  const counts: number[] = [];
  let after: string | null = null;
  do {
    const swept = await replaySelection(env, caller(project.id), selection, context, after, 10);
    const batch = await coordinatorOf(env, job.id).getBatch(swept.operationId);
    expect(batch).toMatchObject({ item_count: swept.replayed, created_count: swept.replayed, retry_of: null });
    expect(batch?.accepted_at).not.toBeNull();
    counts.push(swept.replayed);
    after = swept.next;
  } while (after !== null);
  expect(counts).toEqual([10, 10, 3]);
  const replays = await until(
    () => listRuns(env, { project_id: project.id, triggered_by: "replay" }, null, 100),
    (page) => page.rows.length >= failed.length,
  );
  expect(replays.rows.map((r) => r.replayed_run_id).sort()).toEqual([...failed].sort());
});

test("a sweep that died half way, sent again, replays only what is missing", async () => {
  const project = await newProject();
  const job = await newJob(project.id);
  await copyRuns(
    job,
    Array.from({ length: 12 }, (_, seq) => ({
      seq: seq + 100,
      at: 1_700_000_000_000 + seq,
      status: "failed" as const,
    })),
  );
  const selection = { job_id: job.id, status: "failed" as const };
  const context = { requestId: "request-1", traceparent: null };
  // The first try gets through seven of them.
  await replaySelection(env, caller(project.id), selection, context, null, 7);
  const again = await replaySelection(env, caller(project.id), selection, context, null);
  expect(await coordinatorOf(env, job.id).getBatch(again.operationId)).toMatchObject({
    item_count: 12,
    created_count: 5,
    duplicate_count: 7,
  });
  const other = await replaySelection(env, caller(project.id), selection, { ...context, requestId: "request-2" }, null);
  expect(await coordinatorOf(env, job.id).getBatch(other.operationId)).toMatchObject({ created_count: 12 });
});
