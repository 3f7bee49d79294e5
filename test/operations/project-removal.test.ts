import { expect, inject, test, vi } from "vitest";
import { removeRemains } from "../../src/operations/project-removal.ts";
import { ask, bindings as env, newJob } from "../http/ask.ts";

/** What deleted projects leave behind is removed, and nothing of any other. */

const A_DAY = 24 * 3_600_000;
const ADMIN = { key: "test-admin-token-0123456789abcdef0123456789" };

async function newProject(): Promise<{ id: string; key: string }> {
  const name = `doomed-${crypto.randomUUID()}`;
  const { id } = (await ask("POST", "/v1/projects", { ...ADMIN, body: { name } })).body;
  const made = await ask("POST", "/v1/api-keys", { ...ADMIN, body: { project_id: id, name, scopes: ["*"] } });
  return { id, key: made.body.key };
}

/** A project with something in every table that knows projects, at rest; its job's id. */
async function fullProject(id: string, key: string): Promise<string> {
  const post = async (path: string, body: unknown) => (await ask("POST", path, { key, body })).body;
  const url = `${inject("endpointUrl")}/ok`;
  const job = await newJob(key, { endpoint_url: url, webhook_url: url });
  await post("/v1/environments", { name: "e", variables: {} });
  await ask("POST", "/v1/job-groups", { key, body: { name: "g" }, headers: { "Idempotency-Key": "k" } });
  await post("/v1/credentials", { name: "c", type: "aws s3", details: { access_key_id: "a", secret_access_key: "b" } });
  await post("/v1/transforms", {
    name: "t",
    type: "json",
    settings: { output_columns: [{ name: "n", datatype: { type: "string" } }] },
  });
  const workflow = await post("/v1/workflows", { name: "w", steps: [{ step_ref: "s", job: job.slug }] });
  const large = "x".repeat(50_000);
  const run = await post(`/v1/workflows/${workflow.id}/trigger`, { payload: { large } });
  const items = [
    { payload: { large } },
    { payload: { n: 1 }, idempotency_key: "k" },
    { payload: { n: 2 }, idempotency_key: "k" },
    { payload: 1, priority: 99 },
  ];
  const bulk = await post(`/v1/jobs/${job.id}/trigger-bulk`, { items });
  const data = env as unknown as { DATA: R2Bucket };
  await data.DATA.put(`${id}/a.ndjson`, '{"n":1}\nbad\n');
  const begun = await post("/v1/imports", {
    job: job.slug,
    source: { url: `r2://DATA/${id}/` },
    tolerated_failure_percent: 100,
  });
  await env.DB.prepare("INSERT INTO ingest_jobs VALUES (?, ?, 'n', NULL, 't', 0, 0)").bind(begun.id, id).run();
  await env.DB.prepare("INSERT INTO webhook_receivers (project_id, url) VALUES (?, 'https://other.test')")
    .bind(id)
    .run();
  const finished = (path: string) => async () => {
    expect((await ask("GET", path, { key })).body.finished_at).not.toBeNull();
  };
  for (const path of [`workflow-runs/${run.id}`, `batch-operations/${bulk.batch_id}`, `imports/${begun.id}`]) {
    await vi.waitFor(finished(`/v1/${path}`), { timeout: 25_000, interval: 50 });
  }
  const imported = (await ask("GET", `/v1/imports/${begun.id}`, { key })).body.batch_id;
  await vi.waitFor(finished(`/v1/batch-operations/${imported}`), { timeout: 25_000, interval: 50 });
  await ask("DELETE", `/v1/jobs/${job.id}`, { key });
  return job.id;
}

/** Rows of each table that name a project, or one of its jobs; and its objects. */
async function remains(projectId: string, jobId: string): Promise<Record<string, number>> {
  const tables = await env.DB.prepare("SELECT name, sql FROM sqlite_master WHERE type = 'table' ORDER BY name").all<{
    name: string;
    sql: string;
  }>();
  const columns = tables.results.flatMap(({ name, sql }) =>
    ["project_id", "job_id"].filter((column) => sql.includes(column)).map((column) => ({ table: name, column })),
  );
  const found: Record<string, number> = {};
  for (const { table, column } of columns) {
    const id = column === "project_id" ? projectId : jobId;
    const row = await env.DB.prepare(`SELECT count(*) AS n FROM ${table} WHERE ${column} = ?`)
      .bind(id)
      .first<{ n: number }>();
    found[`${table}.${column}`] = row?.n ?? 0;
  }
  for (const kind of ["runs", "imports", "workflow-runs"]) {
    found[kind] = (await env.BLOBS.list({ prefix: `${kind}/${projectId}/` })).objects.length;
  }
  return found;
}

const noted = async (id: string): Promise<boolean> =>
  (await env.DB.prepare("SELECT 1 FROM deleted_projects WHERE id = ?").bind(id).first()) !== null;

test("a day after its deletion nothing is left of a project, and everything of the others", {
  timeout: 60_000,
}, async () => {
  const [doomed, spared] = [await newProject(), await newProject()];
  const [job, sparedJob] = [await fullProject(doomed.id, doomed.key), await fullProject(spared.id, spared.key)];
  const quiet = async () => {
    const present = await remains(spared.id, sparedJob);
    expect(present["webhook_deliveries.project_id"]).toBeGreaterThan(2);
    expect(present["job_stats.job_id"]).toBe(1);
    return present;
  };
  await vi.waitFor(quiet, { timeout: 20_000, interval: 100 });
  // Each kind is tried by something.
  const full = await remains(doomed.id, job);
  const mayBeEmpty = ["busy_lanes.job_id", "transforms.job_id"];
  expect(Object.keys(full).filter((name) => full[name] === 0 && !mayBeEmpty.includes(name))).toEqual([]);

  expect((await ask("DELETE", `/v1/projects/${doomed.id}`, ADMIN)).status).toBe(204);
  expect(await noted(doomed.id)).toBe(true);
  const before = await remains(doomed.id, job);
  await removeRemains(env, Date.now() + A_DAY - 60_000);
  expect(await remains(doomed.id, job)).toEqual(before);

  const others = await remains(spared.id, sparedJob);
  await removeRemains(env, Date.now() + A_DAY + 60_000);
  const left = await remains(doomed.id, job);
  // Answers of requests are forgotten after a day, by the sweeper.
  expect(Object.entries(left).filter(([name, n]) => n > 0 && !name.startsWith("idempotent_requests"))).toEqual([]);
  expect(await noted(doomed.id)).toBe(false);
  for (const [part, whole] of [
    ["batch_items", "SELECT 1 FROM batches WHERE id = batch_id"],
    ["workflow_run_steps", "SELECT 1 FROM workflow_runs WHERE id = workflow_run_id"],
  ]) {
    const { results } = await env.DB.prepare(`SELECT 1 FROM ${part} WHERE NOT EXISTS (${whole})`).all();
    expect([part, results]).toEqual([part, []]);
  }
  expect(await remains(spared.id, sparedJob)).toEqual(others);
});
