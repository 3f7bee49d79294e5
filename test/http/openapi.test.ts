import { type Schema, Validator } from "@cfworker/json-schema";
import { beforeAll, describe, expect, inject, test, vi } from "vitest";
import { createApp } from "../../src/http/app.ts";
import { type Answer, ask, newProject, type Question } from "./ask.ts";

/** The document describes every route, and the answers fit it (issue: the document comes from what validates). */

interface Operation {
  summary?: string;
  security?: unknown[];
  "x-required-scope"?: string;
  parameters?: { name: string; in: string; required?: boolean }[];
  requestBody?: { required?: boolean; content: Record<string, unknown> };
  responses: Record<string, { description: string; content?: Record<string, { schema: Json }> }>;
}
type Json = { [name: string]: unknown };

interface Document {
  paths: Record<string, Record<string, Operation>>;
  webhooks: Record<string, { post: Operation }>;
  components: { schemas: Record<string, Json> };
}

const OPEN = ["/health", "/health/ready", "/openapi.json", "/docs"];
/** A route that gives credentials, and asks for none. */
const LOGIN = "/config/v1/login";
const ABSENT = "019c2f6e-7d80-7a3b-9c55-0000000002a1";

let document: Document;
let operations: { name: string; method: string; path: string; operation: Operation }[];
let project: { id: string; slug: string; key: string };

beforeAll(async () => {
  project = await newProject();
  document = (await ask("GET", "/openapi.json", { key: null })).body;
  operations = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({
      name: `${method.toUpperCase()} ${path}`,
      method: method.toUpperCase(),
      path,
      operation,
    })),
  );
});

/** What bad input is answered with: faces for clients of other services say it in those services' way. */
const badInput = (path: string): number => (path.startsWith("/kernel/") ? 400 : 422);

/** A schema without references, whose objects have no properties but those that it names. */
function closed(schema: Json, depth = 0): Json {
  if (depth > 30) throw new Error("a schema refers to itself");
  const inner = (part: unknown): Json => closed(part as Json, depth + 1);
  if (typeof schema.$ref === "string") {
    const target = document.components.schemas[schema.$ref.split("/").at(-1) ?? ""];
    if (!target) throw new Error(`${schema.$ref} leads nowhere`);
    return inner(target);
  }
  if (Array.isArray(schema.allOf)) {
    const parts = schema.allOf.map(inner);
    if (!parts.some((p) => p.properties)) return Object.assign({}, ...parts);
    return closed(
      {
        type: parts[0]?.type,
        properties: Object.assign({}, ...parts.map((p) => p.properties)),
        required: parts.flatMap((p) => (p.required as string[] | undefined) ?? []),
      },
      depth + 1,
    );
  }
  const copy: Json = { ...schema };
  for (const list of ["anyOf", "oneOf"]) if (Array.isArray(copy[list])) copy[list] = copy[list].map(inner);
  if (copy.items) copy.items = inner(copy.items);
  if (typeof copy.additionalProperties === "object") copy.additionalProperties = inner(copy.additionalProperties);
  if (copy.properties) {
    copy.properties = Object.fromEntries(Object.entries(copy.properties).map(([name, p]) => [name, inner(p)]));
    copy.additionalProperties ??= false;
  }
  return copy;
}

/** Fails unless an answer is one that the document describes. */
function expectDocumented(name: string, answer: Answer): void {
  const found = operations.find((o) => o.name === name);
  const described = found?.operation.responses[String(answer.status)];
  if (!described)
    throw new Error(`${name} answered ${answer.status}, which is not described: ${JSON.stringify(answer.body)}`);
  const type = (answer.headers.get("Content-Type") ?? "").split(";")[0] ?? "";
  if (!described.content) {
    expect([name, answer.body]).toEqual([name, ""]);
    return;
  }
  const content = described.content[type];
  if (!content) throw new Error(`${name} answered ${answer.status} in ${type}, which is not described`);
  const { valid, errors } = new Validator(closed(content.schema) as Schema, "2020-12", false).validate(answer.body);
  expect({ name, status: answer.status, valid, errors: valid ? [] : errors }).toEqual({
    name,
    status: answer.status,
    valid: true,
    errors: [],
  });
}

