import { runInDurableObject } from "cloudflare:test";
import { beforeAll, describe, expect, test, vi } from "vitest";
import { laneName } from "../../src/domain/id.ts";
import { openSealed, secretAad } from "../../src/domain/secret.ts";
import { tellUntold } from "../../src/operations/job-changes.ts";
import { findJob, jobByNumber, versionByRef } from "../../src/operations/jobs.ts";
import { type Answer, ask, askWith, bindings, ENDPOINT, newJob, newProject } from "./ask.ts";

/** Jobs and their versions (contract 2 and 5), from the outside. */

let project: { id: string; slug: string; key: string };
let key: string;
beforeAll(async () => {
  project = await newProject();
  key = project.key;
});

const get = (path: string): Promise<Answer> => ask("GET", path, { key });
const patch = (job: { id: string }, body: unknown, headers?: Record<string, string>): Promise<Answer> =>
  ask("PATCH", `/v1/jobs/${job.id}`, { key, body, headers });
const post = (path: string, body?: unknown, headers?: Record<string, string>): Promise<Answer> =>
  ask("POST", path, { key, body, headers });
const paths = (answer: Answer): string[] => answer.body.error.details.map((d: { path: string }) => d.path);

const row = async (id: string) => {
  const found = await bindings.DB.prepare("SELECT * FROM jobs WHERE id = ?").bind(id).first<Record<string, unknown>>();
  if (!found) throw new Error("no such job");
  return found;
};

/** What a coordinator has been told, as its own answer to an older configuration says. */
const told = async (id: string): Promise<number> => Number((await row(id)).told_revision);

const FULL = {
  name: "Everything",
  slug: "everything",
  description: "All of it",
  tags: { team: "a" },
  cron: "*/5 * * * *",
  timezone: "Europe/Berlin",
  cron_overlap_policy: "skip",
  payload_schema: { type: "object", required: ["id"] },
  endpoint_url: ENDPOINT,
  fallback_endpoint_url: "https://fallback.example.com/",
  endpoint_method: "PUT",
  success_statuses: ["2xx", 409],
  retry_statuses: [500],
  max_attempts: 7,
  timeout_secs: 30,
  retry_strategy: "custom",
  retry_delays_secs: [1, 2.5, 10],
  retry_base_secs: 2,
  retry_max_secs: 60,
  retry_jitter: 0,
  on_lost: "crash",
  max_concurrency: 10,
  max_concurrency_per_key: 2,
  concurrency_key_from: "payload.tenant_id",
  rate_limit_max: 100,
  rate_limit_window_secs: 60,
  rate_limit_keys: [{ name: "tenant", max: 5, window_secs: 1 }],
  hold_on_retry_after: true,
  adaptive_concurrency: { min: 1, max: 10 },
  circuit_breaker: { failures: 5, window_secs: 60, open_secs: 30 },
  dedup_window_secs: 3600,
  execution_window_cron: "0 9-17 * * 1-5",
  run_ttl_secs: 60,
  default_run_metadata: { source: "test" },
  enabled: false,
  webhook_url: "https://hooks.example.com/",
  on_complete_trigger_workflow: "next-step",
  on_complete_payload_mapping: { id: "result.id" },
  version_policy: "minor",
  backwards_compatible: false,
};

