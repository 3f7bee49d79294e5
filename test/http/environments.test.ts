import { beforeAll, describe, expect, test, vi } from "vitest";
import { clockAfter } from "../../src/domain/cron-clock.ts";
import type { Env } from "../../src/env.ts";
import { insertJob, selectJob, updateJob } from "../../src/store/jobs.ts";
import { type Answer, ask, askWith, bindings, ENDPOINT, newJob, newKey, newProject } from "./ask.ts";

/** Environments (contract 7), and what a job may name of them, from the outside. */

let project: { id: string; slug: string; key: string };
let key: string;
let reader: string;
beforeAll(async () => {
  project = await newProject();
  key = project.key;
  reader = await newKey(project.id, ["jobs:read"]);
});

const paths = (answer: Answer): string[] => answer.body.error.details.map((d: { path: string }) => d.path);
const get = (path: string, as = key): Promise<Answer> => ask("GET", path, { key: as });
const post = (body: unknown, headers?: Record<string, string>): Promise<Answer> =>
  ask("POST", "/v1/environments", { key, body, ...(headers && { headers }) });
const patch = (id: string, body: unknown): Promise<Answer> => ask("PATCH", `/v1/environments/${id}`, { key, body });

async function newEnvironment(variables: Record<string, string> = {}, name = "Env"): Promise<Answer["body"]> {
  const made = await post({ name, variables });
  if (made.status !== 201) throw new Error(JSON.stringify(made.body));
  return made.body;
}

const stored = async (id: string): Promise<string> =>
  JSON.stringify(await bindings.DB.prepare("SELECT * FROM environments WHERE id = ?").bind(id).first());

describe("an environment", () => {
  test("is created, read by id and slug, changed and deleted", async () => {
    const made = await post({ name: "Staging EU", variables: { REGION: "eu", EMPTY: "" } });
    expect(made.status).toBe(201);
    expect(made.body).toEqual({
      id: expect.stringMatching(/^[0-9a-f-]{36}$/),
      project_id: project.id,
      name: "Staging EU",
      slug: "staging-eu",
      variables: { REGION: "eu", EMPTY: "" },
      created_at: expect.any(String),
      updated_at: expect.any(String),
    });
    const { id } = made.body;
    expect((await get(`/v1/environments/${id}`)).body).toEqual(made.body);
    expect((await get("/v1/environments/staging-eu")).body).toEqual(made.body);
    const changed = await patch("staging-eu", { name: "Staging", slug: "staging" });
    expect(changed.body).toMatchObject({
      id,
      name: "Staging",
      slug: "staging",
      variables: { REGION: "eu", EMPTY: "" },
    });
    expect((await ask("DELETE", `/v1/environments/${id}`, { key })).status).toBe(204);
    expect((await get(`/v1/environments/${id}`)).status).toBe(404);
  });

  test("has a slug of its own in the project", async () => {
    const first = await newEnvironment({}, "Twin");
    const second = await newEnvironment({}, "Twin");
    expect([first.slug, second.slug]).toEqual(["twin", "twin-2"]);
    expect((await post({ name: "x", slug: "twin" })).status).toBe(409);
    const taken = await patch(second.id, { slug: "twin" });
    expect([taken.status, paths(taken)]).toEqual([409, ["slug"]]);
  });

  test("is another project's: 404", async () => {
    const { id } = await newEnvironment({ A: "1" });
    const other = await newProject();
    for (const [method, body] of [["GET"], ["PATCH", { name: "x" }], ["DELETE"]] as const) {
      expect((await ask(method, `/v1/environments/${id}`, { key: other.key, body })).status).toBe(404);
    }
  });

  test("is listed newest first, page by page", async () => {
    const own = await newProject();
    for (let i = 0; i < 5; i++) await ask("POST", "/v1/environments", { key: own.key, body: { name: `E${i}` } });
    const names: string[] = [];
    for (let cursor: string | null = ""; cursor !== null; ) {
      const page: Answer = await get(`/v1/environments?limit=2${cursor && `&cursor=${cursor}`}`, own.key);
      names.push(...page.body.data.map((e: { name: string }) => e.name));
      cursor = page.body.next_cursor;
    }
    expect(names).toEqual(["E4", "E3", "E2", "E1", "E0"]);
  });

  test.each<[Record<string, unknown>, string[]]>([
    [{}, ["name"]],
    [{ name: "" }, ["name"]],
    [{ name: "x", slug: "No" }, ["slug"]],
    [{ name: "x", varables: {} }, ["varables"]],
    [{ name: "x", id: "1" }, ["id"]],
    [{ name: "x", variables: { "A-B": "1", "9": "1", OK: "1" } }, ["variables.9", "variables.A-B"]],
    [{ name: "x", variables: { A: 1 } }, ["variables.A"]],
    [{ name: "x", variables: { A: "x".repeat(4097) } }, ["variables.A"]],
    [{ name: "x", variables: { A: "\0" } }, ["variables.A"]],
    [{ name: "x", variables: { A: null } }, ["variables.A"]],
    [{ name: "x", variables: [] }, ["variables"]],
    [{ name: "x", variables: Object.fromEntries(Array.from({ length: 101 }, (_, i) => [`V${i}`, ""])) }, ["variables"]],
    [{ name: "x", variables: { ENDPOINT_URL: "http://10.0.0.1/" } }, ["variables.ENDPOINT_URL"]],
    [{ name: "x", variables: { ENDPOINT_URL: "https://{{env.HOST}}/", HOST: "a.com" } }, ["variables.ENDPOINT_URL"]],
    [{ name: "x", variables: { FALLBACK_ENDPOINT_URL: "service://nobody/" } }, ["variables.FALLBACK_ENDPOINT_URL"]],
    [{ name: "x", variables: { ENDPOINT_URL: "https://a.com/{{env.NONE}}" } }, ["variables.ENDPOINT_URL"]],
  ])("%j is refused by the names of its wrong fields", async (body, wrong) => {
    const answer = await post(body);
    expect([answer.status, paths(answer).sort()]).toEqual([422, wrong]);
  });

  test("created twice with one Idempotency-Key is one; the replay shows names only", async () => {
    const headers = { "Idempotency-Key": crypto.randomUUID() };
    const first = await post({ name: "Once", variables: { TOKEN: "hush-once" } }, headers);
    const again = await post({ name: "Once", variables: { TOKEN: "hush-once" } }, headers);
    expect(again.headers.get("Idempotency-Replayed")).toBe("true");
    expect(again.body).toEqual({ ...first.body, variables: { TOKEN: null } });
    const rows = await bindings.DB.prepare("SELECT body FROM idempotent_requests").all();
    expect(JSON.stringify(rows.results)).not.toContain("hush-once");
    expect((await post({ name: "Other" }, headers)).status).toBe(409);
  });
});

