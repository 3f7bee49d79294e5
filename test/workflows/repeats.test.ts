import { afterEach, expect, test, vi } from "vitest";
import { uuidV7 } from "../../src/domain/id.ts";
import { workflowPorts } from "../../src/operations/workflow-steps.ts";
import { insertWorkflowRun } from "../../src/store/workflow-runs.ts";
import { look } from "../../src/workflows/advance.ts";
import type { WorkflowPorts } from "../../src/workflows/ports.ts";
import { ask } from "../http/ask.ts";
import { callsOf, env, newWorld, type Run, shape, type World } from "./world.ts";

/** Looks that die half way, happen twice, or come too late; instances that are repeated. */

afterEach(() => {
  vi.useRealTimers();
});

const seen = (id: string, ports: WorkflowPorts = workflowPorts) => look(env, ports, id, 60_000, Date.now);

/** Triggers, and is gone before anybody hears of it. */
const dying: WorkflowPorts = {
  ...workflowPorts,
  startStep: async (...args) => {
    await workflowPorts.startStep(...args);
    throw new Error("the machine is gone");
  },
};

/** A workflow run that no instance looks at yet, of a job whose runs wait. */
async function asleep(w: World, job: Record<string, unknown> = {}): Promise<{ id: string; slug: string }> {
  const slug = await w.job("/ok", job);
  await w.post(`/v1/jobs/${slug}/pause`);
  const workflow = await w.workflow([
    { step_ref: "a", job: slug },
    { step_ref: "b", job: slug, depends_on: ["a"] },
  ]);
  const id = uuidV7(Date.now(), crypto.getRandomValues(new Uint8Array(10)));
  const stored = await env.DB.prepare("SELECT revision FROM workflows WHERE id = ?").bind(workflow.id).first();
  await insertWorkflowRun(env.DB, {
    ...{ id, workflow_id: workflow.id, revision: stored?.revision as number, depth: 1, created_by: "test" },
    ...{ payload: "{}", payload_ref: null, trace: null, created_at: Date.now(), due_at: Date.now() + 600_000 },
  });
  return { id, slug };
}

const waitingRuns = async (w: World, slug: string): Promise<number> =>
  (await w.get(`/v1/jobs/${slug}/health`)).waiting as number;

test("a look that died after it had triggered is repeated without a second run, however short the job's own window", async () => {
  const w = await newWorld();
  const { id, slug } = await asleep(w, { dedup_window_secs: 1 });
  await expect(seen(id, dying)).rejects.toThrow("the machine is gone");
  expect(await waitingRuns(w, slug)).toBe(1);
  expect(shape(await w.get(`/v1/workflow-runs/${id}`))).toEqual(["a:pending", "b:pending"]);
  vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + 2_000 });
  expect((await seen(id)).kind).toBe("wait");
  expect(await waitingRuns(w, slug)).toBe(1);
  vi.useRealTimers();
  await w.post(`/v1/jobs/${slug}/resume`);
  const run = await w.ended(id);
  expect(run.status).toBe("completed");
  expect(await callsOf(run.steps.map((s) => s.run_id))).toEqual([1, 1]);
});

test("a cancel after such a death cancels what nobody had written down", async () => {
  const w = await newWorld();
  const { id, slug } = await asleep(w);
  await expect(seen(id, dying)).rejects.toThrow("the machine is gone");
  const canceled = await w.post(`/v1/workflow-runs/${id}/cancel`);
  expect(shape(canceled.body)).toEqual(["a:canceled", "b:canceled"]);
  await seen(id);
  expect(await waitingRuns(w, slug)).toBe(0);
  const { steps }: Run = await w.get(`/v1/workflow-runs/${id}`);
  expect((await w.get(`/v1/runs/${steps[0]?.run_id}`)).status).toBe("canceled");
});