describe("a job", () => {
  test("keeps every field as it was given, and shows no secret", async () => {
    const secrets = {
      endpoint_headers: { "X-Api-Key": "hush-1" },
      endpoint_signing_secret: "hush-hush-2",
      webhook_secret: "hush-hush-3",
    };
    const step = { step_ref: "a", job: (await newJob(key)).id };
    await post("/v1/workflows", { name: "Next step", slug: FULL.on_complete_trigger_workflow, steps: [step] });
    const made = await post("/v1/jobs", { ...FULL, ...secrets });
    expect(made.status).toBe(201);
    expect(made.body).toMatchObject({
      ...FULL,
      project_id: project.id,
      group_id: null,
      environment_id: null,
      endpoint_headers: { "X-Api-Key": null },
      endpoint_signing_secret_set: true,
      webhook_secret_set: true,
      paused: false,
      version: 1,
    });
    expect(made.body.version_id).toMatch(/^ver_[0-9a-z]{10}$/);
    expect(made.body.id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7/);
    expect((await get("/v1/jobs/everything")).body).toEqual(made.body);
    const stored = JSON.stringify(await row(made.body.id));
    expect(stored + JSON.stringify(made.body)).not.toContain("hush");
  });

  test("has the contract's defaults", async () => {
    const job = await newJob(key, { name: "Plain job" });
    expect(job).toMatchObject({
      slug: "plain-job",
      description: null,
      tags: {},
      cron: null,
      timezone: "UTC",
      cron_overlap_policy: "allow",
      payload_schema: null,
      fallback_endpoint_url: null,
      endpoint_method: "POST",
      endpoint_headers: {},
      success_statuses: null,
      retry_statuses: null,
      max_attempts: 3,
      timeout_secs: 300,
      retry_strategy: "exponential",
      retry_delays_secs: null,
      retry_base_secs: 1,
      retry_max_secs: 3600,
      retry_jitter: 0.2,
      on_lost: "retry",
      max_concurrency: null,
      max_concurrency_per_key: null,
      rate_limit_max: null,
      rate_limit_keys: [],
      hold_on_retry_after: false,
      dedup_window_secs: null,
      run_ttl_secs: null,
      default_run_metadata: {},
      enabled: true,
      webhook_url: null,
      webhook_secret_set: false,
      backwards_compatible: true,
    });
  });

  test("gets a slug of its own: given ones are unique, made ones are numbered, deleted ones are free", async () => {
    const first = await newJob(key, { name: "Same Name" });
    const second = await newJob(key, { name: "Same Name" });
    expect([first.slug, second.slug]).toEqual(["same-name", "same-name-2"]);
    const taken = await post("/v1/jobs", { name: "x", slug: "same-name", endpoint_url: ENDPOINT });
    expect([taken.status, taken.body.error.code]).toEqual([409, "conflict"]);
    expect((await patch(second, { slug: "same-name" })).status).toBe(409);
    expect((await get(`/v1/jobs/${second.id}`)).body).toEqual(second);
    expect((await ask("DELETE", `/v1/jobs/${first.id}`, { key })).status).toBe(204);
    expect((await patch(second, { slug: "same-name" })).status).toBe(200);
    expect((await get("/v1/jobs/same-name")).body.id).toBe(second.id);
    const elsewhere = await newProject();
    expect((await newJob(elsewhere.key, { slug: "same-name" })).slug).toBe("same-name");
  });

  test("of the wrong shape names every bad field at once", async () => {
    const answer = await post("/v1/jobs", {
      nmae: "x",
      slug: "NO",
      max_attempts: 101,
      timeout_secs: 0,
      endpoint_url: "https://169.254.169.254/latest",
      cron: "* * * * * *",
      timezone: "Mars",
      group_id: "g",
      payload_schema: { $ref: "https://evil.example.com" },
      version: 3,
      endpoint_headers: { Host: "x" },
    });
    expect(answer.status).toBe(422);
    expect(paths(answer).sort()).toEqual([
      "cron",
      "endpoint_headers.Host",
      "endpoint_url",
      "group_id",
      "max_attempts",
      "name",
      "nmae",
      "payload_schema.$ref",
      "slug",
      "timeout_secs",
      "timezone",
      "version",
    ]);
    expect(JSON.stringify(answer.body)).toContain("did you mean name?");
    const whole = await post("/v1/jobs", {
      name: "x",
      endpoint_url: ENDPOINT,
      retry_strategy: "custom",
      rate_limit_max: 1,
    });
    expect(paths(whole)).toEqual(["retry_delays_secs", "rate_limit_window_secs"]);
  });

  test("is judged as a whole when one field changes", async () => {
    const job = await newJob(key, { rate_limit_max: 1, rate_limit_window_secs: 1 });
    expect(paths(await patch(job, { rate_limit_max: null }))).toEqual(["rate_limit_max"]);
    expect((await patch(job, { rate_limit_max: null, rate_limit_window_secs: null })).status).toBe(200);
    expect(paths(await patch(job, { retry_strategy: "custom" }))).toEqual(["retry_delays_secs"]);
    expect(paths(await patch(job, { endpoint_url: "http://0x7f.1/" }))).toEqual(["endpoint_url"]);
  });
});

