import { beforeAll, describe, expect, test } from "vitest";
import { SCOPES, type Scope } from "../../src/domain/scope.ts";
import { ADMIN, type Answer, ask, askWith, bindings, newJob, newKey, newProject, requestOf, send } from "./ask.ts";

/** Who may do what, and what those get who may not (contract 1). */

let mine: { id: string; slug: string; key: string };
let other: { id: string; slug: string; key: string };

beforeAll(async () => {
  mine = await newProject();
  other = await newProject();
});

function expectError(answer: Answer, status: number, code: string): void {
  expect([answer.status, answer.body.error?.code]).toEqual([status, code]);
  expect(Object.keys(answer.body)).toEqual(["error", "request_id"]);
  expect(Object.keys(answer.body.error)).toEqual(["code", "message", "details"]);
  expect(answer.headers.get("X-Request-Id")).toBe(answer.body.request_id);
}

describe("every answer", () => {
  test("carries a request id, the caller's own where it is well-formed", async () => {
    const plain = await ask("GET", "/health", { key: null });
    expect(plain.headers.get("X-Request-Id")).toMatch(/^[0-9a-f-]{36}$/);
    const named = await ask("GET", "/v1/nowhere", { headers: { "X-Request-Id": "abc-1" } });
    expectError(named, 404, "not_found");
    expect(named.body.request_id).toBe("abc-1");
    const forged = await ask("GET", "/v1/nowhere", { headers: { "X-Request-Id": "a b<script>" } });
    expect(forged.body.request_id).toMatch(/^[0-9a-f-]{36}$/);
  });

  test("to an unknown path is 404, to a wrong method 405 with Allow", async () => {
    for (const path of ["/", "/v1", "/v1/jobs/a/b/c", "/v1/jobs/", "/V1/jobs"]) {
      expectError(await ask("GET", path), 404, "not_found");
    }
    for (const [method, path, allow] of [
      ["DELETE", "/health", "GET, HEAD"],
      ["PUT", "/v1/jobs", "POST, GET, HEAD"],
      ["POST", "/v1/jobs/some-job", "GET, HEAD, PATCH, DELETE"],
      ["GET", "/v1/jobs/some-job/pause", "POST"],
    ] as const) {
      const answer = await ask(method, path);
      expectError(answer, 405, "method_not_allowed");
      expect(answer.headers.get("Allow")).toBe(allow);
    }
  });
});

