import fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import { ask } from "../ask.ts";
import { ABSENT, type KernelWorld, newKernelWorld, refusal } from "./kernel-world.ts";

let world: KernelWorld;
beforeAll(async () => {
  world = await newKernelWorld();
  await world.action("paused");
  await world.action("echo", "/echo");
});

const get = (id: string) => world.send("GET", `/batch_jobs/${id}`);
const batches = async () => (await world.send("GET", "/batch_jobs?action_name=paused")).body.length;

describe("create", () => {
  test("202; its invocations come in payload order, as any do", async () => {
    const payloads = ["1", '"two"', '{"three":[3]}', " null "];
    const created = await world.batch("echo", payloads);
    const { batch_job_id } = created.body;
    expect([created.status, created.body]).toEqual([202, { batch_job_id, total_count: 4, status: "queued" }]);
    const batch = await world.endOf(batch_job_id);
    const { invocations, ...shown } = batch;
    expect(shown).toEqual({
      id: batch_job_id,
      app_name: world.app,
      action_name: "echo",
      version: "1",
      status: "succeeded",
      total_count: 4,
      succeeded_count: 4,
      failed_count: 0,
      max_concurrency: 1000,
      created_at: expect.any(String),
      started_at: expect.any(String),
      finished_at: expect.any(String),
    });
    expect(invocations.map((i: { payload: string }) => i.payload)).toEqual(payloads.map((p) => p.trim()));
    expect(invocations.map((i: { output: string }) => i.output)).toEqual(payloads.map((p) => p.trim()));
    expect((await world.send("GET", `/invocations/${invocations[1].id}`)).body).toEqual(invocations[1]);
    const native = (await ask("GET", `/v1/batch-operations/${batch_job_id}`, { key: world.key })).body;
    expect(native).toMatchObject({ status: "succeeded", item_count: 4, created_count: 4, max_concurrency: 1000 });
  });

  test("all failed: failed; some failed: partially_failed", async () => {
    await world.action("broken", "/status/400");
    const broken = (await world.batch("broken", ["1", "2"])).body;
    expect(await world.endOf(broken.batch_job_id)).toMatchObject({
      status: "failed",
      succeeded_count: 0,
      failed_count: 2,
      invocations: [{ status: "failed" }, { status: "failed" }],
    });
    await world.action("mixed");
    const mixed = (await world.batch("mixed", ["1", "2"])).body;
    const [first] = (await get(mixed.batch_job_id)).body.invocations;
    await world.send("PATCH", `/invocations/${first.id}`, { status: "failed" });
    expect((await get(mixed.batch_job_id)).body).toMatchObject({ status: "running", failed_count: 1, total_count: 2 });
    await ask("POST", "/v1/jobs/mixed/resume", { key: world.key });
    expect(await world.endOf(mixed.batch_job_id)).toMatchObject({
      status: "partially_failed",
      succeeded_count: 1,
      failed_count: 1,
      invocations: [{ status: "failed" }, { status: "succeeded" }],
    });
  });

  test("max_concurrency: the project's max_concurrent_invocations by default", async () => {
    const other = await newKernelWorld();
    await other.action("paused");
    await ask("PATCH", `/v1/projects/${other.id}`, { body: { max_concurrent_invocations: 7 } });
    const limitOf = async (fields: object) => {
      const { body } = await other.batch("paused", ["1"], fields);
      return (await other.send("GET", `/batch_jobs/${body.batch_job_id}`)).body.max_concurrency;
    };
    expect([await limitOf({}), await limitOf({ max_concurrency: 1 })]).toEqual([7, 1]);
  });

  test("a version holds for all of them", async () => {
    await ask("PATCH", "/v1/jobs/echo", { key: world.key, body: { description: "second" } });
    const { body } = await world.batch("echo", ["1", "2"], { version: "1" });
    const batch = await world.endOf(body.batch_job_id);
    expect([batch.version, ...batch.invocations.map((i: { version: string }) => i.version)]).toEqual(["1", "1", "1"]);
  });

  test("what is delivered is the payload, byte for byte", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.json(), { minLength: 1, maxLength: 20 }), async (payloads) => {
        const { body } = await world.batch("echo", payloads);
        const { invocations } = await world.endOf(body.batch_job_id);
        expect(invocations.map((i: { output: string }) => i.output)).toEqual(payloads.map((p) => p.trim()));
      }),
      { numRuns: 10 },
    );
  });

  test("10,000 payloads are taken, one more is refused", async () => {
    const payloads = Array.from({ length: 10_000 }, (_, i) => String(i));
    expect(refusal(await world.batch("paused", [...payloads, "1"]))).toEqual([400, "bad_request", ["payloads"]]);
    const { body } = await world.batch("paused", payloads);
    expect(body.total_count).toBe(10_000);
    const { invocations } = (await get(body.batch_job_id)).body;
    expect(invocations.map((i: { payload: string }) => i.payload)).toEqual(payloads);
  });

  test("65,536 bytes of UTF-8 are a payload", async () => {
    const payload = `"${"é".repeat(32_767)}"`;
    const { status, body } = await world.batch("paused", [payload]);
    expect(status).toBe(202);
    expect((await get(body.batch_job_id)).body.invocations[0].payload).toBe(payload);
  });

  test.each([
    ["not JSON", ["1", "{a}", "2", ""], {}, ["payloads[1]", "payloads[3]"]],
    ["65,537 bytes", ["1", `"${"é".repeat(32_767)}a"`], {}, ["payloads[1]"]],
    ["no string", ["1", 2, null], {}, ["payloads[1]", "payloads[2]"]],
    ["too deep", ["[".repeat(65) + "]".repeat(65)], {}, ["payloads[0]"]],
    ["an empty list", [], {}, ["payloads"]],
    ["no list", "1", {}, ["payloads"]],
    ["none", undefined, {}, ["payloads"]],
    ["max_concurrency 0", ["1"], { max_concurrency: 0 }, ["max_concurrency"]],
    ["max_concurrency -1", ["1"], { max_concurrency: -1 }, ["max_concurrency"]],
    ["max_concurrency 1.5", ["1"], { max_concurrency: 1.5 }, ["max_concurrency"]],
    ["max_concurrency as text", ["1"], { max_concurrency: "5" }, ["max_concurrency"]],
    ["several", [7], { max_concurrency: 0, app_name: 1 }, ["app_name", "max_concurrency", "payloads[0]"]],
    ["an unknown field", ["1"], { max_concurency: 1 }, ["max_concurency"]],
  ])("%s: 400 that names it, and nothing is created", async (_, payloads, fields, named) => {
    const before = await batches();
    const [status, code, names] = refusal(await world.batch("paused", payloads, fields));
    expect([status, code, names.sort()]).toEqual([400, "bad_request", named]);
    expect(await batches()).toBe(before);
  });

  test("the job's schema refuses all, naming the payload", async () => {
    await world.action("strict", undefined, { payload_schema: { type: "object", required: ["id"] } });
    const answer = await world.batch("strict", ['{"id":1}', '{"ID":1}', '{"id":2}']);
    const [status, , names] = refusal(answer);
    expect([status, names]).toEqual([400, [expect.stringMatching(/^payloads\[1\]/)]]);
    expect((await world.send("GET", "/batch_jobs?action_name=strict")).body).toEqual([]);
  });

  test.each([[{ app_name: "nope" }], [{ action_name: "nope" }], [{ version: "99" }]])("%j is 404", async (fields) => {
    expect((await world.batch("paused", ["1"], fields)).status).toBe(404);
  });

  test("malformed JSON and another type, in this face's shape", async () => {
    const path = "/invocations/batch";
    expect(refusal(await world.send("POST", path, '{"payloads":["1"'))[0]).toBe(400);
    expect(refusal(await world.send("POST", path, "[]"))[0]).toBe(400);
    expect(refusal(await world.send("POST", path, "1", { "Content-Type": "text/plain" }))[0]).toBe(415);
  });
});