describe("a change", () => {
  test("makes a version; one that changes nothing makes none", async () => {
    const job = await newJob(key, {
      payload_schema: { type: "object", title: "t" },
      endpoint_headers: { "X-A": "1" },
      webhook_secret: "a secret",
    });
    for (const nothing of [
      {},
      { name: job.name },
      { payload_schema: { title: "t", type: "object" } },
      { endpoint_headers: { "X-A": "1" }, webhook_secret: "a secret" },
      { endpoint_headers: { "X-A": null } },
    ]) {
      const answer = await patch(job, nothing);
      expect([answer.status, answer.body]).toEqual([200, job]);
    }
    const changed = await patch(job, { max_attempts: 5 });
    expect(changed.body).toMatchObject({ version: 2, max_attempts: 5, name: job.name });
    expect(changed.body.version_id).not.toBe(job.version_id);
    expect(await told(job.id)).toBe(Number((await row(job.id)).revision));
  });

  test("honours If-Match", async () => {
    const made = await post("/v1/jobs", { name: "Matched", endpoint_url: ENDPOINT });
    const job = made.body;
    const tag = made.headers.get("ETag") ?? "";
    expect(tag).toMatch(/^".+"$/);
    for (const stale of ['"999"', "nonsense", '"0", "77"']) {
      for (const answer of [
        await patch(job, { name: "Lost" }, { "If-Match": stale }),
        await ask("DELETE", `/v1/jobs/${job.id}`, { key, headers: { "If-Match": stale } }),
      ]) {
        expect([answer.status, answer.body.error.code]).toEqual([412, "precondition_failed"]);
      }
    }
    const next = await patch(job, { name: "Won" }, { "If-Match": `"0", W/${tag}` });
    expect(next.status).toBe(200);
    expect((await patch(job, { name: "Late" }, { "If-Match": tag })).status).toBe(412);
    const paused = await post(`/v1/jobs/${job.id}/pause`);
    expect(paused.headers.get("ETag")).not.toBe(next.headers.get("ETag"));
    expect((await patch(job, { name: "Any" }, { "If-Match": "*" })).status).toBe(200);
    const fresh = (await get(`/v1/jobs/${job.id}`)).headers.get("ETag") ?? "";
    expect((await ask("DELETE", `/v1/jobs/${job.id}`, { key, headers: { "If-Match": fresh } })).status).toBe(204);
  });

  test("of many at once is lost by none: every version stands, once", async () => {
    const job = await newJob(key);
    const answers = await Promise.all(Array.from({ length: 4 }, (_, i) => patch(job, { description: `change ${i}` })));
    expect(answers.map((a) => a.status)).toEqual([200, 200, 200, 200]);
    expect(answers.map((a) => a.body.version).sort()).toEqual([2, 3, 4, 5]);
    const versions = await get(`/v1/jobs/${job.id}/versions`);
    expect(versions.body.data.map((v: { version: number }) => v.version)).toEqual([5, 4, 3, 2, 1]);
    for (const answer of answers) {
      const version = versions.body.data.find((v: { version: number }) => v.version === answer.body.version);
      expect(version).toMatchObject({ description: answer.body.description, version_id: answer.body.version_id });
    }
  });

  test("that its coordinator cannot hear is 503, stands, and is told later", async () => {
    const job = await newJob(key);
    const COORDINATOR = {
      idFromName: () => ({}),
      get: () => ({ configure: () => Promise.reject(new Error("unreachable")) }),
    } as unknown as typeof bindings.COORDINATOR;
    const lines: Record<string, string>[] = [];
    const spy = vi.spyOn(console, "error").mockImplementation((line: string) => void lines.push(JSON.parse(line)));
    const answer = await askWith({ COORDINATOR }, "PATCH", `/v1/jobs/${job.id}`, { key, body: { name: "Unheard" } });
    spy.mockRestore();
    const mine = lines.filter((line) => line.request_id === answer.headers.get("X-Request-Id"));
    expect(mine.map(({ event, job_id }) => [event, job_id])).toEqual([
      ["job_untold", job.id],
      ["request_failed", undefined],
    ]);
    expect([answer.status, answer.body.error.code]).toEqual([503, "unavailable"]);
    expect(Number(answer.headers.get("Retry-After"))).toBeGreaterThan(0);
    expect((await get(`/v1/jobs/${job.id}`)).body).toMatchObject({ name: "Unheard", version: 2 });
    expect(await told(job.id)).toBe(1);
    expect(await tellUntold(bindings, 100)).toEqual({ told: 1, failed: 0 });
    expect(await told(job.id)).toBe(2);
    expect(await tellUntold(bindings, 100)).toEqual({ told: 0, failed: 0 });
    // The same request again changes nothing, and is in force.
    expect((await patch(job, { name: "Unheard" })).body.version).toBe(2);
  });
});