describe("credentials", () => {
  test.each([
    null,
    "",
    "x",
    "sluice_",
    `sluice_${"0".repeat(64)}`,
    `sluice_${"A".repeat(64)}`,
    `${ADMIN}x`,
    ADMIN.slice(1),
    `${ADMIN} x`,
  ])("that are missing or wrong are 401: %j", async (key) =>
    expectError(await ask("GET", "/v1/jobs", { key }), 401, "authentication_required"),
  );

  test("of another scheme are 401", async () => {
    for (const Authorization of [`Basic ${btoa(`x:${mine.key}`)}`, mine.key, `Token ${mine.key}`]) {
      expectError(
        await ask("GET", "/v1/jobs", { key: null, headers: { Authorization } }),
        401,
        "authentication_required",
      );
    }
  });

  test("are asked for before anything else is judged", async () => {
    expectError(await ask("POST", "/v1/jobs", { key: null, body: "{" }), 401, "authentication_required");
    expectError(await ask("GET", "/v1/jobs?limit=0", { key: null }), 401, "authentication_required");
  });

  test("an admin token below 32 characters is none", async () => {
    const ADMIN_TOKEN = "x".repeat(31);
    expectError(
      await askWith({ ADMIN_TOKEN }, "GET", "/v1/projects", { key: ADMIN_TOKEN }),
      401,
      "authentication_required",
    );
    const longer = "x".repeat(32);
    expect((await askWith({ ADMIN_TOKEN: longer }, "GET", "/v1/projects", { key: longer })).status).toBe(200);
  });

  test("each route wants its scope, and any other is 403", async () => {
    const job = await newJob(mine.key);
    const group = (await ask("POST", "/v1/job-groups", { key: mine.key, body: { name: "g" } })).body;
    const wanted: [Scope | "admin", string, string, unknown?][] = [
      ["jobs:read", "GET", "/v1/jobs"],
      ["jobs:read", "GET", `/v1/jobs/${job.id}`],
      ["jobs:read", "GET", `/v1/jobs/${job.id}/versions`],
      ["jobs:read", "GET", `/v1/jobs/${job.id}/versions/1`],
      ["jobs:read", "GET", `/v1/jobs/${job.id}/health`],
      ["jobs:read", "GET", `/v1/jobs/${job.id}/schedule`],
      ["jobs:read", "GET", "/v1/projects"],
      ["jobs:write", "PATCH", `/v1/jobs/${job.id}`, {}],
      ["jobs:write", "POST", `/v1/jobs/${job.id}/pause`],
      ["jobs:write", "POST", `/v1/jobs/${job.id}/resume`],
      ["jobs:write", "POST", `/v1/jobs/${job.id}/clone`, {}],
      ["jobs:read", "GET", "/v1/environments"],
      ["jobs:write", "POST", "/v1/environments", { name: "x" }],
      ["jobs:read", "GET", "/v1/job-groups"],
      ["jobs:write", "POST", "/v1/job-groups", { name: "x" }],
      ["jobs:read", "GET", `/v1/job-groups/${group.id}/jobs`],
      ["jobs:read", "GET", `/v1/job-groups/${group.id}/stats`],
      ["jobs:write", "POST", `/v1/job-groups/${group.id}/pause-all`],
      ["jobs:write", "POST", `/v1/job-groups/${group.id}/resume-all`],
      ["keys:manage", "GET", "/v1/api-keys"],
      ["admin", "POST", "/v1/projects", { name: "x" }],
      ["admin", "PATCH", `/v1/projects/${mine.id}`, {}],
      ["admin", "DELETE", `/v1/projects/${mine.id}`],
    ];
    const keys = new Map<Scope, string>();
    for (const scope of SCOPES) keys.set(scope, await newKey(mine.id, [scope]));
    for (const [scope, method, path, body] of wanted) {
      for (const [held, key] of keys) {
        const answer = await ask(method, path, { key, body });
        const allowed = scope !== "admin" && (held === scope || held === "*");
        expect([method, path, held, answer.status < 300]).toEqual([method, path, held, allowed]);
        if (!allowed) expectError(answer, 403, "forbidden");
      }
    }
  });
});