test("a cancel between the trigger and its record is in force too", async () => {
  const w = await newWorld();
  const { id, slug } = await asleep(w);
  const overtaken: WorkflowPorts = {
    ...workflowPorts,
    startStep: async (...args) => {
      const start = await workflowPorts.startStep(...args);
      await w.post(`/v1/workflow-runs/${id}/cancel`);
      return start;
    },
  };
  expect((await seen(id, overtaken)).kind).toBe("again");
  expect((await seen(id)).kind).toBe("ended");
  expect(await waitingRuns(w, slug)).toBe(0);
  expect(shape(await w.get(`/v1/workflow-runs/${id}`))).toEqual(["a:canceled", "b:canceled"]);
});

test("a look that comes too late takes back what it has begun", async () => {
  const w = await newWorld();
  const slug = await w.job("/ok");
  await w.post(`/v1/jobs/${slug}/pause`);
  const workflow = await w.workflow([{ step_ref: "a", job: slug, sleep_secs: 1_000 }]);
  const { id } = await w.start(workflow.id);
  await w.runOnce(id, (run) => run.steps[0]?.status === "sleeping");
  const overtaken: WorkflowPorts = {
    ...workflowPorts,
    startStep: async (...args) => {
      const start = await workflowPorts.startStep(...args);
      // Meanwhile another look sees the workflow fail, and skips what this one is beginning.
      await env.DB.prepare("UPDATE workflow_run_steps SET status = 'skipped', ver = 3 WHERE workflow_run_id = ?")
        .bind(id)
        .run();
      return start;
    },
  };
  await look(env, overtaken, id, 60_000, () => Date.now() + 1_001_000);
  expect(await waitingRuns(w, slug)).toBe(0);
  expect((await w.ended(id)).steps[0]?.status).toBe("skipped");
});

test("looks at the same time begin each step once", async () => {
  const w = await newWorld();
  const { id, slug } = await asleep(w);
  await Promise.all([seen(id), seen(id), seen(id)]);
  expect(await waitingRuns(w, slug)).toBe(1);
  await w.post(`/v1/jobs/${slug}/resume`);
  expect(await callsOf((await w.ended(id)).steps.map((s) => s.run_id))).toEqual([1, 1]);
});

test("an instance that is created again, or started anew, does nothing twice", async () => {
  const w = await newWorld();
  const ok = await w.job("/ok");
  const slow = await w.job("/slow?ms=1500");
  const workflow = await w.workflow([
    { step_ref: "a", job: ok },
    { step_ref: "b", job: slow, depends_on: ["a"] },
    { step_ref: "c", job: ok, depends_on: ["b"] },
  ]);
  const { id } = await w.start(workflow.id);
  await w.runOnce(id, (run) => run.steps[1]?.status === "running");
  await env.WORKFLOW_RUNS.create({ id, params: {} });
  await (await env.WORKFLOW_RUNS.get(id)).restart();
  const run = await w.ended(id);
  expect([run.status, ...shape(run)]).toEqual(["completed", "a:completed", "b:completed", "c:completed"]);
  expect(await callsOf(run.steps.map((s) => s.run_id))).toEqual([1, 1, 1]);
  await (await env.WORKFLOW_RUNS.get(id)).restart();
  await vi.waitFor(async () => {
    expect((await (await env.WORKFLOW_RUNS.get(id)).status()).status).toBe("complete");
  });
  expect(await w.get(`/v1/workflow-runs/${id}`)).toEqual(run);
});

test("a step whose job cannot be asked just now waits, and the others go on", async () => {
  const w = await newWorld();
  const { id, slug } = await asleep(w);
  let refusals = 0;
  const stumbling: WorkflowPorts = {
    ...workflowPorts,
    startStep: async () => {
      refusals++;
      return { kind: "unavailable" };
    },
  };
  const first = await seen(id, stumbling);
  expect([refusals, first.kind, first.kind === "wait" && first.ms <= 5_000]).toEqual([1, "wait", true]);
  expect(shape(await w.get(`/v1/workflow-runs/${id}`))).toEqual(["a:pending", "b:pending"]);
  await seen(id);
  expect(await waitingRuns(w, slug)).toBe(1);
  expect((await ask("POST", `/v1/workflow-runs/${id}/cancel`, { key: w.key, body: {} })).status).toBe(200);
});