describe("variables", () => {
  test("are sealed at rest, and shown as names but to jobs:write", async () => {
    const { id } = await newEnvironment({ TOKEN: "hush-at-rest", REGION: "eu" });
    expect(await stored(id)).not.toContain("hush");
    expect((await get(`/v1/environments/${id}`, reader)).body.variables).toEqual({ TOKEN: null, REGION: null });
    const listed = (await get("/v1/environments", reader)).body.data;
    expect(JSON.stringify(listed)).not.toContain("hush");
    const writer = await newKey(project.id, ["jobs:read", "jobs:write"]);
    expect((await get(`/v1/environments/${id}`, writer)).body.variables).toEqual({
      TOKEN: "hush-at-rest",
      REGION: "eu",
    });
  });

  test("are replaced as a whole; null keeps a value, and what does not change is not sealed anew", async () => {
    const { id } = await newEnvironment({ A: "1", B: "2", C: "3" });
    const before = JSON.parse(JSON.parse(await stored(id)).variables);
    const changed = await patch(id, { variables: { A: null, B: "2", D: "4" } });
    expect(changed.body.variables).toEqual({ A: "1", B: "2", D: "4" });
    const after = JSON.parse(JSON.parse(await stored(id)).variables);
    expect([after.A, after.B]).toEqual([before.A, before.B]);
    const unchanged = await stored(id);
    await patch(id, { variables: { A: "1", B: null, D: "4" } });
    expect(await stored(id)).toBe(unchanged);
    expect(paths(await patch(id, { variables: { NEW: null } }))).toEqual(["variables.NEW"]);
    expect((await patch(id, { variables: {} })).body.variables).toEqual({});
  });

  test("of many changes at once: none is half done", async () => {
    const { id } = await newEnvironment({ N: "0" });
    const answers = await Promise.all([1, 2, 3].map((n) => patch(id, { variables: { N: `${n}`, M: `${n}` } })));
    expect(answers.map((a) => a.status)).toEqual([200, 200, 200]);
    const { N, M } = (await get(`/v1/environments/${id}`)).body.variables;
    expect(N).toBe(M);
  });

  test("cannot be kept without ENCRYPTION_KEYS, and do not move to another environment", async () => {
    const without = { ...bindings, ENCRYPTION_KEYS: undefined } as unknown as Env;
    const refused = await askWith(without, "POST", "/v1/environments", {
      key,
      body: { name: "x", variables: { A: "1" } },
    });
    expect([refused.status, refused.body.error.code]).toEqual([503, "unavailable"]);
    const [mine, theirs] = [await newEnvironment({ A: "mine" }), await newEnvironment({ A: "theirs" })];
    await bindings.DB.prepare(
      "UPDATE environments SET variables = (SELECT variables FROM environments WHERE id = ?) WHERE id = ?",
    )
      .bind(theirs.id, mine.id)
      .run();
    expect((await get(`/v1/environments/${mine.id}`)).status).toBe(503);
    await bindings.DB.prepare("DELETE FROM environments WHERE id = ?").bind(mine.id).run();
  });
});

