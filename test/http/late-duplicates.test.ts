import { expect, inject, test } from "vitest";
import { ask, newJob, newProject } from "./ask.ts";

test("a duplicate of a run that ended a moment ago shows how it ended", async () => {
  const { key } = await newProject();
  const job = await newJob(key, { endpoint_url: `${inject("endpointUrl")}/ok` });
  const trigger = (body: unknown, path = "trigger") => ask("POST", `/v1/jobs/${job.id}/${path}`, { key, body });
  const keys = Array.from({ length: 8 }, (_, i) => `late-${i}`);
  const items = keys.map((idempotency_key) => ({ idempotency_key }));
  const { body } = await trigger({ items }, "trigger-bulk");
  await expect
    .poll(async () => (await ask("GET", `/v1/batch-operations/${body.batch_id}`, { key })).body.finished_at, {
      interval: 10,
    })
    .not.toBeNull();
  // The copy is written half a second later.
  const single = await trigger(items[0]);
  expect(single.body).toMatchObject({ outcome: "duplicate", status: "completed", id: body.results[0].id });
  const many = await trigger({ items }, "trigger-bulk");
  expect(many.body.results.map((r: { status: string }) => r.status)).toEqual(keys.map(() => "completed"));
});

test("also where the copy still has it as waiting", async () => {
  const { key } = await newProject();
  const job = await newJob(key, { endpoint_url: `${inject("endpointUrl")}/ok` });
  const post = (path: string, body: unknown = {}) => ask("POST", `/v1/jobs/${job.id}/${path}`, { key, body });
  await post("pause");
  const item = { idempotency_key: "late" };
  const { body: run } = await post("trigger", item);
  await expect.poll(async () => (await ask("GET", "/v1/runs", { key })).body.data).toHaveLength(1);
  await post("resume");
  const status = async () => (await ask("GET", `/v1/runs/${run.id}`, { key })).body.status;
  await expect.poll(status, { interval: 5 }).toBe("completed");
  expect((await post("trigger", item)).body).toMatchObject({ outcome: "duplicate", status: "completed", id: run.id });
});