describe("secrets", () => {
  const sealedHeaders = async (id: string): Promise<Record<string, string>> =>
    JSON.parse(String((await row(id)).spec)).endpoint_headers;

  test("open only at their job; null keeps a header, absence drops it", async () => {
    const job = await newJob(key, { endpoint_headers: { "X-A": "one", "X-B": "two" } });
    const before = await sealedHeaders(job.id);
    const keys = bindings.ENCRYPTION_KEYS ?? "";
    expect(await openSealed(keys, before["X-A"] ?? "", secretAad(job.id, "endpoint_headers.X-A"))).toBe("one");
    const answer = await patch(job, { endpoint_headers: { "x-a": null, "X-C": "three" } });
    expect(answer.body.endpoint_headers).toEqual({ "x-a": null, "X-C": null });
    const after = await sealedHeaders(job.id);
    expect(after["x-a"]).toBe(before["X-A"]);
    const missing = await patch(job, { endpoint_headers: { "X-B": null } });
    expect([missing.status, paths(missing)]).toEqual([422, ["endpoint_headers.X-B"]]);
    const cleared = await patch(job, { endpoint_headers: {}, webhook_secret: "a new one" });
    expect(cleared.body).toMatchObject({ endpoint_headers: {}, webhook_secret_set: true });
    expect((await patch(job, { webhook_secret: null })).body.webhook_secret_set).toBe(false);
  });

  test("go along with a clone, sealed anew", async () => {
    const job = await newJob(key, { endpoint_headers: { "X-A": "one" }, endpoint_signing_secret: "two-two-two" });
    const clone = (await post(`/v1/jobs/${job.id}/clone`, { name: "The clone", slug: "the-clone" })).body;
    expect(clone).toMatchObject({
      endpoint_headers: { "X-A": null },
      endpoint_signing_secret_set: true,
      version: 1,
      name: "The clone",
      slug: "the-clone",
    });
    const sealed = (await sealedHeaders(clone.id))["X-A"] ?? "";
    expect(await openSealed(bindings.ENCRYPTION_KEYS ?? "", sealed, secretAad(clone.id, "endpoint_headers.X-A"))).toBe(
      "one",
    );
  });

  test("cannot be saved without ENCRYPTION_KEYS, anything else can", async () => {
    for (const ENCRYPTION_KEYS of [undefined, "1:short"]) {
      const with_ = (body: object) =>
        askWith({ ENCRYPTION_KEYS }, "POST", "/v1/jobs", { key, body: { name: "n", endpoint_url: ENDPOINT, ...body } });
      for (const secret of [
        { webhook_secret: "a secret" },
        { endpoint_signing_secret: "a secret" },
        { endpoint_headers: { "X-A": "s" } },
      ]) {
        const answer = await with_(secret);
        expect(answer.status).toBe(503);
        expect(answer.body.error.message).toContain("ENCRYPTION_KEYS");
      }
      expect((await with_({ webhook_secret: null })).status).toBe(201);
    }
  });
});

