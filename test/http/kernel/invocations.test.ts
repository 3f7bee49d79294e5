import { createExecutionContext } from "cloudflare:test";
import { beforeAll, describe, expect, test } from "vitest";
import { requireScope } from "../../../src/http/auth.ts";
import { newApp } from "../../../src/http/context.ts";
import { endOf } from "../../../src/http/kernel/waiting.ts";
import { ADMIN, ask, bindings, newKey, newProject, requestOf } from "../ask.ts";
import { call } from "../run-world.ts";
import { ABSENT, type KernelWorld, newKernelWorld, refusal } from "./kernel-world.ts";

let world: KernelWorld;
let job: { id: string; version_id: string };
beforeAll(async () => {
  world = await newKernelWorld();
  job = await world.action("paused");
  await world.action("echo", "/echo");
  await world.action("broken", "/status/400");
});

const get = (id: string) => world.send("GET", `/invocations/${id}`);

describe("create", () => {
  test("waits for the end: 200 with the output as a JSON string", async () => {
    const answer = await world.invoke("echo", { payload: '{"n":12345678901234567890}' });
    expect(answer.status).toBe(200);
    expect(answer.body).toEqual({
      id: expect.any(String),
      action_name: "echo",
      status: "succeeded",
      output: '{"n":12345678901234567890}',
    });
    expect((await get(answer.body.id)).body).toEqual({
      id: answer.body.id,
      app_name: world.app,
      action_name: "echo",
      version: "1",
      status: "succeeded",
      started_at: expect.stringMatching(/^\d{4}-.*\.\d{3}Z$/),
      finished_at: expect.stringMatching(/^\d{4}-.*\.\d{3}Z$/),
      payload: '{"n":12345678901234567890}',
      output: '{"n":12345678901234567890}',
    });
  });

  test("of one that fails: 200, failed, with the reason and no output", async () => {
    const { status, body } = await world.invoke("broken");
    expect([status, body.status, "output" in body]).toEqual([200, "failed", false]);
    expect(body.status_reason).toMatch(/400/);
  });

  test("async: 202 at once, queued; it is an ordinary run", async () => {
    const { status, body } = await world.invoke("paused", { async: true, payload: '"text"' });
    expect([status, body]).toEqual([202, { id: body.id, action_name: "paused", status: "queued" }]);
    const run = (await ask("GET", `/v1/runs/${body.id}`, { key: world.key })).body;
    expect(run).toMatchObject({ status: "queued", payload: "text", triggered_by: "api", job_id: job.id });
    expect((await get(body.id)).body).toMatchObject({
      status: "queued",
      started_at: run.created_at,
      finished_at: null,
      payload: '"text"',
    });
  });

  test("a native run is an invocation too", async () => {
    const native = await ask("POST", "/v1/jobs/paused/trigger", { key: world.key, body: { payload: [1] } });
    expect((await get(native.body.id)).body).toMatchObject({ id: native.body.id, payload: "[1]", status: "queued" });
  });

  test("a version is latest, a number or a version_id", async () => {
    await ask("PATCH", "/v1/jobs/paused", { key: world.key, body: { description: "second" } });
    const versionOf = async (version: string | undefined) => {
      const { body } = await world.invoke("paused", { async: true, version });
      return (await get(body.id)).body.version;
    };
    expect(await Promise.all(["latest", undefined, "1", "2", job.version_id].map(versionOf))).toEqual([
      "2",
      "2",
      "1",
      "2",
      "1",
    ]);
  });

  test("64 KB of payload are counted in bytes of UTF-8", async () => {
    const two = "é".repeat(32_767);
    expect((await world.invoke("paused", { async: true, payload: `"${two}"` })).status).toBe(202);
    expect(refusal(await world.invoke("paused", { async: true, payload: `"${two}a"` }))).toEqual([
      400,
      "bad_request",
      ["payload"],
    ]);
  });

  test.each([
    ["a payload that is not JSON", { payload: "{a:1}" }, ["payload"]],
    ["an empty payload", { payload: "" }, ["payload"]],
    ["a payload that would add fields", { payload: '1,"priority":5' }, ["payload"]],
    ["a payload with half a character", { payload: '"\ud800"' }, ["payload"]],
    ["a payload that is no string", { payload: { a: 1 } }, ["payload"]],
    ["a payload that is deeper than any", { payload: "[".repeat(65) + "]".repeat(65) }, ["payload"]],
    [
      "wrong types",
      { app_name: 1, async: "yes", async_timeout_seconds: "9" },
      ["app_name", "async", "async_timeout_seconds"],
    ],
    ["a time-out out of bounds", { async_timeout_seconds: 9 }, ["async_timeout_seconds"]],
    ["a time-out out of bounds", { async_timeout_seconds: 3601 }, ["async_timeout_seconds"]],
    ["a missing field", { action_name: undefined }, ["action_name"]],
    ["an unknown field", { asynch: true }, ["asynch"]],
    ["a version that is a number", { version: 1 }, ["version"]],
  ])("%s is 400", async (_, fields, named) => {
    const [status, code, names] = refusal(await world.invoke("paused", fields));
    expect([status, code, names.sort()]).toEqual([400, "bad_request", named]);
  });

  test.each([
    ["app", { app_name: "no-such-app" }],
    ["action", { action_name: "no-such-action" }],
    ["version number", { version: "99" }],
    ["version", { version: "ver_0000000000" }],
    ["version word", { version: "newest" }],
  ])("an unknown %s is 404", async (_, fields) => {
    expect((await world.invoke("paused", fields)).status).toBe(404);
  });

  test("malformed JSON is 400 and another type is 415, in this face's shape", async () => {
    expect(refusal(await world.send("POST", "/invocations", '{"app_name":'))[0]).toBe(400);
    expect(refusal(await world.send("POST", "/invocations", "a,b", { "Content-Type": "text/csv" }))[0]).toBe(415);
    expect(refusal(await world.send("GET", "/no-such-path"))[0]).toBe(404);
    expect(refusal(await world.send("DELETE", "/invocations"))[0]).toBe(405);
  });

  test("a disabled job is a final 409", async () => {
    await world.action("off", undefined, { enabled: false });
    const answer = await world.invoke("off");
    expect([answer.status, answer.headers.get("x-should-retry")]).toEqual([409, "false"]);
  });

  test("async_timeout_seconds bounds the run", async () => {
    const { body } = await world.invoke("paused", { async: true, async_timeout_seconds: 10 });
    const { created_at, expires_at } = (await ask("GET", `/v1/runs/${body.id}`, { key: world.key })).body;
    expect(Date.parse(expires_at) - Date.parse(created_at)).toBe(10_000);
  });
});

