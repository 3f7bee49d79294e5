import { expect, test, vi } from "vitest";
import { ledgerId } from "../../src/domain/id.ts";
import type { Notice } from "../../src/domain/notice.ts";
import { MAX_CHAIN_DEPTH } from "../../src/domain/workflow.ts";
import { sweepWorkflowRuns } from "../../src/operations/workflow-runs.ts";
import { project } from "../../src/store/projection.ts";
import { ask } from "../http/ask.ts";
import { callsOf, env, newWorld, type Run, shape, type World, zoo } from "./world.ts";

/** `on_complete_trigger_workflow` and its mapping (contract 7). */

const trigger = async (w: World, job: string, body: Record<string, unknown>): Promise<string> => {
  const answer = await w.post(`/v1/jobs/${job}/trigger`, body);
  expect(answer.status).toBe(201);
  return answer.body.id;
};

const startedBy = (w: World, workflowId: string, count: number): Promise<Run[]> =>
  vi.waitFor(
    async () => {
      const { data } = await w.get(`/v1/workflow-runs?workflow_id=${workflowId}&limit=200`);
      if (data.length < count || data.some((run: Run) => run.finished_at === null))
        throw new Error(JSON.stringify(data));
      return data;
    },
    { timeout: 25_000, interval: 100 },
  );

test.concurrent("a completed run starts the workflow once, with what the mapping takes from it; a failed one starts nothing", async () => {
  const w = await newWorld();
  const echo = await w.job("/echo");
  const mapped = await w.workflow([{ step_ref: "a", job: echo }], { slug: "mapped" });
  const whole = await w.workflow([{ step_ref: "a", job: echo }], { slug: "whole" });
  const mapping = {
    ...{ user_id: "result.user.id", same: "user.id", tenant: "metadata.tenant", order: "payload.order" },
    ...{ status: "run.status", run: "run.id", none: "result.no.such.thing" },
  };
  const first = await w.job("/echo", { on_complete_trigger_workflow: "mapped", on_complete_payload_mapping: mapping });
  const second = await w.job("/echo", { on_complete_trigger_workflow: "whole" });
  const bad = await w.job("/status/400", { on_complete_trigger_workflow: "whole" });
  const failed = await trigger(w, bad, {});
  const payload = { user: { id: 7 }, order: "o-1" };
  const source = await trigger(w, first, { payload, metadata: { tenant: "acme" } });
  const other = await trigger(w, second, { payload: [1, { two: 3 }] });
  const [run] = await startedBy(w, mapped.id, 1);
  expect(run).toMatchObject({
    ...{ status: "completed", source_run_id: source, depth: 1 },
    payload: {
      ...{ user_id: 7, same: 7, tenant: "acme", order: "o-1" },
      ...{ status: "completed", run: source, none: null },
    },
  });
  const wholes = await startedBy(w, whole.id, 1);
  expect(wholes.map((r) => [r.source_run_id, r.payload])).toEqual([[other, [1, { two: 3 }]]]);
  expect((await w.get(`/v1/runs/${failed}`)).status).toBe("failed");
});