describe("a job's environment", () => {
  test.each(["environment_id", "group_id"])("%s that is unknown or another project's is 422", async (field) => {
    const other = await newProject();
    const path = field === "group_id" ? "/v1/job-groups" : "/v1/environments";
    const foreign = (await ask("POST", path, { key: other.key, body: { name: "Foreign" } })).body.id;
    const job = await newJob(key);
    for (const id of [foreign, job.id, "staging"]) {
      const body = { name: "x", endpoint_url: ENDPOINT, [field]: id };
      const made = await ask("POST", "/v1/jobs", { key, body });
      expect([made.status, paths(made)]).toEqual([422, [field]]);
      const changed = await ask("PATCH", `/v1/jobs/${job.id}`, { key, body: { [field]: id } });
      expect([changed.status, paths(changed)]).toEqual([422, [field]]);
    }
  });

  test("must have the variables that its URLs and headers name", async () => {
    const environment = await newEnvironment({ A: "1" });
    const bound = (fields: Record<string, unknown>) =>
      ask("POST", "/v1/jobs", {
        key,
        body: { name: "x", endpoint_url: ENDPOINT, environment_id: environment.id, ...fields },
      });
    const wrong = await bound({
      endpoint_url: "https://a.com/{{env.A}}/{{env.NONE}}",
      fallback_endpoint_url: "https://a.com/?q={{env.NONE}}",
      endpoint_headers: { "X-A": "{{env.A}}", "X-B": "{{env.NONE}}" },
    });
    expect(paths(wrong)).toEqual(["endpoint_url", "fallback_endpoint_url", "endpoint_headers.X-B"]);
    expect(paths(await bound({ environment_id: null, endpoint_url: "https://a.com/{{env.A}}" }))).toEqual([
      "endpoint_url",
    ]);
    expect(paths(await bound({ endpoint_url: "https://{{env.A}}/" }))).toEqual(["endpoint_url"]);
    expect(paths(await bound({ endpoint_headers: { "X-A": "{{ env.A }}" } }))).toEqual(["endpoint_headers.X-A"]);

    const right = await bound({ endpoint_url: "https://a.com/{{env.A}}", endpoint_headers: { "X-A": "{{env.A}}" } });
    expect(right.status).toBe(201);
    // A kept header's value is looked into, though it is not shown.
    const poorer = await newEnvironment({ B: "1" });
    const moved = await ask("PATCH", `/v1/jobs/${right.body.id}`, {
      key,
      body: { environment_id: poorer.id, endpoint_url: ENDPOINT, endpoint_headers: { "X-A": null } },
    });
    expect([moved.status, paths(moved)]).toEqual([422, ["endpoint_headers.X-A"]]);
  });

  test("that has lost a variable stands in the way of what needs it, and of nothing else", async () => {
    const environment = await newEnvironment({ A: "1" });
    const job = await newJob(key, { environment_id: environment.id, endpoint_url: "https://a.com/{{env.A}}" });
    await ask("PATCH", `/v1/environments/${environment.id}`, { key, body: { variables: {} } });
    const group = (await ask("POST", "/v1/job-groups", { key, body: { name: "Any" } })).body;
    const patch = (body: object) => ask("PATCH", `/v1/jobs/${job.id}`, { key, body });
    expect((await patch({ group_id: group.id })).status).toBe(200);
    expect(paths(await patch({ endpoint_headers: { "X-A": "1" } }))).toEqual(["endpoint_url"]);
    expect((await patch({ endpoint_url: ENDPOINT })).status).toBe(200);
  });

  test("cannot be deleted while a job uses it: 409 names the jobs", async () => {
    const environment = await newEnvironment({ A: "1" });
    const one = await newJob(key, { slug: "uses-one", environment_id: environment.id });
    const two = await newJob(key, { slug: "uses-two", environment_id: environment.id });
    const refused = await ask("DELETE", `/v1/environments/${environment.id}`, { key });
    expect([refused.status, refused.body.error.code]).toEqual([409, "conflict"]);
    expect(refused.body.error.message).toContain("uses-one, uses-two");
    expect(paths(refused)).toEqual(["jobs.uses-one", "jobs.uses-two"]);
    await ask("DELETE", `/v1/jobs/${one.id}`, { key });
    await ask("PATCH", `/v1/jobs/${two.id}`, { key, body: { environment_id: null } });
    expect((await ask("DELETE", `/v1/environments/${environment.id}`, { key })).status).toBe(204);
    // The version that named it cannot come back.
    const restored = await ask("POST", `/v1/jobs/${two.id}/versions/1/restore`, { key });
    expect([restored.status, paths(restored)]).toEqual([422, ["environment_id"]]);
  });

  test("that is deleted while a job is being bound to it: one of the two is refused", async () => {
    for (let i = 0; i < 5; i++) {
      const environment = await newEnvironment();
      const job = await newJob(key);
      const [bound, deleted] = await Promise.all([
        ask("PATCH", `/v1/jobs/${job.id}`, { key, body: { environment_id: environment.id } }),
        ask("DELETE", `/v1/environments/${environment.id}`, { key }),
      ]);
      expect([
        [200, 409],
        [422, 204],
      ]).toContainEqual([bound.status, deleted.status]);
    }
  });

  test("that was deleted since it was looked up is not named by what is written", async () => {
    const stored = await selectJob(bindings.DB, (await newJob(key)).id);
    if (!stored) throw new Error("no job");
    const foreign = (await newProject()).key;
    const theirs = await ask("POST", "/v1/environments", { key: foreign, body: { name: "Theirs" } });
    const unknown = crypto.randomUUID();
    for (const [i, names] of [
      { environment_id: unknown },
      { environment_id: theirs.body.id },
      { group_id: unknown },
      { on_complete_trigger_workflow: "nowhere" },
    ].entries()) {
      const spec = { ...stored.current.spec, slug: "never", ...names };
      const version = { version: 2, version_id: `ver_never${i}`, spec };
      const at = { actor: "test", at: Date.now() };
      const update = { id: stored.id, from_revision: stored.revision, version, ...at };
      expect(await updateJob(bindings.DB, update)).toBeNull();
      const id = crypto.randomUUID();
      const job = {
        id,
        project_id: project.id,
        version_id: `ver_${id.slice(0, 8)}`,
        spec,
        clock: clockAfter(spec, at.at),
        ...at,
      };
      expect(await insertJob(bindings.DB, job)).toBeNull();
      const kept = await bindings.DB.prepare("SELECT count(*) AS n FROM job_versions WHERE version_id IN (?, ?)")
        .bind(version.version_id, job.version_id)
        .first("n");
      expect(kept).toBe(0);
    }
  });

  test("goes with its project, when that has no jobs", async () => {
    const own = await newProject();
    await ask("POST", "/v1/environments", { key: own.key, body: { name: "E" } });
    await ask("POST", "/v1/job-groups", { key: own.key, body: { name: "G" } });
    expect((await ask("DELETE", `/v1/projects/${own.id}`)).status).toBe(204);
  });
});

