import { describe, expect, test, vi } from "vitest";
import { ask } from "../http/ask.ts";
import { callsOf, newWorld, shape } from "./world.ts";

/** Workflow runs from end to end: real instances, coordinators, queues, D1 and HTTP. */

describe.concurrent("a diamond", () => {
  test.concurrent("runs from top to bottom, each step with what the others left", async () => {
    const w = await newWorld();
    const echo = await w.job("/echo");
    const big = await w.job("/json-int20");
    const workflow = await w.workflow([
      { step_ref: "a", job: echo },
      { step_ref: "b", job: big, depends_on: ["a"], condition: "steps.a.result.n > 1" },
      { step_ref: "c", job: echo, depends_on: ["a"], payload: { from: "{{steps.a.result.name}} & co" } },
      {
        step_ref: "d",
        job: echo,
        depends_on: ["b", "c"],
        payload: {
          n: "{{steps.b.result.n}}",
          c: "{{steps.c.result}}",
          s: "{{steps.a.status}}",
          p: "{{payload.list[1]}}",
        },
      },
    ]);
    const payload = '{"n":2,"name":"Ada","list":[1,12345678901234567890]}';
    const answer = await ask("POST", `/v1/workflows/${workflow.slug}/trigger`, {
      key: w.key,
      body: `{"payload":${payload}}`,
      headers: { "Content-Type": "application/json" },
    });
    expect([answer.status, answer.body.status]).toEqual([201, "queued"]);
    const run = await w.ended(answer.body.id);
    expect([run.status, ...shape(run)]).toEqual([
      "completed",
      ...["a:completed", "b:completed", "c:completed", "d:completed"],
    ]);
    const text = await (await raw(w.key, `/v1/workflow-runs/${run.id}`)).text();
    expect(text).toContain(`"payload":${payload}`);
    expect(text).toContain(
      '"result":{"n":12345678901234567890,"c":{"from":"Ada & co"},"s":"completed","p":12345678901234567890}',
    );
    // Each of them is an ordinary run.
    for (const step of run.steps) {
      const one = await w.get(`/v1/runs/${step.run_id}`);
      expect(one).toMatchObject({
        status: "completed",
        triggered_by: "workflow",
        created_by: "system:workflow",
        tags: { workflow_run: run.id, workflow_step: step.step_ref },
      });
    }
    const listed = await w.get(`/v1/runs?triggered_by=workflow&tag=workflow_run:${run.id}`);
    expect(listed.data).toHaveLength(4);
    expect(await callsOf(run.steps.map((s) => s.run_id))).toEqual([1, 1, 1, 1]);
  });

  test.concurrent("with a failing branch ends as its policy says", async () => {
    const w = await newWorld();
    const ok = await w.job("/ok");
    const bad = await w.job("/status/500");
    const diamond = (on_failure: string) =>
      w.workflow([
        { step_ref: "a", job: ok },
        { step_ref: "b", job: bad, depends_on: ["a"], on_failure },
        { step_ref: "c", job: ok, depends_on: ["a"] },
        {
          step_ref: "d",
          job: ok,
          depends_on: ["b", "c"],
          payload: { b: "{{steps.b.result}}", e: "{{steps.b.error.class}}" },
        },
        { step_ref: "e", job: ok, depends_on: ["d"] },
      ]);
    const runs = [];
    for (const policy of ["fail_workflow", "skip_dependents", "continue"])
      runs.push(await w.start((await diamond(policy)).id));
    const [fatal, skipping, going] = await Promise.all(runs.map((run) => w.ended(run.id)));
    expect([fatal?.status, skipping?.status, going?.status]).toEqual(["failed", "completed", "completed"]);
    const shapes = [fatal, skipping, going].map((run) => (run ? shape(run) : []));
    expect(shapes[0]?.slice(0, 2)).toEqual(["a:completed", "b:failed"]);
    expect(shapes[0]?.slice(3)).toEqual(["d:skipped(workflow_failed)", "e:skipped(workflow_failed)"]);
    expect(shapes[1]).toEqual([
      ...["a:completed", "b:failed", "c:completed"],
      ...["d:skipped(dependency_failed)", "e:skipped(dependency_failed)"],
    ]);
    expect(shapes[2]).toEqual(["a:completed", "b:failed", "c:completed", "d:completed", "e:completed"]);
    expect(fatal?.steps[1]?.error).toMatchObject({ class: "server", http_status: 500 });
    const d = await w.get(`/v1/runs/${going?.steps[3]?.run_id}`);
    expect(d.payload).toEqual({ b: null, e: "server" });
  });
});