describe("a repeat with the same Idempotency-Key", () => {
  test("is answered alike and done once", async () => {
    const headers = { "Idempotency-Key": "once" };
    const first = await world.invoke("echo", { payload: "1" }, headers);
    const second = await world.invoke("echo", { payload: "1" }, headers);
    expect([second.status, second.body]).toEqual([200, first.body]);
    expect([first, second].map((a) => a.headers.get("Idempotency-Replayed"))).toEqual([null, "true"]);
    const other = await world.invoke("echo", { payload: "2" }, headers);
    expect([other.status, other.headers.get("x-should-retry")]).toEqual([409, "false"]);
  });

  test("of an async one is answered as the first was, though it has ended", async () => {
    const headers = { "Idempotency-Key": "once-async" };
    const first = await world.invoke("echo", { async: true }, headers);
    await expect.poll(async () => (await get(first.body.id)).body.status).toBe("succeeded");
    const second = await world.invoke("echo", { async: true }, headers);
    expect([second.status, second.body]).toEqual([202, first.body]);
  });

  test("joins a first one that is still waiting", async () => {
    await world.action("slow", "/slow?ms=600");
    const headers = { "Idempotency-Key": "once-slow" };
    const body = { app_name: world.app, action_name: "slow" };
    // In the test's own request: the test runner, alone, forbids that a promise of one is resolved by another.
    const create = () => call<{ id: string; status: string }>(world.key, "POST", "/kernel/invocations", body, headers);
    const answers = await Promise.all([create(), create(), create()]);
    expect(answers.map((a) => [a.status, a.body.status, a.body.id])).toEqual(
      answers.map(() => [200, "succeeded", answers[0]?.body.id]),
    );
  });
});

describe("update", () => {
  test("failed cancels, at once; once it has ended that is a final 409", async () => {
    const { body } = await world.invoke("paused", { async: true, payload: "[1]" });
    const update = { status: "failed", output: '{"error":"canceled by user"}' };
    const patched = await world.send("PATCH", `/invocations/${body.id}`, update);
    expect([patched.status, patched.body]).toEqual([
      200,
      expect.objectContaining({
        id: body.id,
        status: "failed",
        status_reason: "canceled",
        finished_at: expect.any(String),
      }),
    ]);
    expect((await ask("GET", `/v1/runs/${body.id}`, { key: world.key })).body.status).toBe("canceled");
    const again = await world.send("PATCH", `/invocations/${body.id}`, update);
    expect([refusal(again)[0], again.headers.get("x-should-retry")]).toEqual([409, "false"]);
  });

  test.each([[{ status: "succeeded" }], [{ status: "running" }], [{}], [{ status: "failed", output: 1 }]])(
    "%j is 400",
    async (change) => {
      const { body } = await world.invoke("paused", { async: true });
      expect(refusal(await world.send("PATCH", `/invocations/${body.id}`, change))[0]).toBe(400);
      expect((await get(body.id)).body.status).toBe("queued");
    },
  );
});

