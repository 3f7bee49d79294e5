import { beforeAll, describe, expect, test } from "vitest";
import { ask, newJob, newProject } from "./ask.ts";

/** Workflows as objects (contract 7). What their runs do stands in test/workflows. */

let project: { id: string; slug: string; key: string };
let key: string;
beforeAll(async () => {
  project = await newProject();
  key = project.key;
  await newJob(key, { slug: "the-job" });
});

const step = (step_ref: string, more: Record<string, unknown> = {}) => ({ step_ref, job: "the-job", ...more });
const create = (steps: unknown, more: Record<string, unknown> = {}, k = key) =>
  ask("POST", "/v1/workflows", { key: k, body: { name: "A workflow", steps, ...more } });
const details = (answer: { body: { error: { details: { path: string; message: string }[] } } }) =>
  answer.body.error.details.map((d) => [d.path, d.message]);

const DIAMOND = [
  step("a", { payload: { n: "{{payload.n}}" } }),
  step("b", { depends_on: ["a"], condition: "steps.a.result.ok", on_failure: "skip_dependents", sleep_secs: 5 }),
  step("c", { depends_on: ["a"], on_failure: "continue" }),
  step("d", { depends_on: ["b", "c"], payload: ["{{steps.b.result}}", "{{steps.a.status}}!"] }),
];

describe("a workflow", () => {
  test("is made, read by id and slug, changed and deleted", async () => {
    const made = await create(DIAMOND, { name: "Night Load" });
    expect(made.status).toBe(201);
    expect(made.body).toMatchObject({ project_id: project.id, name: "Night Load", slug: "night-load" });
    expect(made.body.steps).toEqual([
      { ...DIAMOND[0], depends_on: [], condition: null, on_failure: "fail_workflow", sleep_secs: 0 },
      { ...DIAMOND[1], payload: null },
      { ...DIAMOND[2], payload: null, condition: null, sleep_secs: 0 },
      { ...DIAMOND[3], condition: null, on_failure: "fail_workflow", sleep_secs: 0 },
    ]);
    for (const ref of [made.body.id, "night-load"]) {
      expect((await ask("GET", `/v1/workflows/${ref}`, { key })).body).toEqual(made.body);
    }
    const { steps } = made.body;
    const same = await ask("PATCH", "/v1/workflows/night-load", { key, body: { steps } });
    expect([same.status, same.body]).toEqual([200, made.body]);
    const changed = await ask("PATCH", "/v1/workflows/night-load", {
      key,
      body: { name: "Day", slug: "day", steps: [step("only")] },
    });
    expect([changed.status, changed.body.slug, changed.body.steps.length]).toEqual([200, "day", 1]);
    expect((await ask("GET", "/v1/workflows/night-load", { key })).status).toBe(404);
    expect((await ask("DELETE", "/v1/workflows/day", { key })).status).toBe(204);
    expect((await ask("GET", `/v1/workflows/${made.body.id}`, { key })).status).toBe(404);
  });

  test("belongs to its project, and its slug to it alone", async () => {
    const made = await create([step("a")], { slug: "mine" });
    const other = await newProject();
    await newJob(other.key, { slug: "the-job" });
    for (const [method, path] of [
      ["GET", ""],
      ["PATCH", ""],
      ["DELETE", ""],
      ["POST", "/trigger"],
    ] as const) {
      const body = method === "GET" || method === "DELETE" ? {} : { body: {} };
      for (const ref of [made.body.id, "mine"]) {
        expect((await ask(method, `/v1/workflows/${ref}${path}`, { key: other.key, ...body })).status).toBe(404);
      }
    }
    expect((await create([step("a")], { slug: "mine" })).status).toBe(409);
    expect((await create([step("a")], { slug: "mine" }, other.key)).status).toBe(201);
    const second = await create([step("a")], { name: "Mine" });
    expect(second.body.slug).toBe("mine-2");
    const renamed = await ask("PATCH", `/v1/workflows/${second.body.id}`, { key, body: { slug: "mine" } });
    expect(renamed.status).toBe(409);
  });

  test("is listed newest first, by cursor", async () => {
    const { key: k } = await newProject();
    const job = await newJob(k);
    const ids: string[] = [];
    for (let i = 0; i < 5; i++) ids.push((await create([step("a", { job: job.id })], {}, k)).body.id);
    const seen: string[] = [];
    let cursor: string | null = null;
    do {
      const page = await ask("GET", `/v1/workflows?limit=2${cursor ? `&cursor=${cursor}` : ""}`, { key: k });
      expect(page.status).toBe(200);
      seen.push(...page.body.data.map((w: { id: string }) => w.id));
      cursor = page.body.next_cursor;
    } while (cursor !== null);
    expect(seen).toEqual(ids.reverse());
  });

  test("with an Idempotency-Key is made once", async () => {
    const question = {
      key,
      body: { name: "Once", steps: [step("a")] },
      headers: { "Idempotency-Key": "w1" },
    };
    const [first, second] = [
      await ask("POST", "/v1/workflows", question),
      await ask("POST", "/v1/workflows", question),
    ];
    expect(second.body).toEqual(first.body);
    expect(second.headers.get("Idempotency-Replayed")).toBe("true");
  });

  test("may have 1,000 steps and not 1,001", async () => {
    const line = (n: number) =>
      Array.from({ length: n }, (_, i) => step(`s${i}`, i === 0 ? {} : { depends_on: [`s${i - 1}`] }));
    const made = await create(line(1000));
    expect([made.status, made.body.steps?.length]).toEqual([201, 1000]);
    const refused = await create(line(1001));
    expect([refused.status, details(refused)]).toEqual([422, [["steps", "must have at most 1000 steps"]]]);
  });
});