describe("pause, resume, delete", () => {
  test("pausing is no version; twice is once", async () => {
    const job = await newJob(key);
    const paused = await post(`/v1/jobs/${job.slug}/pause`);
    expect(paused.body).toEqual({ ...job, paused: true, updated_at: paused.body.updated_at });
    expect((await post(`/v1/jobs/${job.id}/pause`)).headers.get("ETag")).toBe(paused.headers.get("ETag"));
    expect((await post(`/v1/jobs/${job.id}/resume`)).body).toMatchObject({ paused: false, version: 1 });
    expect(await told(job.id)).toBe(3);
  });

  test("a deleted job is hidden everywhere, and told so", async () => {
    const job = await newJob(key);
    const { number } = (await row(job.id)) as { number: number };
    expect((await ask("DELETE", `/v1/jobs/${job.id}`, { key })).status).toBe(204);
    for (const answer of [
      await get(`/v1/jobs/${job.id}`),
      await get(`/v1/jobs/${job.slug}`),
      await patch(job, {}),
      await post(`/v1/jobs/${job.id}/pause`),
      await ask("DELETE", `/v1/jobs/${job.id}`, { key }),
    ]) {
      expect(answer.status).toBe(404);
    }
    expect(JSON.stringify((await get("/v1/jobs?limit=200")).body)).not.toContain(job.id);
    expect(await told(job.id)).toBe(2);
    // Its runs stay readable: their ids still lead to it.
    expect((await jobByNumber(bindings, number))?.deleted_at).not.toBeNull();
  });
});

