import { expect, test } from "vitest";
import { start as startZoo } from "../fixtures/endpoint/server.ts";
import { type Sluice, startSluice, until } from "./harness.ts";

const SOURCES = 20;

interface WorkflowRun {
  id: string;
  status: string;
  source_run_id: string;
  finished_at: string | null;
  steps: { step_ref: string; status: string; run_id: string | null }[];
}

const runsOf = async (sluice: Sluice): Promise<WorkflowRun[]> =>
  (await sluice.api.get<{ data: WorkflowRun[] }>("/v1/workflow-runs?limit=200")).data;

/** A minute passes for the sweeper. */
const sweep = (sluice: Sluice): Promise<unknown> =>
  fetch(`${sluice.url}/cdn-cgi/local/scheduled?cron=${encodeURIComponent("* * * * *")}&time=${Date.now() + 120_000}`);

test("workflows that completed runs start go on through kill -9: none lost, none twice, no step run twice", async () => {
  const zoo = await startZoo();
  const before = await startSluice();
  const job = (name: string, path: string, more: object = {}) =>
    before.api.post("/v1/jobs", { name, endpoint_url: zoo.url + path, max_concurrency: 4, ...more });
  await job("Step", "/echo?ms=150");
  await before.api.post("/v1/workflows", {
    name: "After",
    steps: [
      { step_ref: "a", job: "step" },
      { step_ref: "b", job: "step", depends_on: ["a"], payload: { n: "{{steps.a.result.n}}" } },
    ],
  });
  await job("Source", "/echo?ms=100", { on_complete_trigger_workflow: "after" });
  const items = Array.from({ length: SOURCES }, (_, n) => ({ payload: { n } }));
  await before.api.post("/v1/jobs/source/trigger-bulk", { items });

  // Some have started and run, some have completed without being heard of, some still wait.
  await until(async () => (await runsOf(before)).some((run) => run.steps[0]?.status === "completed"));
  await before.signalGroup("SIGKILL");
  await until(() => before.processes().length === 0);

  const after = await startSluice({ stateDir: before.stateDir, port: before.port });
  const runs = await until(async () => {
    await sweep(after);
    const all = await runsOf(after);
    return all.length >= SOURCES && all.every((run) => run.finished_at !== null) ? all : null;
  }, 250);
  expect(runs.map((run) => run.status)).toEqual(Array(SOURCES).fill("completed"));
  expect(new Set(runs.map((run) => run.source_run_id)).size).toBe(SOURCES);
  const { data } = await until(async () => {
    const page = await after.api.get<{ data: { id: string; tags: Record<string, string> }[] }>(
      "/v1/runs?triggered_by=workflow&limit=200",
    );
    return page.data.length >= 2 * SOURCES ? page : null;
  });
  const steps = runs.flatMap((run) => run.steps.map((step) => step.run_id));
  expect(data.map((run) => run.id).sort()).toEqual(steps.sort());
  await after.signalGroup("SIGINT");
  await zoo.stop();
});