describe("refused, by name:", () => {
  test.each<[string, unknown, string, string]>([
    ["no steps", [], "steps", "must have at least one step"],
    [
      "a cycle",
      [step("a", { depends_on: ["b"] }), step("b", { depends_on: ["a"] })],
      "steps[0].depends_on",
      "a → b → a",
    ],
    ["itself", [step("a", { depends_on: ["a"] })], "steps[0].depends_on[0]", "is the step itself"],
    ["an unknown step", [step("load", { depends_on: ["b"] })], "steps[0].depends_on[0]", "is no step of this workflow"],
    ["an unknown job", [step("a", { job: "nobody" })], "steps[0].job", "is no job of this project"],
    ["two graphs", [step("a"), step("b")], "steps[1]", "one connected graph"],
    ["a name twice", [step("a"), step("a")], "steps[1].step_ref", "stands twice"],
    ["a template of a missing step", [step("a", { payload: "{{steps.z.result}}" })], "steps[0].payload", "is no step"],
    [
      "a template of a step beside it",
      [
        step("a"),
        step("b", { depends_on: ["a"] }),
        step("c", { depends_on: ["a"], payload: { x: "{{steps.b.result}}" } }),
      ],
      "steps[2].payload",
      "does not depend on",
    ],
    ["a broken template", [step("a", { payload: { deep: ["{{payload."] } })], "steps[0].payload.deep[0]", "without }}"],
    ["a broken condition", [step("a", { condition: "payload.n >" })], "steps[0].condition", "is no condition"],
    ["a condition that is none", [step("a", { condition: "1" })], "steps[0].condition", "must come to true or false"],
    ["an unknown policy", [step("a", { on_failure: "retry" })], "steps[0].on_failure", "fail_workflow"],
    ["a negative sleep", [step("a", { sleep_secs: -1 })], "steps[0].sleep_secs", ">=0"],
    ["an unknown field", [step("a", { depend_on: [] })], "steps[0].depend_on", "did you mean depends_on?"],
    ["a name that is none", [step("a.b")], "steps[0].step_ref", "must have 1 to 64"],
    ["a name that is dangerous", [step("__proto__")], "steps[0].step_ref", "is not allowed"],
  ])("%s", async (_, steps, path, message) => {
    const answer = await create(steps);
    expect([answer.status, answer.body.error?.code]).toEqual([422, "validation_failed"]);
    const found = details(answer).find(([at]) => at === path);
    expect(details(answer).map(([at]) => at)).toContain(path);
    expect(found?.[1]).toContain(message);
  });

  test("another project's job, a deleted job, and every problem at once", async () => {
    const other = await newProject();
    const theirs = await newJob(other.key);
    const gone = await newJob(key);
    await ask("DELETE", `/v1/jobs/${gone.id}`, { key });
    const answer = await create([
      step("a", { job: theirs.id }),
      step("b", { job: gone.id, depends_on: ["nope"] }),
      step("c", { job: gone.slug, condition: ")" }),
    ]);
    expect(answer.status).toBe(422);
    expect(
      details(answer)
        .map(([at]) => at)
        .sort(),
    ).toEqual(["steps[0].job", "steps[1].depends_on[0]", "steps[1].job", "steps[2].condition", "steps[2].job"]);
  });

  test("a change that would break it, and nothing is changed", async () => {
    const made = await create([step("a")]);
    const answer = await ask("PATCH", `/v1/workflows/${made.body.id}`, {
      key,
      body: { steps: [step("a"), step("b")] },
    });
    expect(answer.status).toBe(422);
    expect((await ask("GET", `/v1/workflows/${made.body.id}`, { key })).body).toEqual(made.body);
  });
});