describe("another project's objects", () => {
  test("are not found, whatever is done to them", async () => {
    const job = await newJob(other.key, { name: "Theirs", slug: "theirs" });
    const theirKeys = await ask("GET", "/v1/api-keys", { key: other.key });
    const keyId = theirKeys.body.data[0].id;
    for (const [method, path, body] of [
      ["GET", `/v1/jobs/${job.id}`],
      ["GET", "/v1/jobs/theirs"],
      ["PATCH", `/v1/jobs/${job.id}`, { name: "x" }],
      ["DELETE", `/v1/jobs/${job.id}`],
      ["POST", `/v1/jobs/${job.id}/pause`],
      ["POST", `/v1/jobs/${job.id}/clone`, {}],
      ["GET", `/v1/jobs/${job.id}/versions`],
      ["GET", `/v1/jobs/${job.id}/versions/${job.version_id}`],
      ["POST", `/v1/jobs/${job.id}/versions/1/restore`],
      ["GET", `/v1/jobs/${job.id}/health`],
      ["GET", `/v1/jobs/${job.id}/schedule`],
      ["GET", `/v1/projects/${other.id}`],
      ["DELETE", `/v1/api-keys/${keyId}`],
      ["POST", `/v1/api-keys/${keyId}/rotate`, {}],
      // Named openly, in query or body.
      ["GET", `/v1/jobs?project_id=${other.id}`],
      ["GET", `/v1/api-keys?project_id=${other.id}`],
      ["POST", "/v1/jobs", { project_id: other.id, name: "x", endpoint_url: "https://example.com" }],
      ["POST", "/v1/api-keys", { project_id: other.id, name: "x", scopes: ["jobs:read"] }],
    ] as [string, string, unknown?][]) {
      expectError(await ask(method, path, { key: mine.key, body }), 404, "not_found");
    }
    expect((await ask("GET", `/v1/jobs/${job.id}`, { key: other.key })).body).toEqual(job);
  });

  test("are in no list", async () => {
    const job = await newJob(mine.key);
    const lists = await Promise.all(["/v1/jobs", "/v1/api-keys"].map((path) => ask("GET", path, { key: other.key })));
    expect(JSON.stringify(lists.map((l) => l.body))).not.toContain(job.project_id);
    const projects = await ask("GET", "/v1/projects", { key: mine.key });
    expect(projects.body.data.map((p: { id: string }) => p.id)).toEqual([mine.id]);
  });

  test("the admin names the project where one is needed, and finds any object by id", async () => {
    const job = await newJob(mine.key, { slug: "by-admin" });
    for (const [method, path, body] of [
      ["GET", "/v1/jobs"],
      ["GET", "/v1/api-keys"],
      ["GET", "/v1/jobs/by-admin"],
      ["POST", "/v1/jobs", { name: "x", endpoint_url: "https://example.com" }],
      ["POST", "/v1/api-keys", { name: "x", scopes: ["*"] }],
    ] as [string, string, unknown?][]) {
      const answer = await ask(method, path, { body });
      expectError(answer, 422, "validation_failed");
      expect(answer.body.error.details[0].path).toBe("project_id");
    }
    expect((await ask("GET", `/v1/jobs/${job.id}`)).status).toBe(200);
    expect((await ask("GET", `/v1/jobs/by-admin?project_id=${mine.id}`)).body.id).toBe(job.id);
    expectError(await ask("GET", `/v1/jobs/${job.id}?project_id=${other.id}`), 404, "not_found");
    const absent = "019c2f6e-7d80-7a3b-9c55-0000000002a1";
    expectError(
      await ask("POST", "/v1/jobs", { body: { project_id: absent, name: "x", endpoint_url: "https://example.com" } }),
      404,
      "not_found",
    );
  });

  test("the admin may act for somebody; a key may not", async () => {
    const as = { "X-Actor-Id": "user:42" };
    const body = { name: "Acted", endpoint_url: "https://example.com" };
    const byAdmin = await ask("POST", "/v1/jobs", { body: { ...body, project_id: mine.id }, headers: as });
    expect(byAdmin.body.created_by).toBe("user:42");
    const byKey = await ask("POST", "/v1/jobs", { key: mine.key, body, headers: as });
    expect(byKey.body.created_by).toMatch(/^apikey:/);
    expectError(await ask("GET", "/v1/projects", { headers: { "X-Actor-Id": "a b" } }), 422, "validation_failed");
  });
});