const raw = async (key: string, path: string): Promise<Response> => {
  const { exports } = await import("cloudflare:workers");
  const worker = exports as unknown as { default: { fetch(request: Request): Promise<Response> } };
  return worker.default.fetch(
    new Request(`http://sluice.test${path}`, { headers: { Authorization: `Bearer ${key}` } }),
  );
};

test.concurrent("conditions choose a branch, and a join behind them runs all the same", async () => {
  const w = await newWorld();
  const echo = await w.job("/echo");
  const workflow = await w.workflow([
    { step_ref: "start", job: echo },
    { step_ref: "large", job: echo, depends_on: ["start"], condition: "payload.n > 100" },
    { step_ref: "small", job: echo, depends_on: ["start"], condition: "payload.n <= 100" },
    { step_ref: "after-large", job: echo, depends_on: ["large"] },
    {
      step_ref: "join",
      job: echo,
      depends_on: ["after-large", "small"],
      payload: ["{{steps.large.status}}", "{{steps.large.result}}"],
    },
    { step_ref: "broken", job: echo, depends_on: ["join"], condition: "payload.absent > 1", on_failure: "continue" },
  ]);
  const run = await w.ended((await w.start(workflow.id, { n: 7 })).id);
  expect(shape(run)).toEqual([
    ...["start:completed", "large:skipped(condition)", "small:completed"],
    ...["after-large:skipped(dependencies_skipped)", "join:completed", "broken:failed"],
  ]);
  expect(run.steps[4]?.result).toEqual(["skipped", null]);
  expect(run.steps[5]?.error).toEqual({
    class: "condition",
    message: "condition: No such key: absent",
    http_status: null,
  });
  expect(run.status).toBe("completed");
});

test.concurrent("a step that cannot be triggered fails, and says why", async () => {
  const w = await newWorld();
  const strict = await w.job("/ok", { payload_schema: { type: "object", required: ["id"] } });
  const workflow = await w.workflow([{ step_ref: "a", job: strict }]);
  const run = await w.ended((await w.start(workflow.id, { no: "id" })).id);
  expect([run.status, run.steps[0]?.status, run.steps[0]?.error?.class]).toEqual(["failed", "failed", "trigger"]);
  expect(run.steps[0]?.error?.message).toContain("id");
  expect(run.steps[0]?.run_id).toBeNull();
});

test.concurrent("a step sleeps before it begins", async () => {
  const w = await newWorld();
  const ok = await w.job("/ok");
  const workflow = await w.workflow([
    { step_ref: "a", job: ok },
    { step_ref: "b", job: ok, depends_on: ["a"], sleep_secs: 2 },
  ]);
  const { id } = await w.start(workflow.id);
  await w.runOnce(id, (run) => run.steps[1]?.status === "sleeping");
  const run = await w.ended(id);
  expect(run.status).toBe("completed");
  const [a, b] = await Promise.all(run.steps.map((s) => w.get(`/v1/runs/${s.run_id}`)));
  expect(Date.parse(b.created_at) - Date.parse(a.finished_at)).toBeGreaterThanOrEqual(2_000);
});

test.concurrent("results and payloads beyond 32 KiB go from step to step", async () => {
  const w = await newWorld();
  const big = await w.job("/big?bytes=100000&type=json");
  const echo = await w.job("/echo");
  const workflow = await w.workflow([
    { step_ref: "a", job: big },
    { step_ref: "b", job: echo, depends_on: ["a"], payload: { a: "{{steps.a.result}}", p: "{{payload.p}}" } },
  ]);
  const p = "x".repeat(50_000);
  const run = await w.ended((await w.start(workflow.id, { p })).id);
  expect(run.status).toBe("completed");
  expect(run.payload).toEqual({ p });
  const result = run.steps[1]?.result as { a: string; p: string };
  expect([result.a.length, result.p]).toEqual([99_998, p]);
  const [listed] = (await w.get(`/v1/workflow-runs?workflow_id=${workflow.id}`)).data;
  expect([listed.payload, listed.steps.map((s: { result: unknown }) => s.result)]).toEqual([null, [null, null]]);
});