describe("the document", () => {
  test("has every registered route, in full, and no other", () => {
    const registered = createApp()
      .routes.filter((r) => r.method !== "ALL")
      .map((r) => `${r.method} ${r.path.replace(/:([a-z_]+)/g, "{$1}")}`);
    expect([...new Set(registered)].sort()).toEqual(operations.map((o) => o.name).sort());
  });

  test("says who may use a route, what it takes and what it answers", () => {
    for (const { name, path, operation } of operations) {
      expect(operation.summary, name).toBeTruthy();
      const statuses = Object.keys(operation.responses);
      expect(statuses, name).toContain("500");
      const inPath = (operation.parameters ?? []).filter((p) => p.in === "path");
      expect(
        inPath.map((p) => `{${p.name}}`),
        name,
      ).toEqual(path.match(/\{\w+\}/g) ?? []);
      if (OPEN.includes(path) || path === LOGIN) {
        expect(operation.security, name).toBeUndefined();
        continue;
      }
      expect(operation.security, name).toEqual([{ bearer: [] }]);
      expect(operation["x-required-scope"], name).toMatch(/^(admin|any|[a-z]+:[a-z]+)$/);
      expect(statuses, name).toEqual(expect.arrayContaining(["401", "403", String(badInput(path)), "503"]));
      if (inPath.length > 0) expect(statuses, name).toContain("404");
      if (operation.requestBody) expect(statuses, name).toEqual(expect.arrayContaining(["400", "413", "415"]));
    }
  });

  test("says what receivers of webhooks are sent", () => {
    expect(Object.keys(document.webhooks)).toEqual(["run", "batch.finished"]);
    for (const { post } of Object.values(document.webhooks)) {
      const content = post.requestBody?.content["application/json"] as { schema: Json } | undefined;
      expect(Object.keys(closed(content?.schema ?? {}).properties as object)).toContain("timestamp");
      expect(post.parameters?.map((p) => p.name)).toContain("webhook-id");
    }
  });

  test("refers to nothing that it lacks", () => {
    for (const { operation } of operations) {
      for (const { content } of Object.values(operation.responses)) {
        for (const { schema } of Object.values(content ?? {})) expect(closed(schema)).toBeDefined();
      }
    }
  });
});

describe("an error of every route fits the document", () => {
  const absentPath = (path: string): string => path.replaceAll(/\{\w+\}/g, ABSENT);
  const secured = () => operations.filter((o) => !OPEN.includes(o.path) && o.path !== LOGIN);

  test("without a key", async () => {
    for (const { name, method, path } of secured()) {
      const answer = await ask(method, absentPath(path), { key: null });
      expect([name, answer.status]).toEqual([name, 401]);
      expectDocumented(name, answer);
    }
  });

  test("with an unknown parameter, where parameters are taken", async () => {
    for (const { name, method, path, operation } of secured()) {
      if (!(operation.parameters ?? []).some((p) => p.in === "query")) continue;
      const body = operation.requestBody ? { body: {} } : {};
      const answer = await ask(method, `${absentPath(path)}?no_such_parameter=1`, body);
      expect([name, answer.status]).toEqual([name, badInput(path)]);
      expectDocumented(name, answer);
    }
  });

  test("of an object that is not there", async () => {
    for (const { name, method, path, operation } of secured()) {
      if (!path.includes("{") || operation.requestBody?.required) continue;
      const key = operation["x-required-scope"] === "admin" ? {} : { key: project.key };
      const answer = await ask(method, absentPath(path), key);
      expect([name, answer.status]).toEqual([name, 404]);
      expectDocumented(name, answer);
    }
  });

  test("with a body of another type, and with half a body", async () => {
    for (const { name, method, path, operation } of secured()) {
      if (!operation.requestBody) continue;
      const key = operation["x-required-scope"] === "admin" ? {} : { key: project.key };
      // What is judged first, the object or the body, is the route's own affair.
      for (const [headers, body, expected] of [
        [{ "Content-Type": "text/csv" }, "a,b", [415, 404]],
        [{ "Content-Type": "application/json" }, '{"name":', [400, 404]],
      ] as const) {
        const needed = (operation.parameters ?? []).filter((p) => p.in === "query" && p.required);
        const query = needed.map((p) => `${p.name}=0`).join("&");
        const answer = await ask(method, `${absentPath(path)}?${query}`, { ...key, body, headers });
        expect(expected, `${name}: ${answer.status}`).toContain(answer.status);
        expectDocumented(name, answer);
      }
    }
  });
});