describe("API keys", () => {
  const create = (key: string, body: object) => ask("POST", "/v1/api-keys", { key, body: { name: "k", ...body } });

  test("are shown once, and kept only as a hash", async () => {
    const made = await create(mine.key, { scopes: ["jobs:read"] });
    expect(made.status).toBe(201);
    expect(made.body.key).toMatch(/^sluice_[0-9a-f]{64}$/);
    expect(made.body.key_prefix).toBe(made.body.key.slice(0, 12));
    const listed = await ask("GET", "/v1/api-keys", { key: mine.key });
    expect(JSON.stringify(listed.body)).not.toContain(made.body.key);
    const rows = await bindings.DB.prepare("SELECT * FROM api_keys").all();
    expect(JSON.stringify(rows.results)).not.toContain(made.body.key);
    expect((await ask("GET", "/v1/jobs", { key: made.body.key })).status).toBe(200);
  });

  test("cannot make one with scopes that they lack", async () => {
    const manager = await newKey(mine.id, ["keys:manage", "jobs:read"]);
    expect((await create(manager, { scopes: ["jobs:read", "keys:manage"] })).status).toBe(201);
    for (const scopes of [["*"], ["jobs:write"], ["jobs:read", "runs:read"]]) {
      expectError(await create(manager, { scopes }), 403, "forbidden");
    }
    const broad = await create(mine.key, { scopes: ["*"] });
    expectError(
      await ask("POST", `/v1/api-keys/${broad.body.id}/rotate`, { key: manager, body: {} }),
      403,
      "forbidden",
    );
  });

  test("expire", async () => {
    expectError(
      await create(mine.key, { scopes: ["*"], expires_at: "2020-01-01T00:00:00Z" }),
      422,
      "validation_failed",
    );
    const made = await create(mine.key, { scopes: ["*"], expires_at: "2999-01-01T00:00:00+02:00" });
    expect(made.body.expires_at).toBe("2998-12-31T22:00:00.000Z");
    expect((await ask("GET", "/v1/jobs", { key: made.body.key })).status).toBe(200);
    await bindings.DB.prepare("UPDATE api_keys SET expires_at = 1 WHERE id = ?").bind(made.body.id).run();
    const fresh = await create(mine.key, { scopes: ["*"], expires_at: "2999-01-01T00:00:00Z" });
    await bindings.DB.prepare("UPDATE api_keys SET expires_at = 1 WHERE id = ?").bind(fresh.body.id).run();
    expectError(await ask("GET", "/v1/jobs", { key: fresh.body.key }), 401, "authentication_required");
  });

  test("are refused once they are revoked", async () => {
    const made = await create(mine.key, { scopes: ["*"] });
    expect((await ask("GET", "/v1/jobs", { key: made.body.key })).status).toBe(200);
    expect((await ask("DELETE", `/v1/api-keys/${made.body.id}`, { key: mine.key })).status).toBe(204);
    expectError(await ask("GET", "/v1/jobs", { key: made.body.key }), 401, "authentication_required");
    expect((await ask("DELETE", `/v1/api-keys/${made.body.id}`, { key: mine.key })).status).toBe(204);
    expectError(await ask("POST", `/v1/api-keys/${made.body.id}/rotate`, { key: mine.key }), 409, "conflict");
  });

  test("rotate: the old one works until its grace has passed", async () => {
    const made = await create(mine.key, { scopes: ["jobs:read"] });
    const graced = await ask("POST", `/v1/api-keys/${made.body.id}/rotate`, {
      key: mine.key,
      body: { grace_period_secs: 60 },
    });
    expect(graced.status).toBe(201);
    expect(graced.body).toMatchObject({ name: "k", scopes: ["jobs:read"], revoked_at: null });
    expect(graced.body.id).not.toBe(made.body.id);
    for (const { body } of [made, graced]) expect((await ask("GET", "/v1/jobs", { key: body.key })).status).toBe(200);
    const last = await ask("POST", `/v1/api-keys/${graced.body.id}/rotate`, { key: mine.key });
    expectError(await ask("GET", "/v1/jobs", { key: graced.body.key }), 401, "authentication_required");
    expect((await ask("GET", "/v1/jobs", { key: last.body.key })).status).toBe(200);
    for (const grace_period_secs of [-1, 1.5, 2_592_001, "1"]) {
      const answer = await ask("POST", `/v1/api-keys/${last.body.id}/rotate`, {
        key: mine.key,
        body: { grace_period_secs },
      });
      expectError(answer, 422, "validation_failed");
    }
  });

  test.each([
    { scopes: [] },
    { scopes: ["jobs:admin"] },
    { scopes: "jobs:read" },
    {},
    { scopes: ["*"], name: "" },
    { scopes: ["*"], expires_at: "soon" },
  ])("of the wrong shape are 422: %j", async (body) =>
    expectError(await create(mine.key, body), 422, "validation_failed"),
  );
});