describe("versions", () => {
  test("are kept whole, compared and restored", async () => {
    const job = await newJob(key, { endpoint_headers: { "X-A": "1" }, tags: { a: "1" } });
    const path = `/v1/jobs/${job.id}/versions`;
    const second = (await patch(job, { name: "Second", endpoint_headers: { "X-A": "2" } })).body;
    await patch(job, { description: "Third", tags: {} });
    const first = (await get(`${path}/${job.version_id}`)).body;
    expect(first).toMatchObject({
      job_id: job.id,
      version: 1,
      name: job.name,
      tags: { a: "1" },
      endpoint_headers: { "X-A": null },
      diff: null,
    });
    expect((await get(`${path}/1`)).body).toEqual(first);
    const diff = (await get(`${path}/${second.version_id}?diff=${job.version_id}`)).body.diff;
    expect(diff).toEqual([
      { field: "name", from: job.name, to: "Second" },
      { field: "endpoint_headers.X-A", from: "set", to: "set" },
    ]);
    const restored = await post(`${path}/${job.version_id}/restore`);
    expect(restored.status).toBe(201);
    const { version, version_id, updated_at, updated_by, ...same } = job;
    expect(restored.body).toMatchObject({ ...same, version: 4 });
    expect((await get(`${path}/4?diff=1`)).body.diff).toEqual([]);
    for (const absent of ["5", "0", "ver_0000000000", "nope"])
      expect((await get(`${path}/${absent}`)).status).toBe(404);
    expect((await get(`${path}/1?diff=9`)).status).toBe(404);
    expect((await post(`${path}/9/restore`)).status).toBe(404);
    const other = await newJob(key);
    expect((await get(`/v1/jobs/${other.id}/versions/${job.version_id}`)).status).toBe(404);
  });

  test("that the coordinator was never told reach it with the next one it hears of", async () => {
    const job = await newJob(key, { version_policy: "minor" });
    const COORDINATOR = {
      idFromName: () => ({}),
      get: () => ({ configure: () => Promise.reject(new Error("unreachable")) }),
    } as unknown as typeof bindings.COORDINATOR;
    for (let n = 2; n <= 43; n++) {
      const body = { description: `Version ${n}` };
      expect((await askWith({ COORDINATOR }, "PATCH", `/v1/jobs/${job.id}`, { key, body })).status).toBe(503);
    }
    // A trigger that knows the newest one brings it along too; here it is a change.
    expect((await patch(job, { description: "Heard" })).body.version).toBe(44);
    const lane = bindings.COORDINATOR.get(bindings.COORDINATOR.idFromName(laneName(job.id, 0)));
    const kept = await runInDurableObject(lane, (_, state) =>
      state.storage.sql.exec("SELECT version, doc ->> '$.spec.description' AS text FROM versions").toArray(),
    );
    const text = (n: number) => (n === 1 ? null : n === 44 ? "Heard" : `Version ${n}`);
    expect(kept).toEqual(Array.from({ length: 44 }, (_, i) => ({ version: i + 1, text: text(i + 1) })));
    // The list walks them all, once each.
    const walked: number[] = [];
    for (let cursor: string | null = ""; cursor !== null; ) {
      const page = await get(`/v1/jobs/${job.id}/versions?limit=20${cursor && `&cursor=${cursor}`}`);
      walked.push(...page.body.data.map((v: { version: number }) => v.version));
      cursor = page.body.next_cursor;
    }
    expect(walked).toEqual(Array.from({ length: 44 }, (_, i) => 44 - i));
  });

  test("a trigger's own one goes before the policy, and is judged by its own schema", async () => {
    const job = await newJob(key, {
      version_policy: "latest",
      payload_schema: { type: "object", required: ["old"] },
    });
    await post(`/v1/jobs/${job.id}/pause`);
    const second = (await patch(job, { payload_schema: { type: "object", required: ["new"] } })).body;
    const trigger = (body: unknown) => post(`/v1/jobs/${job.id}/trigger`, body);
    expect((await trigger({ payload: { old: 1 } })).status).toBe(422);
    const named = await trigger({ payload: { old: 1 }, version: job.version_id });
    expect((await get(`/v1/runs/${named.body.id}`)).body).toMatchObject({
      job_version: 1,
      job_version_id: job.version_id,
    });
    expect(paths(await trigger({ payload: { new: 1 }, version: 1 }))).toEqual(["payload.old"]);
    const dry = await trigger({ payload: { old: 1 }, version: 1, dry_run: true });
    expect(dry.body).toMatchObject({ outcome: "created", job_version: 1 });
    expect((await trigger({ payload: { new: 1 }, dry_run: true })).body.job_version).toBe(2);
    expect(paths(await trigger({ payload: { new: 1 }, version: 3 }))).toEqual(["version"]);
    const restored = await post(`/v1/jobs/${job.id}/versions/1/restore`);
    expect(restored.body).toMatchObject({ version: 3, payload_schema: job.payload_schema, paused: true });
    expect(restored.body.version_id).not.toBe(job.version_id);
    expect((await trigger({ payload: { old: 1 } })).status).toBe(201);
    expect((await get(`/v1/jobs/${job.id}/versions/${second.version_id}`)).body.version).toBe(2);
  });

  test("are found by number and by id, also by other operations", async () => {
    const job = await newJob(key);
    await patch(job, { name: "Newer" });
    const found = await findJob(bindings, project.id, job.slug, { fresh: true });
    for (const ref of [1, "1", job.version_id]) expect((await versionByRef(bindings, found, ref))?.version).toBe(1);
    for (const ref of [2, found.current.version_id])
      expect((await versionByRef(bindings, found, ref))?.spec.name).toBe("Newer");
    for (const ref of [0, 3, "x", "ver_0000000000"]) expect(await versionByRef(bindings, found, ref)).toBeNull();
    expect((await jobByNumber(bindings, found.number))?.id).toBe(job.id);
    expect(await jobByNumber(bindings, 4_000_000_000)).toBeNull();
  });
});