describe("others", () => {
  const paths = (id: string): [string, string, object?][] => [
    ["GET", `/invocations/${id}`],
    ["PATCH", `/invocations/${id}`, { status: "failed" }],
    ["GET", `/invocations/${id}/events`],
    ["GET", `/invocations/${id}/browsers`],
    ["DELETE", `/invocations/${id}/browsers`],
    ["GET", `/batch_jobs/${id}`],
    ["PATCH", `/batch_jobs/${id}`, { status: "failed" }],
    ["GET", `/batch_jobs/${id}/events`],
  ];

  test("an id that is none, or another project's, is 404", async () => {
    const { body } = await world.invoke("paused", { async: true });
    const stranger = await newProject();
    for (const id of ["rr33xuugxj9h0bkf1rdt2bet", ABSENT, "%00", body.id]) {
      for (const [method, path, change] of paths(id)) {
        const answer = await ask(method, `/kernel${path}`, { key: stranger.key, body: change });
        expect([method, path, refusal(answer).slice(0, 2)]).toEqual([method, path, [404, "not_found"]]);
      }
    }
    const answer = await ask("POST", "/kernel/invocations", {
      key: stranger.key,
      body: { app_name: world.app, action_name: "paused" },
    });
    expect(answer.status).toBe(404);
  });

  test("browsers: there are none", async () => {
    const { body } = await world.invoke("paused", { async: true });
    const path = `/invocations/${body.id}/browsers`;
    expect((await world.send("GET", path)).body).toEqual({ browsers: [] });
    expect(await world.send("DELETE", path)).toMatchObject({ status: 204, body: "" });
  });

  test("who lacks the credentials or the scope hears so in this face's shape", async () => {
    expect(refusal(await ask("GET", "/kernel/invocations", { key: null }))[0]).toBe(401);
    const reader = await newKey(world.id, ["runs:read"]);
    const body = { app_name: world.app, action_name: "paused", async: true };
    expect(refusal(await ask("POST", "/kernel/invocations", { key: reader, body }))[0]).toBe(403);
    expect((await ask("GET", "/kernel/invocations", { key: reader })).status).toBe(200);
  });

  test("the admin names an app, or the project", async () => {
    const body = { app_name: world.app, action_name: "paused", async: true };
    expect((await ask("POST", "/kernel/invocations", { key: ADMIN, body })).status).toBe(202);
    expect(refusal(await ask("GET", "/kernel/invocations", { key: ADMIN }))).toEqual([
      400,
      "bad_request",
      ["app_name"],
    ]);
    const headers = { "X-Kernel-Project-Id": world.id };
    const lists = await Promise.all([
      ask("GET", `/kernel/invocations?app_name=${world.app}`, { key: ADMIN }),
      ask("GET", "/kernel/invocations", { key: ADMIN, headers }),
    ]);
    expect(lists.map((list) => list.body[0].app_name)).toEqual([world.app, world.app]);
  });

  test("a project that the client was set up for must be the key's", async () => {
    const { body } = await world.invoke("paused", { async: true });
    for (const path of ["/invocations", `/invocations/${body.id}`, "/batch_jobs", "/apps"]) {
      const status = async (id: string) =>
        (await world.send("GET", path, undefined, { "X-Kernel-Project-Id": id })).status;
      expect([path, await status(world.id), await status(ABSENT)]).toEqual([path, 200, 404]);
    }
  });

  test("apps: the project with its jobs", async () => {
    const schema = { type: "object" };
    await world.action("with-schema", undefined, { payload_schema: schema });
    const { headers, body } = await world.send("GET", "/apps");
    expect(body).toEqual([
      {
        id: world.id,
        app_name: world.app,
        version: "latest",
        region: "aws.us-east-1a",
        deployment: world.id,
        actions: expect.arrayContaining([
          { name: "paused", input_schema: null },
          { name: "with-schema", input_schema: schema },
        ]),
        env_vars: {},
      },
    ]);
    expect(headers.get("X-Has-More")).toBe("false");
    for (const query of ["app_name=other", "version=7", "query=zzz", "offset=1"]) {
      expect((await world.send("GET", `/apps?${query}`)).body).toEqual([]);
    }
  });
});

test("a synchronous one is waited for so long and no longer", async () => {
  await world.action("hang", "/hang");
  const { body } = await world.invoke("hang", { async: true });
  const waiting = newApp();
  waiting.get("/:id", requireScope("runs:read"), async (c) =>
    c.text((await endOf(c, c.req.param("id"), 100)).run.status),
  );
  const request = requestOf("GET", `/${body.id}`, { key: world.key });
  const status = await (await waiting.fetch(request, bindings, createExecutionContext())).text();
  expect(["queued", "dequeued", "executing"]).toContain(status);
  await world.send("PATCH", `/invocations/${body.id}`, { status: "failed" });
});