test("a success of every route fits the document", { timeout: 60_000 }, async () => {
  const seen = new Set<string>();
  /** Asks a route by its name, with the path's parameters filled in. */
  const use = async (
    name: string,
    values: string[] = [],
    question: Question & { query?: string } = {},
  ): Promise<Answer["body"]> => {
    const [method = "", template = ""] = name.split(" ");
    const path = values.reduce((p, value) => p.replace(/\{\w+\}/, value), template);
    const answer = await ask(method, path + (question.query ?? ""), { key: project.key, ...question });
    expect([name, answer.status < 300, answer.body]).toEqual([name, true, answer.body]);
    expectDocumented(name, answer);
    seen.add(name);
    return answer.body;
  };
  const asAdmin = { key: undefined };

  for (const path of OPEN) await use(`GET ${path}`);

  await use("GET /metrics", [], asAdmin);
  const acme = await use("POST /v1/projects", [], { ...asAdmin, body: { name: "Acme" } });
  await use("GET /v1/projects", [], { query: "?limit=1" });
  await use("GET /v1/projects/{id}", [project.id]);
  await use("PATCH /v1/projects/{id}", [acme.id], { ...asAdmin, body: { name: "Acme Ltd" } });
  await use("DELETE /v1/projects/{id}", [acme.id], asAdmin);

  const issued = await use("POST /v1/api-keys", [], {
    body: { name: "k", scopes: ["jobs:read"], expires_at: "2999-01-01T00:00:00Z" },
  });
  await use("GET /v1/api-keys");
  await use("GET /v1/whoami");
  const rotated = await use("POST /v1/api-keys/{id}/rotate", [issued.id], { body: { grace_period_secs: 5 } });
  await use("DELETE /v1/api-keys/{id}", [rotated.id]);

  const environment = await use("POST /v1/environments", [], {
    body: { name: "Staging", variables: { REGION: "eu" } },
  });
  await use("GET /v1/environments");
  await use("GET /v1/environments/{id}", [environment.slug]);
  await use("PATCH /v1/environments/{id}", [environment.id], { body: { variables: { REGION: null, TIER: "1" } } });
  const group = await use("POST /v1/job-groups", [], { body: { name: "Mails", description: "All of them" } });
  await use("GET /v1/job-groups");
  await use("GET /v1/job-groups/{id}", [group.slug]);
  await use("PATCH /v1/job-groups/{id}", [group.id], { body: { description: null } });

  const job = await use("POST /v1/jobs", [], {
    body: {
      name: "Documented",
      environment_id: environment.id,
      group_id: group.id,
      endpoint_url: "https://api.example.com/",
      endpoint_headers: { "X-A": "1" },
      webhook_secret: "a secret",
      webhook_url: `${inject("endpointUrl")}/ok?webhooks=documented`,
      cron: "0 9 * * *",
      payload_schema: { type: "object" },
      adaptive_concurrency: { min: 1, max: 5 },
      rate_limit_keys: [{ name: "a", max: 1, window_secs: 1 }],
      circuit_breaker: { failures: 1, window_secs: 1, open_secs: 1 },
      success_statuses: ["2xx", 409],
      tags: { a: "b" },
    },
  });
  await use("GET /v1/jobs", [], { query: "?tag=a:b" });
  await use("GET /v1/jobs/{job}", [job.slug]);
  await use("PATCH /v1/jobs/{job}", [job.id], { body: { description: "Changed", payload_schema: null } });
  const clone = await use("POST /v1/jobs/{job}/clone", [job.id], { body: { slug: "the-clone" } });
  await use("DELETE /v1/jobs/{job}", [clone.id]);
  await use("GET /v1/jobs/{job}/versions", [job.id]);
  await use("GET /v1/jobs/{job}/versions/{version_id}", [job.id, job.version_id], { query: "?diff=2" });
  await use("POST /v1/jobs/{job}/versions/{version_id}/restore", [job.id, job.version_id]);
  await use("GET /v1/jobs/{job}/schedule", [job.id]);
  await use("POST /v1/jobs/{job}/resume", [job.id]);
  await use("GET /v1/job-groups/{id}/jobs", [group.id]);
  await use("POST /v1/job-groups/{id}/pause-all", [group.id]);
  await use("POST /v1/job-groups/{id}/resume-all", [group.id]);
  // Nothing is called: what is triggered waits.
  await use("POST /v1/jobs/{job}/pause", [job.id]);

  await use("POST /v1/jobs/{job}/trigger", [job.id], { body: { payload: { n: 0 }, dry_run: true } });
  const run = await use("POST /v1/jobs/{job}/trigger", [job.id], {
    body: { payload: { n: 1 }, tags: { a: "b" }, idempotency_key: "one" },
  });
  await use("POST /v1/jobs/{job}/trigger", [job.id], { body: { payload: { n: 1 }, idempotency_key: "one" } });
  const items = [{ payload: { n: 2 } }, { payload: { n: 1 }, idempotency_key: "one" }, { priority: 99 }];
  await use("POST /v1/jobs/{job}/trigger-bulk", [job.id], { body: { items, dry_run: true } });
  await use("POST /v1/jobs/{job}/trigger-bulk", [job.id], { body: { items } });
  const ndjson = { body: '{"payload":{"n":3}}\n', headers: { "Content-Type": "application/x-ndjson" } };
  const batch = await use("POST /v1/jobs/{job}/trigger/bulk", [job.id], { ...ndjson, query: "?open=true" });
  await use("POST /v1/batch-operations/{id}/items", [batch.batch_id], { ...ndjson, query: "?from_index=1" });
  await use("POST /v1/batch-operations/{id}/seal", [batch.batch_id], { body: { expected_count: 2 } });
  await use("GET /v1/batch-operations/{id}", [batch.batch_id]);
  await use("PATCH /v1/batch-operations/{id}", [batch.batch_id], {
    body: { max_concurrency: 2, metadata: { a: "b" } },
  });
  await use("POST /v1/batch-operations/{id}/pause", [batch.batch_id]);
  await use("POST /v1/batch-operations/{id}/resume", [batch.batch_id]);
  await use("GET /v1/batch-operations/{id}/items", [batch.batch_id]);
  await use("GET /v1/batch-operations");
  await use("GET /v1/jobs/{job}/health", [job.id]);
  await use("GET /v1/job-groups/{id}/stats", [group.id]);

  await use("GET /v1/runs/{id}", [run.id]);
  await use("GET /v1/runs");
  await use("GET /v1/runs/dlq");
  await use("GET /v1/jobs/{job}/runs", [job.id]);
  await use("POST /v1/runs/{id}/cancel", [run.id]);
  await vi.waitFor(async () => {
    const { body } = await ask("GET", `/v1/runs/${run.id}`, { key: project.key });
    expect(body.payload).not.toBeNull();
  });
  const replayed = await use("POST /v1/runs/{id}/replay", [run.id]);
  const told = await vi.waitFor(
    async () => {
      const { body } = await ask("GET", `/v1/webhook-deliveries?run_id=${run.id}`, { key: project.key });
      expect(body.data).toHaveLength(1);
      return body.data[0];
    },
    { timeout: 10_000 },
  );
  await use("GET /v1/webhook-deliveries");
  await use("GET /v1/webhook-deliveries/{id}", [told.id]);
  await use("POST /v1/webhook-deliveries/{id}/retry", [told.id]);
  await use("POST /v1/runs/bulk-cancel", [], { body: { run_ids: [run.id, ABSENT] } });
  await use("POST /v1/runs/bulk-replay", [], { body: { run_ids: [run.id, ABSENT] } });
  await use("DELETE /v1/runs/{id}", [replayed.id]);
  await use("POST /v1/batch-operations/{id}/cancel", [batch.batch_id]);
  // It fails by expiring.
  const doomed = await use("POST /v1/jobs/{job}/trigger-bulk", [job.id], { body: { items: [{ ttl_secs: 1 }] } });
  await vi.waitFor(
    async () => {
      const { body } = await ask("GET", `/v1/batch-operations/${doomed.batch_id}`, { key: project.key });
      expect(body.finished_at).not.toBeNull();
    },
    { timeout: 20_000 },
  );
  await use("POST /v1/batch-operations/{id}/retry-failed", [doomed.batch_id]);
  await use("GET /v1/batch-operations/{id}/events", [batch.batch_id]);
  await use("GET /v1/runs/{id}/events", [run.id]);
  await use("GET /v1/batch-operations/{id}/results", [batch.batch_id]);
  await use("POST /v1/batch-operations/{id}/stream-token", [batch.batch_id]);
  await use("POST /v1/runs/bulk-cancel", [], { body: { job_id: job.id, status: "queued" } });

  const action = { app_name: project.slug, action_name: job.slug };
  const invocation = await use("POST /kernel/invocations", [], { body: { ...action, payload: "{}", async: true } });
  await use("GET /kernel/invocations", [], { query: "?since=5m" });
  await use("GET /kernel/invocations/{id}", [invocation.id]);
  await use("GET /kernel/invocations/{id}/browsers", [invocation.id]);
  await use("DELETE /kernel/invocations/{id}/browsers", [invocation.id]);
  await use("PATCH /kernel/invocations/{id}", [invocation.id], { body: { status: "failed" } });
  await use("GET /kernel/invocations/{id}/events", [invocation.id]);
  const batchJob = await use("POST /kernel/invocations/batch", [], { body: { ...action, payloads: ["{}"] } });
  await use("GET /kernel/batch_jobs");
  await use("GET /kernel/batch_jobs/{id}", [batchJob.batch_job_id]);
  await use("PATCH /kernel/batch_jobs/{id}", [batchJob.batch_job_id], { body: { status: "failed" } });
  await use("GET /kernel/batch_jobs/{id}/events", [batchJob.batch_job_id]);
  await use("GET /kernel/apps");

  await use(`POST ${LOGIN}`, [], { key: null, body: { username: project.slug, password: project.key } });
  const orgs = "/config/v1/orgs/{org}";
  const projects = `${orgs}/projects`;
  await use(`GET ${projects}`, [project.id]);
  await use(`GET ${projects}/{project}`, [project.id, project.slug]);
  const tables = `${projects}/{project}/tables`;
  const table = [project.id, project.slug, job.slug];
  await use(`GET ${tables}`, [project.id, project.slug]);
  await use(`GET ${tables}/{table}`, table);
  await use(`POST ${tables}/{table}/transforms`, table, { body: { name: "theirs", type: "json", settings: {} } });
  await use(`GET ${tables}/{table}/transforms`, table);
  await use(`OPTIONS ${tables}/{table}/transforms`, table);
  await use(`GET ${tables}/{table}/transforms/{transform}`, [...table, "theirs"]);
  await use(`PUT ${tables}/{table}/transforms/{transform}`, [...table, "theirs"], {
    body: { name: "theirs", type: "json", settings: {} },
  });
  await use(`PATCH ${tables}/{table}/transforms/{transform}`, [...table, "theirs"], { body: { description: "d" } });
  await use(`DELETE ${tables}/{table}/transforms/{transform}`, [...table, "theirs"]);
  await use("POST /config/v1/validator", [], { body: { transform: { type: "json", settings: {} }, data: [{ n: 1 }] } });
  await use(`GET ${orgs}/credentials/types`, [project.id]);
  const theirs = await use(`POST ${orgs}/credentials`, [project.id], {
    body: { name: "c", type: "aws s3", details: { access_key_id: "id", secret_access_key: "secret" } },
  });
  await use(`GET ${orgs}/credentials`, [project.id]);
  await use(`GET ${orgs}/credentials/{uuid}`, [project.id, theirs.uuid]);
  await use(`DELETE ${orgs}/credentials/{uuid}`, [project.id, theirs.uuid]);
  const batches = `${orgs}/jobs/batch`;
  await use(`OPTIONS ${batches}`, [project.id]);
  const source = { table: `${project.slug}.${job.slug}`, settings: { url: "r2://DATA/nothing-of-theirs/" } };
  const ingest = await use(`POST ${batches}`, [project.id], { body: { name: "theirs", settings: { source } } });
  const one = [project.id, ingest.uuid];
  await use(`GET ${batches}`, [project.id]);
  await use(`GET ${batches}/{uuid}`, one);
  await use(`GET ${batches}/{uuid}/status`, one);
  await use(`POST ${batches}/{uuid}/status`, one);
  await use(`PUT ${batches}/{uuid}`, one, { body: ingest });
  await use(`PATCH ${batches}/{uuid}`, one, { body: { description: "another" } });
  await use(`POST ${batches}/{uuid}/cancel`, one);
  await use(`DELETE ${batches}/{uuid}`, one);
  const silent = { ...source, settings: { url: "s3://bucket/missing", endpoint: inject("endpointUrl") } };
  const failing = await use(`POST ${batches}`, [project.id], {
    body: { name: "failing", settings: { source: silent } },
  });
  await vi.waitFor(async () => {
    const { body } = await ask("GET", `/config/v1/orgs/${project.id}/jobs/batch/${failing.uuid}`, {
      key: project.key,
    });
    expect(body.status).toBe("error");
  }, 20_000);
  await use(`POST ${batches}/{uuid}/retry`, [project.id, failing.uuid]);
  await use(`POST ${orgs}/purgejobs`, [project.id]);

  const transform = await use("POST /v1/transforms", [], {
    body: {
      name: "documented",
      type: "json",
      settings: { output_columns: [{ name: "n", datatype: { type: "int32" } }] },
    },
  });
  await use("GET /v1/transforms");
  await use("GET /v1/transforms/{name}", [transform.name]);
  await use("PUT /v1/transforms/{name}", [transform.name], { body: { type: "json" } });
  await use("POST /v1/transforms/validate", [], {
    body: { transform: { type: "json", settings: {} }, data: [{ n: 1 }, "{"] },
  });
  const credential = await use("POST /v1/credentials", [], {
    body: { name: "c", type: "aws s3", details: { access_key_id: "id", secret_access_key: "secret" } },
  });
  await use("GET /v1/credentials");
  await use("GET /v1/credentials/{id}", [credential.id]);
  await use("DELETE /v1/credentials/{id}", [credential.id]);
  const imported = await use("POST /v1/imports", [], {
    // Nobody listens there: it is asked again for some seconds.
    body: {
      job: job.slug,
      source: { url: "s3://bucket", endpoint: "http://127.0.0.1:65535" },
      transform: transform.name,
    },
  });
  await use("GET /v1/imports");
  await use("GET /v1/imports/{id}", [imported.id]);
  await use("POST /v1/imports/{id}/pause", [imported.id]);
  await use("POST /v1/imports/{id}/resume", [imported.id]);
  await use("GET /v1/imports/{id}/files", [imported.id]);
  await use("GET /v1/imports/{id}/rejects", [imported.id]);
  await use("POST /v1/imports/{id}/cancel", [imported.id]);
  await use("GET /v1/imports/{id}/events", [imported.id]);
  await use("DELETE /v1/imports/{id}", [imported.id]);
  const missing = await use("POST /v1/imports", [], {
    body: {
      job: job.slug,
      source: { url: "s3://bucket/missing", endpoint: inject("endpointUrl"), region: "auto" },
    },
  });
  await vi.waitFor(async () => {
    const { body } = await ask("GET", `/v1/imports/${missing.id}`, { key: project.key });
    expect(body).toMatchObject({ status: "failed", finished_at: expect.any(String) });
  }, 20_000);
  await use("POST /v1/imports/{id}/retry", [missing.id]);
  await use("DELETE /v1/transforms/{name}", [transform.name]);

  await use("PATCH /v1/jobs/{job}", [job.id], { body: { environment_id: null, group_id: null } });
  await use("DELETE /v1/environments/{id}", [environment.id]);
  await use("DELETE /v1/job-groups/{id}", [group.id]);

  const workflow = await use("POST /v1/workflows", [], {
    body: {
      name: "Documented",
      steps: [{ step_ref: "a", job: job.id, payload: { n: "{{payload.n}}" }, condition: "payload.n > 0" }],
    },
  });
  await use("GET /v1/workflows");
  await use("GET /v1/workflows/{id}", [workflow.slug]);
  await use("PATCH /v1/workflows/{id}", [workflow.id], { body: { name: "Changed" } });
  const workflowRun = await use("POST /v1/workflows/{id}/trigger", [workflow.id], { body: { payload: { n: 1 } } });
  await use("GET /v1/workflow-runs");
  await use("GET /v1/workflow-runs/{id}", [workflowRun.id]);
  await use("POST /v1/workflow-runs/{id}/cancel", [workflowRun.id]);
  await vi.waitFor(
    async () => {
      const { status } = await ask("DELETE", `/v1/workflows/${workflow.id}`, { key: project.key });
      expect(status).toBe(204);
    },
    { timeout: 10_000 },
  );
  const unused = await use("POST /v1/workflows", [], {
    body: { name: "Unused", steps: [{ step_ref: "a", job: job.id }] },
  });
  await use("DELETE /v1/workflows/{id}", [unused.id]);

  expect([...seen].sort()).toEqual(operations.map((o) => o.name).sort());
});