test("a cron whose lists overlap has a schedule as any other", async () => {
  const job = await newJob(key, { cron: "1-5,3,*/30 0,0 * * mon,MON" });
  // Any seven in a row are all of a Monday's, in whatever order.
  const { status, body } = await ask("GET", `/v1/jobs/${job.id}/schedule?count=7`, { key });
  expect([status, body.data.map((time: string) => time.slice(11, 16)).sort()]).toEqual([
    200,
    ["00:00", "00:01", "00:02", "00:03", "00:04", "00:05", "00:30"],
  ]);
});

test("an empty secret is told what is wrong with it once", async () => {
  for (const field of ["endpoint_signing_secret", "webhook_secret"]) {
    const body = { name: "J", endpoint_url: "https://api.example.com/", [field]: "" };
    const { status, body: answer } = await ask("POST", "/v1/jobs", { key, body });
    const details = [{ path: field, message: "must have at least 8 characters" }];
    expect([status, answer.error.details]).toEqual([422, details]);
  }
});

test("health and schedule answer", async () => {
  const job = await newJob(key, { cron: "0 9 * * *", timezone: "Europe/Berlin" });
  const health = await get(`/v1/jobs/${job.id}/health`);
  expect(health.body).toMatchObject({ waiting: 0, executing: 0, concurrency_now: 0, last_24h: { success_rate: null } });
  const schedule = await get(`/v1/jobs/${job.id}/schedule?count=5`);
  expect(schedule.body.data).toHaveLength(5);
  for (const at of schedule.body.data) expect(at).toMatch(/T0[78]:00:00\.000Z$/);
  for (const count of ["4", "101", "x", "-5", "5.5"]) {
    expect((await get(`/v1/jobs/${job.id}/schedule?count=${count}`)).status).toBe(422);
  }
  expect((await get(`/v1/jobs/${job.id}/schedule`)).body.data).toHaveLength(10);
  const many = (await get(`/v1/jobs/${job.id}/schedule?count=100`)).body.data;
  expect(many).toEqual([...new Set(many)].sort());
  expect(many).toHaveLength(100);
  expect((await get(`/v1/jobs/${(await newJob(key)).id}/schedule`)).body).toEqual({ data: [] });
});

test.each([
  [{ cron: "0 * * * * *" }, "cron", /exactly 5 fields/],
  [{ cron: "" }, "cron", /exactly 5 fields/],
  [{ cron: "0 0 L * *" }, "cron", /L, W, # and @names are not supported/],
  [{ cron: "0 0 * * 5#2" }, "cron", /weekday field/],
  [{ cron: "0 0 31 2 *" }, "cron", /never match/],
  [{ execution_window_cron: "0 9-17 30 2 *" }, "execution_window_cron", /never match/],
  [{ cron: "0 0 * * *", timezone: "Europe/Nowhere" }, "timezone", /IANA/],
  [{ cron_overlap_policy: "queue" }, "cron_overlap_policy", /./],
  [{ cron: "0 0 * * *", max_concurrency_per_key: 1 }, "concurrency_key_from", /cron/],
])(
  "a schedule that cannot be is refused when the job is made and when it is changed: %j",
  async (fields, path, message) => {
    const job = await newJob(key);
    const made = await post("/v1/jobs", { name: "x", endpoint_url: ENDPOINT, ...fields });
    for (const answer of [made, await patch(job, fields)]) {
      expect(answer.status).toBe(422);
      expect(paths(answer)).toEqual([path]);
      expect(answer.body.error.details[0].message).toMatch(message);
    }
    expect((await get(`/v1/jobs/${job.id}`)).body).toEqual(job);
  },
);