test("a repeat with the same Idempotency-Key makes no second batch", async () => {
  const headers = { "Idempotency-Key": "batch-once" };
  const answers = [
    await world.batch("paused", ["1", "2"], {}, headers),
    await world.batch("paused", ["1", "2"], {}, headers),
  ];
  expect(answers[1]?.body).toEqual(answers[0]?.body);
  expect(answers.map((a) => a.headers.get("Idempotency-Replayed"))).toEqual([null, "true"]);
  for (const other of [world.batch("paused", ["1", "3"], {}, headers), world.batch("echo", ["1", "2"], {}, headers)]) {
    const refused = await other;
    expect([refused.status, refused.headers.get("x-should-retry")]).toEqual([409, "false"]);
  }
});

describe("cancel", () => {
  test("failed at once; once it has ended that is a final 409", async () => {
    const { body } = await world.batch("paused", ["1", "2", "3"]);
    const path = `/batch_jobs/${body.batch_job_id}`;
    const patched = await world.send("PATCH", path, { status: "failed" });
    expect([patched.status, patched.body.status, patched.body.id]).toEqual([200, "failed", body.batch_job_id]);
    expect(await world.endOf(body.batch_job_id)).toMatchObject({
      status: "failed",
      total_count: 3,
      failed_count: 3,
      invocations: [1, 2, 3].map(() => ({ status: "failed", status_reason: "canceled" })),
    });
    const again = await world.send("PATCH", path, { status: "failed" });
    expect([refusal(again)[0], again.headers.get("x-should-retry")]).toEqual([409, "false"]);
  });

  test("while invocations run it is failed already, and they are counted", async () => {
    await world.action("slow", "/slow?ms=400", { max_concurrency: 1 });
    // So many that most of them wait, however late the cancel comes.
    const payloads = Array.from({ length: 40 }, (_, i) => String(i));
    const { body } = await world.batch("slow", payloads);
    const path = `/batch_jobs/${body.batch_job_id}`;
    await expect.poll(async () => (await world.send("GET", path)).body.status).toBe("running");
    expect((await world.send("PATCH", path, { status: "failed" })).body.status).toBe("failed");
    expect((await world.send("GET", path)).body.status).toBe("failed");
    const ended = await world.endOf(body.batch_job_id);
    expect([ended.status, ended.succeeded_count + ended.failed_count]).toEqual(["failed", 40]);
  });

  test.each([[{ status: "succeeded" }], [{ status: "canceled" }], [{}]])("%j is 400", async (change) => {
    const { body } = await world.batch("paused", ["1"]);
    expect(refusal(await world.send("PATCH", `/batch_jobs/${body.batch_job_id}`, change))[0]).toBe(400);
  });
});

test("an item that duplicates an earlier invocation shows that one", async () => {
  await world.action("once-a-day", "/echo", { dedup_window_secs: 86_400 });
  const earlier = (await world.invoke("once-a-day", { payload: '{"a":1}' })).body;
  const { body } = await world.batch("once-a-day", ['{"b":2}', '{ "a": 1 }']);
  expect(await world.endOf(body.batch_job_id)).toMatchObject({
    status: "succeeded",
    total_count: 2,
    succeeded_count: 2,
    invocations: [{ payload: '{"b":2}' }, { id: earlier.id }],
  });
});

test("a native batch is a batch job", async () => {
  const items = [{ payload: { n: 1 } }, { payload: { n: 2 }, priority: 99 }, { payload: { n: 3 } }];
  const native = await ask("POST", "/v1/jobs/paused/trigger-bulk", { key: world.key, body: { items } });
  expect((await get(native.body.batch_id)).body).toMatchObject({
    status: "queued",
    total_count: 2,
    max_concurrency: null,
    invocations: [{ payload: '{"n":1}' }, { payload: '{"n":3}' }],
  });
  expect((await get(ABSENT)).status).toBe(404);
});