test.concurrent("a cancel in the middle ends it at once, with the runs of its steps, and nothing new begins", async () => {
  const w = await newWorld();
  const ok = await w.job("/ok");
  const hangs = await w.job("/hang", { timeout_secs: 60 });
  const workflow = await w.workflow([
    { step_ref: "a", job: ok },
    { step_ref: "b", job: hangs, depends_on: ["a"] },
    { step_ref: "c", job: ok, depends_on: ["a"], sleep_secs: 1_000 },
    { step_ref: "d", job: ok, depends_on: ["b", "c"] },
  ]);
  const { id } = await w.start(workflow.id);
  const before = await w.runOnce(id, (r) => r.steps[1]?.status === "running" && r.steps[2]?.status === "sleeping");
  const inUse = await ask("DELETE", `/v1/workflows/${workflow.id}`, { key: w.key });
  expect([inUse.status, inUse.body.error.message]).toEqual([409, expect.stringContaining(id)]);
  const canceled = await w.post(`/v1/workflow-runs/${id}/cancel`);
  expect([canceled.status, canceled.body.status, ...shape(canceled.body)]).toEqual([
    ...[200, "canceled"],
    ...["a:completed", "b:canceled", "c:canceled", "d:canceled"],
  ]);
  expect((await w.get(`/v1/runs/${before.steps[1]?.run_id}`)).status).toBe("canceled");
  expect((await w.post(`/v1/workflow-runs/${id}/cancel`)).status).toBe(409);
  const stepsRun = async (): Promise<string[]> =>
    (await w.get(`/v1/runs?tag=workflow_run:${id}`)).data.map(
      (r: { tags: Record<string, string> }) => r.tags.workflow_step ?? "",
    );
  await vi.waitFor(async () => expect((await stepsRun()).sort()).toEqual(["a", "b"]), { timeout: 5_000 });
});

test.concurrent("a workflow is started once for an Idempotency-Key, and its runs are listed by workflow and status", async () => {
  const w = await newWorld();
  const ok = await w.job("/ok");
  const bad = await w.job("/status/400");
  const good = await w.workflow([{ step_ref: "a", job: ok }]);
  const poor = await w.workflow([{ step_ref: "a", job: bad }]);
  const first = await w.start(good.id, { n: 1 }, "k");
  const second = await w.start(good.id, { n: 1 }, "k");
  expect(second).toEqual(first);
  const third = await w.start(poor.id);
  await Promise.all([w.ended(first.id), w.ended(third.id)]);
  const ids = async (query: string) =>
    (await w.get(`/v1/workflow-runs${query}`)).data.map((run: { id: string }) => run.id);
  expect(await ids("")).toEqual([third.id, first.id]);
  expect(await ids(`?workflow_id=${good.id}`)).toEqual([first.id]);
  expect(await ids("?status=failed")).toEqual([third.id]);
  expect(await ids("?status=failed&status=completed&limit=1")).toEqual([third.id]);
  expect(await ids(`?status=running&workflow_id=${poor.id}`)).toEqual([]);
  const other = await newWorld();
  expect((await ask("GET", `/v1/workflow-runs/${first.id}`, { key: other.key })).status).toBe(404);
  expect((await ask("POST", `/v1/workflow-runs/${first.id}/cancel`, { key: other.key, body: {} })).status).toBe(404);
});

test.concurrent("a workflow whose job is gone does not start, and one whose job was made anew does", async () => {
  const w = await newWorld();
  const slug = await w.job("/ok");
  const workflow = await w.workflow([{ step_ref: "a", job: slug }]);
  await ask("DELETE", `/v1/jobs/${slug}`, { key: w.key });
  const refused = await w.post(`/v1/workflows/${workflow.id}/trigger`);
  expect([refused.status, refused.body.error.details]).toEqual([
    409,
    [{ path: "steps[0].job", message: `job ${slug} is deleted` }],
  ]);
  await w.job("/ok", { slug });
  expect((await w.ended((await w.start(workflow.id)).id)).status).toBe("completed");
});