describe("a job that starts a workflow", () => {
  test("must name one that is there, and keeps it from going", async () => {
    const missing = await ask("POST", "/v1/jobs", {
      key,
      body: { name: "J", endpoint_url: "https://api.example.com/", on_complete_trigger_workflow: "nope" },
    });
    expect([missing.status, details(missing)]).toEqual([
      422,
      [["on_complete_trigger_workflow", "no workflow has the slug nope"]],
    ]);
    await create([step("a")], { slug: "after" });
    const job = await newJob(key, {
      slug: "starter",
      on_complete_trigger_workflow: "after",
      on_complete_payload_mapping: { user_id: "result.user.id" },
    });
    const refused = await ask("DELETE", "/v1/workflows/after", { key });
    expect(refused.status).toBe(409);
    expect(refused.body.error.message).toContain("job starter");
    expect(details(refused)).toEqual([["jobs.starter", "names it in on_complete_trigger_workflow"]]);
    const renamed = await ask("PATCH", "/v1/workflows/after", { key, body: { slug: "later" } });
    expect([renamed.status, renamed.body.error?.message]).toEqual([409, expect.stringContaining("job starter")]);
    expect((await ask("PATCH", "/v1/workflows/after", { key, body: { name: "Still" } })).status).toBe(200);
    const elsewhere = await ask("PATCH", `/v1/jobs/${job.id}`, { key, body: { on_complete_trigger_workflow: "nope" } });
    expect(elsewhere.status).toBe(422);
    const bad = await ask("PATCH", `/v1/jobs/${job.id}`, { key, body: { on_complete_payload_mapping: { x: "a..b" } } });
    expect(details(bad).map(([at]) => at)).toEqual(["on_complete_payload_mapping.x"]);
    await ask("PATCH", `/v1/jobs/${job.id}`, { key, body: { on_complete_trigger_workflow: null } });
    expect((await ask("DELETE", "/v1/workflows/after", { key })).status).toBe(204);
    const restored = await ask("POST", `/v1/jobs/${job.id}/versions/1/restore`, { key });
    expect([restored.status, details(restored)[0]?.[0]]).toEqual([422, "on_complete_trigger_workflow"]);
  });

  test("of another project is no user", async () => {
    const other = await newProject();
    const theirs = await newJob(other.key);
    await create([step("a", { job: theirs.id })], { slug: "shared" }, other.key);
    await newJob(other.key, { on_complete_trigger_workflow: "shared" });
    await create([step("a")], { slug: "shared" });
    expect((await ask("DELETE", "/v1/workflows/shared", { key })).status).toBe(204);
  });
});

describe("a trigger", () => {
  beforeAll(async () => {
    await ask("POST", "/v1/jobs/the-job/pause", { key });
    await create([step("a")], { slug: "started" });
  });
  const trigger = (body: unknown, headers: Record<string, string> = {}) =>
    ask("POST", "/v1/workflows/started/trigger", { key, body, headers });

  test.each<[string, unknown, number, string]>([
    ["half of a body", '{"payload":', 400, ""],
    ["a list", [1], 422, ""],
    ["an unknown field", { payloads: 1 }, 422, "payloads"],
    ["another project", { project_id: "019c2f6e-7d80-7a3b-9c55-0000000002a1" }, 404, ""],
    ["a payload that is too deep", `{"payload":${"[".repeat(70)}${"]".repeat(70)}}`, 422, "payload"],
    ["a field that stands twice", '{"payload":1,"payload":2}', 422, "payload"],
  ])("with %s is refused", async (_, body, status, path) => {
    const answer = await trigger(body);
    expect([answer.status, details(answer)[0]?.[0] ?? ""]).toEqual([status, path || (details(answer)[0]?.[0] ?? "")]);
  });

  test("takes any payload, or none, and is found by its id", async () => {
    const empty = await ask("POST", "/v1/workflows/started/trigger", { key });
    expect([empty.status, empty.body.payload, empty.body.status]).toEqual([201, {}, "queued"]);
    for (const payload of [null, 0, "text", [], { a: [1] }]) {
      const answer = await trigger({ payload });
      expect([answer.status, answer.body.payload]).toEqual([201, payload]);
    }
    const read = await ask("GET", `/v1/workflow-runs/${empty.body.id}`, { key });
    expect(read.body).toMatchObject({ id: empty.body.id, workflow_id: empty.body.workflow_id, depth: 1 });
    expect((await ask("GET", "/v1/workflow-runs/019c2f6e-7d80-7a3b-9c55-0000000002a1", { key })).status).toBe(404);
    expect((await ask("GET", "/v1/workflow-runs?status=done", { key })).status).toBe(422);
    expect((await ask("GET", "/v1/workflow-runs?cursor=x", { key })).status).toBe(400);
  });
});

test("keys without the scope are refused", async () => {
  const reader = await newProject(["jobs:read"]);
  expect((await create([step("a")], {}, reader.key)).status).toBe(403);
  expect((await ask("GET", "/v1/workflows", { key: reader.key })).status).toBe(200);
  expect((await ask("GET", "/v1/workflow-runs", { key: reader.key })).status).toBe(403);
  expect((await ask("POST", "/v1/workflows/x/trigger", { key: reader.key, body: {} })).status).toBe(403);
});