describe("projects", () => {
  test("are created, read, changed and deleted", async () => {
    const made = await ask("POST", "/v1/projects", { body: { name: "Acmé Ltd", max_concurrent_invocations: 5 } });
    expect(made.status).toBe(201);
    expect(made.body).toMatchObject({ name: "Acmé Ltd", slug: "acme-ltd", max_concurrent_invocations: 5 });
    const again = await ask("POST", "/v1/projects", { body: { name: "Acmé Ltd" } });
    expect(again.body).toMatchObject({ slug: "acme-ltd-2", max_concurrent_invocations: 1000 });
    expectError(await ask("POST", "/v1/projects", { body: { name: "x", slug: "acme-ltd" } }), 409, "conflict");
    const path = `/v1/projects/${made.body.id}`;
    expectError(await ask("PATCH", path, { body: { slug: "acme-ltd-2" } }), 409, "conflict");
    const changed = await ask("PATCH", path, { body: { name: "Acme", slug: "acme" } });
    expect(changed.body).toEqual({ ...made.body, name: "Acme", slug: "acme" });
    expect((await ask("PATCH", path, { body: {} })).body).toEqual(changed.body);
    expect((await ask("GET", path)).body).toEqual(changed.body);
    const key = await newKey(made.body.id, ["*"]);
    const job = await newJob(key);
    expectError(await ask("DELETE", path), 409, "conflict");
    expect((await ask("DELETE", `/v1/jobs/${job.id}`, { key })).status).toBe(204);
    expect((await ask("DELETE", path)).status).toBe(204);
    expectError(await ask("GET", path), 404, "not_found");
    expectError(await ask("DELETE", path), 404, "not_found");
    const left = await bindings.DB.prepare(
      "SELECT (SELECT count(*) FROM api_keys WHERE project_id = ?1) + (SELECT count(*) FROM jobs WHERE project_id = ?1) AS n",
    )
      .bind(made.body.id)
      .first<{ n: number }>();
    expect(left?.n).toBe(0);
  });

  test.each([
    {},
    { name: "" },
    { name: "x".repeat(256) },
    { name: 1 },
    { name: "x", slug: "A" },
    { name: "x", max_concurrent_invocations: 0 },
    { name: "x", max_concurrent_invocations: 100_001 },
    { name: "x", id: "y" },
    [],
  ])("of the wrong shape are 422: %j", async (body) =>
    expectError(await ask("POST", "/v1/projects", { body }), 422, "validation_failed"),
  );
});

describe("bodies", () => {
  const post = (body: string, headers: Record<string, string> = {}) =>
    ask("POST", "/v1/jobs", { key: mine.key, body, headers });

  test.each(["", "{", "{}}", "nope", "{'a':1}", '{"a":1,}', '{"name":"x"', "\u0000", "[1,2", '"\\x"'])(
    "that are not JSON are 400: %j",
    async (body) => expectError(await post(body), 400, "bad_request"),
  );

  test.each(["null", "[]", '"x"', "1", "true"])("that are JSON of another shape are 422: %s", async (body) =>
    expectError(await post(body), 422, "validation_failed"),
  );

  test("that are not UTF-8 are 400", async () => {
    const request = new Request(requestOf("POST", "/v1/jobs", { key: mine.key, body: {} }), {
      body: new Uint8Array([0x7b, 0x22, 0xff, 0xfe, 0x22, 0x3a, 0x31, 0x7d]),
    });
    expectError(await send(request), 400, "bad_request");
  });

  test.each([
    "text/plain",
    "application/x-www-form-urlencoded",
    "application/xml",
    "multipart/form-data; boundary=x",
    "application/jsonp",
    "",
  ])("of another type are 415: %s", async (type) =>
    expectError(await post('{"name":"x"}', { "Content-Type": type }), 415, "unsupported_media_type"),
  );

  test.each(["application/json", "application/json; charset=utf-8", "APPLICATION/JSON"])(
    "of this type are read: %s",
    async (type) =>
      expect((await post('{"name":"x","endpoint_url":"https://example.com"}', { "Content-Type": type })).status).toBe(
        201,
      ),
  );

  test("beyond 1 MiB are 413, even where their length is not stated", async () => {
    const body = (bytes: number) => JSON.stringify({ description: "x".repeat(bytes - '{"description":""}'.length) });
    expectError(await post(body(1024 * 1024)), 422, "validation_failed");
    expectError(await post(body(1024 * 1024 + 1)), 413, "payload_too_large");
    let sent = 0;
    const endless = new ReadableStream<Uint8Array>({
      pull: (controller) => {
        sent += 65_536;
        controller.enqueue(new Uint8Array(65_536).fill(0x20));
      },
    });
    const request = new Request(requestOf("POST", "/v1/jobs", { key: mine.key, body: {} }), { body: endless });
    expectError(await send(request), 413, "payload_too_large");
    expect(sent).toBeLessThan(8 * 1024 * 1024);
  });

  test("nested without end do not break anything", async () => {
    const deep = `${"[".repeat(200_000)}${"]".repeat(200_000)}`;
    for (const field of ["payload_schema", "tags", "unknown", "name"]) {
      const answer = await post(`{"name":"x","endpoint_url":"https://example.com","${field}":${deep}}`);
      expectError(answer, 422, "validation_failed");
    }
  });
});