test("no answer and no log line but the writer's own shows a secret", async () => {
  const lines: unknown[] = [];
  const spies = (["log", "error", "warn", "info", "debug"] as const).map((level) =>
    vi.spyOn(console, level).mockImplementation((...args) => void lines.push(args)),
  );
  try {
    const environment = await newEnvironment({ TOKEN: "hush-variable" });
    const fields = {
      environment_id: environment.id,
      endpoint_url: "https://a.com/{{env.TOKEN}}",
      endpoint_headers: { "X-Key": "hush-header {{env.TOKEN}}" },
      endpoint_signing_secret: "hush-signing",
      webhook_secret: "hush-webhook",
    };
    const job = await newJob(key, fields);
    await ask("PATCH", `/v1/jobs/${job.id}`, { key, body: { endpoint_signing_secret: "hush-signing-2" } });
    await ask("POST", `/v1/jobs/${job.id}/pause`, { key });
    await ask("POST", `/v1/jobs/${job.id}/trigger`, { key, body: {} });
    const seen = [
      JSON.stringify(job),
      ...(await Promise.all(
        [
          "/v1/jobs",
          `/v1/jobs/${job.id}`,
          `/v1/jobs/${job.id}/versions`,
          `/v1/jobs/${job.id}/versions/2?diff=1`,
          `/v1/jobs/${job.id}/health`,
          "/v1/environments",
          `/v1/environments/${environment.id}`,
        ].map(async (path) => JSON.stringify((await get(path, reader)).body)),
      )),
      JSON.stringify((await get("/v1/runs")).body),
      // Wrong in every way that looks at secrets.
      JSON.stringify((await ask("PATCH", `/v1/jobs/${job.id}`, { key, body: { environment_id: null } })).body),
      JSON.stringify(
        (
          await askWith(
            { ENCRYPTION_KEYS: "2:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=" },
            "GET",
            `/v1/environments/${environment.id}`,
            { key },
          )
        ).body,
      ),
      JSON.stringify(lines),
    ];
    for (const text of seen) expect(text).not.toContain("hush");
  } finally {
    for (const spy of spies) spy.mockRestore();
  }
});