test.concurrent("the trace of a trigger goes through the steps of its workflow, and of the one that follows", async () => {
  const w = await newWorld();
  const mark = crypto.randomUUID();
  const last = await w.job(`/ok?mark=${mark}`);
  const follower = await w.workflow([{ step_ref: "b", job: last }], { slug: "follower" });
  const first = await w.job(`/ok?mark=${mark}`, { on_complete_trigger_workflow: "follower" });
  const workflow = await w.workflow([{ step_ref: "a", job: first }]);
  const trace = { traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", tracestate: "rojo=1" };
  await ask("POST", `/v1/workflows/${workflow.id}/trigger`, { key: w.key, body: {}, headers: trace });
  await startedBy(w, follower.id, 1);
  const log = (await (await fetch(zoo("/__log"))).json()) as { path: string; headers: Record<string, string> }[];
  const calls = log.filter((call) => call.path.includes(mark));
  expect(calls).toHaveLength(2);
  for (const { headers } of calls) expect(headers).toMatchObject(trace);
});

test.concurrent("a chain that comes back to itself ends after ten, and says so", async () => {
  const w = await newWorld();
  const job = await w.job("/ok");
  const loop = await w.workflow([{ step_ref: "a", job }], { slug: "loop" });
  await ask("PATCH", `/v1/jobs/${job}`, { key: w.key, body: { on_complete_trigger_workflow: "loop" } });
  await trigger(w, job, {});
  const runs = await startedBy(w, loop.id, MAX_CHAIN_DEPTH + 1);
  expect(runs.map((run) => run.depth)).toEqual(
    Array.from({ length: MAX_CHAIN_DEPTH + 1 }, (_, i) => MAX_CHAIN_DEPTH + 1 - i),
  );
  const [last, ...others] = runs;
  expect(others.every((run) => run.status === "completed")).toBe(true);
  expect([last?.status, last?.error, last && shape(last)]).toEqual([
    "failed",
    { code: "conflict", message: "a chain of workflows is at most 10 deep" },
    ["a:skipped(workflow_failed)"],
  ]);
}, 60_000);

/** What a coordinator's commit leaves in D1 of a completed run, arriving as often as it likes, and never rung for. */
async function arrives(w: World, jobId: string, seq: number, notices: Notice[]): Promise<void> {
  const doc = { job_version: 1, attempt: 1, max_attempts: 1, created_by: "t", created_at: 1, result: '{"n":1}' };
  const row = [runId(seq), null, null, "completed", 5, "api", null, null, "{}", doc];
  await project(env.DB, {
    ...{
      projectId: w.id,
      jobId,
      runs: [JSON.stringify([row])],
      batches: [],
      items: [],
      notices,
      busy: null,
      stats: null,
    },
  });
}

const runId = (seq: number): string => ledgerId({ at: 1_800_000_000_000, seq, lane: 0, job: 4_000_000 });

test.concurrent("a crash between the completion and the start loses no start and makes no second one", async () => {
  const w = await newWorld();
  const echo = await w.job("/echo");
  const workflow = await w.workflow([{ step_ref: "a", job: echo }], { slug: "after-crash" });
  const id = ledgerId({ at: Date.now(), seq: 1, lane: 0, job: 4_000_000 });
  const notices: Notice[] = [
    { kind: "workflow_start", slug: "after-crash", mapping: { n: "n" }, starts: [[id, runId(1), 1, Date.now()]] },
  ];
  const job = (await w.get(`/v1/jobs/${echo}`)).id;
  await arrives(w, job, 1, notices);
  await arrives(w, job, 1, notices);
  expect((await w.get(`/v1/workflow-runs/${id}`)).status).toBe("queued");
  await sweepWorkflowRuns(env, Date.now());
  expect((await w.get(`/v1/workflow-runs/${id}`)).status).toBe("queued");
  // Nobody rang: the sweeper finds it overdue, and then leaves it alone for a while.
  await sweepWorkflowRuns(env, Date.now() + 31_000);
  await sweepWorkflowRuns(env, Date.now() + 31_000);
  const run = await w.ended(id);
  expect([run.status, run.payload, run.source_run_id]).toEqual(["completed", { n: 1 }, runId(1)]);
  await arrives(w, job, 1, notices);
  await sweepWorkflowRuns(env, Date.now() + 600_000);
  expect(await w.get(`/v1/workflow-runs/${id}`)).toEqual(run);
  expect(await callsOf(run.steps.map((s) => s.run_id))).toEqual([1]);
  expect((await w.get(`/v1/workflow-runs?workflow_id=${workflow.id}`)).data).toHaveLength(1);
});

test.concurrent("a start of a workflow that is no more stands there as failed", async () => {
  const w = await newWorld();
  const job = (await w.get(`/v1/jobs/${await w.job("/ok")}`)).id;
  const id = ledgerId({ at: Date.now(), seq: 2, lane: 0, job: 4_000_000 });
  await arrives(w, job, 2, [
    { kind: "workflow_start", slug: "gone", mapping: null, starts: [[id, runId(2), 1, Date.now()]] },
  ]);
  const run: Run = await w.get(`/v1/workflow-runs/${id}`);
  expect([run.status, run.workflow_id, run.error, run.steps]).toEqual([
    ...["failed", null],
    { code: "not_found", message: "no workflow has the slug gone" },
    [],
  ]);
});

test.concurrent("a signal that was never rung for is made good by the sweeper", async () => {
  const w = await newWorld();
  const hangs = await w.job("/hang", { timeout_secs: 60 });
  const workflow = await w.workflow([{ step_ref: "a", job: hangs }]);
  const { id } = await w.start(workflow.id);
  const before = await w.runOnce(id, (run) => run.steps[0]?.status === "running");
  const runOfStep = before.steps[0]?.run_id as string;
  const overdue = () =>
    env.DB.prepare("SELECT due_at FROM workflow_runs WHERE id = ?").bind(id).first<{ due_at: number }>();
  expect((await overdue())?.due_at).toBeGreaterThan(Date.now() + 10_000);
  const jobId = (await w.get(`/v1/jobs/${hangs}`)).id;
  // As the coordinator's commit would leave it, had the run completed: its row, and the signal.
  const doc = { job_version: 1, attempt: 1, max_attempts: 1, created_by: "t", created_at: 1, result: '"late"' };
  const row = [runOfStep, null, null, "completed", 1_000_000, "workflow", null, null, null, doc];
  const at = Date.now();
  await project(env.DB, {
    ...{ projectId: w.id, jobId, runs: [JSON.stringify([row])], batches: [], items: [], busy: null, stats: null },
    notices: [{ kind: "workflow_signal", workflow_run_ids: [id], at }],
  });
  expect((await overdue())?.due_at).toBe(at);
  await sweepWorkflowRuns(env, Date.now());
  const run = await w.ended(id);
  expect([run.status, run.steps[0]?.result]).toEqual(["completed", "late"]);
  await w.post(`/v1/runs/${runOfStep}/cancel`);
});