describe("when something of ours is wrong", () => {
  const broken = (message: string) =>
    ({
      prepare: () => {
        throw new Error(message);
      },
    }) as unknown as D1Database;

  test.each([
    ["ALLOW_LOOPBACK_ENDPOINTS", { ENVIRONMENT: "production", ALLOW_LOOPBACK_ENDPOINTS: "true" }],
    ["ENVIRONMENT", { ENVIRONMENT: "staging" }],
    ["PUMP_WIDTH", { PUMP_WIDTH: "many" }],
  ])("a wrong variable is a 503 that names it: %s", async (variable, wrong) => {
    for (const path of ["/v1/jobs", "/health/ready"]) {
      const answer = await askWith(wrong, "GET", path);
      expectError(answer, 503, "unavailable");
      expect(answer.body.error.message).toContain(variable);
      expect(Number(answer.headers.get("Retry-After"))).toBeGreaterThan(0);
    }
    expect((await askWith(wrong, "GET", "/health")).status).toBe(200);
  });

  test("a database that is down is a 503, and not ready", async () => {
    const DB = broken("D1_ERROR: Network connection lost.");
    const answer = await askWith({ DB }, "GET", "/v1/projects");
    expectError(answer, 503, "unavailable");
    expect(Number(answer.headers.get("Retry-After"))).toBeGreaterThan(0);
    expectError(await askWith({ DB }, "GET", "/health/ready"), 503, "unavailable");
  });

  test("any other failure is a 500 that shows nothing", async () => {
    const answer = await askWith({ DB: broken("secret table exploded") }, "GET", "/v1/projects");
    expectError(answer, 500, "internal_error");
    expect(JSON.stringify(answer.body)).not.toContain("secret");
  });
});

describe("without a key", () => {
  test("health, readiness, document and page are shown", async () => {
    expect((await ask("GET", "/health", { key: null })).body).toEqual({ status: "ok" });
    expect((await ask("GET", "/health/ready", { key: null })).body).toEqual({
      status: "ok",
      d1: "ok",
      durable_objects: "ok",
    });
    expect((await ask("GET", "/openapi.json", { key: null })).body.openapi).toBe("3.1.0");
    const page = await ask("GET", "/docs", { key: null });
    expect(page.headers.get("Content-Type")).toMatch(/^text\/html/);
    expect(page.headers.get("Content-Security-Policy")).toMatch(/default-src 'none'; style-src 'nonce-/);
    expect(page.body).not.toMatch(/<script|https?:\/\/(?!.*example)|src=|@import|url\(/i);
    for (const path of ["/v1/jobs/{job}/clone", "/v1/api-keys/{id}/rotate"]) expect(page.body).toContain(path);
  });
});
