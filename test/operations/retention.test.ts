import { describe, expect, inject, test, vi } from "vitest";
import { firstIdAt, ledgerId } from "../../src/domain/id.ts";
import { resultHead } from "../../src/domain/result-line.ts";
import { newArchive, writeArchive } from "../../src/operations/archive-writing.ts";
import type { Caller } from "../../src/operations/authorize.ts";
import { getBatch } from "../../src/operations/batches.ts";
import { batchResults, type ResultsQuery } from "../../src/operations/results.ts";
import { retain } from "../../src/operations/retention.ts";
import { findArchive } from "../../src/store/batch-archives.ts";
import { walkBatches } from "../../src/store/retention.ts";
import { ask, bindings as env, newJob as newJobByApi, newProject as newProjectByApi } from "../http/ask.ts";
import { copyBatch, copyRuns, newJob, newProject } from "../http/run-world.ts";

/** The retention, and the results that outlive their runs (contract 8). */

const zoo = inject("endpointUrl");
const DAY_MS = 24 * 3_600_000;
const RUNS_GONE = 31 * DAY_MS;
const BATCHES_GONE = 91 * DAY_MS;

const caller = (projectId: string): Caller => ({ kind: "key", projectId, scopes: ["*"], actorId: "apikey:test" });
const endless = { isSpent: () => false, spend: () => undefined };

async function linesOf(projectId: string, id: string, query: Partial<ResultsQuery> = {}): Promise<string[]> {
  const lines: string[] = [];
  for await (const { line } of await batchResults(env, caller(projectId), id, { after: null, ...query }))
    lines.push(line);
  return lines;
}

/** A batch that ran, with results beyond what a row holds among them. */
async function ranBatch(count: number) {
  const { id: project, key } = await newProjectByApi();
  const job = await newJobByApi(key, { endpoint_url: `${zoo}/echo`, payload_schema: { type: "object" } });
  const items = Array.from({ length: count }, (_, n) => ({
    payload: n % 10 === 9 ? "none" : { n, big: "x".repeat(n % 5 === 0 ? 40_000 : 1) },
  }));
  const bulk = await ask("POST", `/v1/jobs/${job.id}/trigger-bulk`, { key, body: { items } });
  const id = bulk.body.batch_id as string;
  await vi.waitFor(
    async () => {
      const { body } = await ask("GET", `/v1/batch-operations/${id}`, { key });
      expect(body.finished_at).not.toBeNull();
    },
    { timeout: 20_000 },
  );
  return { project, key, job, id };
}

const objects = async (prefix: string): Promise<string[]> =>
  (await env.BLOBS.list({ prefix })).objects.map(({ key }) => key);

describe("the retention", () => {
  test("keeps what is young, archives before it removes, and removes a batch last", async () => {
    const { project, key, job, id } = await ranBatch(40);
    const single = await ask("POST", `/v1/jobs/${job.id}/trigger`, { key, body: { payload: { n: 1 } } });
    const copied = (runId: string, status: string) =>
      vi.waitFor(
        async () => {
          const row = await env.DB.prepare("SELECT status FROM runs WHERE id = ?").bind(runId).first();
          expect(row?.status).toBe(status);
        },
        { timeout: 20_000 },
      );
    await copied(single.body.id, "completed");
    await ask("POST", `/v1/jobs/${job.id}/pause`, { key });
    const later = { payload: { n: 2 }, scheduled_at: new Date(Date.now() + 300 * DAY_MS).toISOString() };
    const waiting = await ask("POST", `/v1/jobs/${job.id}/trigger`, { key, body: later });
    const open = await ask("POST", `/v1/jobs/${job.id}/trigger-bulk?open=true`, {
      key,
      body: { items: [{ payload: {} }] },
    });
    await copied(waiting.body.id, "delayed");
    const before = await linesOf(project, id);
    const failed = await linesOf(project, id, { statuses: ["failed"] });
    expect(before).toHaveLength(36);
    const run = JSON.parse(before[0] ?? "").run_id as string;
    const items = async () => (await ask("GET", `/v1/batch-operations/${id}/items?limit=200`, { key })).body.data;
    const every = await items();
    expect(every).toHaveLength(40);
    const status = async (path: string) => (await ask("GET", path, { key })).status;
    await retain(env, Date.now() + RUNS_GONE - 2 * DAY_MS);
    expect(await findArchive(env, id)).toBeNull();
    expect(await status(`/v1/runs/${run}`)).toBe(200);

    await retain(env, Date.now() + RUNS_GONE);
    expect(await findArchive(env, id)).toMatchObject({ state: "purged", rows: 36 });
    expect(await status(`/v1/runs/${run}`)).toBe(404);
    expect(await status(`/v1/runs/${single.body.id}`)).toBe(404);
    expect(await objects(`runs/${project}/${run}/`)).toEqual([]);
    // What has not ended stays, however old.
    expect(await status(`/v1/runs/${waiting.body.id}`)).toBe(200);
    expect(await status(`/v1/batch-operations/${open.body.batch_id}`)).toBe(200);

    expect(await linesOf(project, id)).toEqual(before);
    expect(await linesOf(project, id, { statuses: ["failed"] })).toEqual(failed);
    for (const after of [0, 8, 9, 20, 38, 39, 500]) {
      const beyond = before.filter((line) => JSON.parse(line).index > after);
      expect(await linesOf(project, id, { after })).toEqual(beyond);
    }
    expect((await ask("GET", `/v1/batch-operations/${id}`, { key })).body).toMatchObject({ succeeded_count: 36 });
    expect(await items()).toEqual(every);
    for (const outcome of ["", "&outcome=created", "&outcome=rejected"]) {
      const path = `/v1/batch-operations/${id}/items?limit=7${outcome}`;
      const paged: unknown[] = [];
      for (let cursor: string | null = ""; cursor !== null; ) {
        const { body } = await ask("GET", cursor === "" ? path : `${path}&cursor=${cursor}`, { key });
        paged.push(...body.data);
        cursor = body.next_cursor;
      }
      expect(paged).toEqual(every.filter((item: { outcome: string }) => outcome.endsWith(item.outcome) || !outcome));
    }

    await retain(env, Date.now() + BATCHES_GONE);
    expect(await status(`/v1/batch-operations/${id}`)).toBe(404);
    expect(await status(`/v1/batch-operations/${id}/results`)).toBe(404);
    expect(await objects(`batches/${project}/${id}/`)).toEqual([]);
    expect(await env.DB.prepare("SELECT 1 FROM batch_items WHERE batch_id = ?").bind(id).first()).toBeNull();
    expect(await status(`/v1/batch-operations/${open.body.batch_id}`)).toBe(200);
  });

  test("walks in steps, and one at a time", async () => {
    const { id: project } = await newProject();
    const job = await newJob(project);
    const at = Date.now() - 40 * DAY_MS;
    const ids = await copyRuns(
      job,
      Array.from({ length: 2_500 }, (_, i) => ({ seq: 10 + i, at: at + i, status: "completed" as const })),
    );
    await Promise.all([retain(env, Date.now()), retain(env, Date.now())]);
    const left = await env.DB.prepare("SELECT count(*) AS n FROM runs WHERE job_id = ?")
      .bind(job.id)
      .first<{ n: number }>();
    expect([ids.length, left?.n]).toEqual([2_500, 0]);
  });

  test("removes the runs of workflows with their steps and payloads, but none that has something left to do", async () => {
    const { id: project } = await newProject();
    const at = Date.now() - 40 * DAY_MS;
    const idAt = (n: number) => firstIdAt(at + n);
    const ref = `workflow-runs/${project}/${idAt(1)}/payload`;
    await env.BLOBS.put(ref, "1");
    const run = (n: number, status: string, finished: number | null, due: number | null) =>
      env.DB.prepare(
        `INSERT INTO workflow_runs (id, project_id, status, depth, created_by, payload_ref, created_at, finished_at, due_at)
         VALUES (?1, ?2, ?3, 1, 'a', ?4, ?5, ?6, ?7)`,
      ).bind(idAt(n), project, status, n === 1 ? ref : null, at + n, finished, due);
    const step = (n: number) =>
      env.DB.prepare(
        "INSERT INTO workflow_run_steps (workflow_run_id, step_index, status, ver) VALUES (?, 0, 'completed', 3)",
      ).bind(idAt(n));
    const young = Date.now() - DAY_MS;
    await env.DB.batch([
      ...[run(1, "completed", at, null), run(2, "running", null, at), run(3, "canceled", at, at)],
      ...[run(4, "failed", young, null), run(5, "failed", at, null), ...[1, 2, 3, 4, 5].map(step)],
      // More than a step looks at.
      env.DB.prepare(
        `WITH RECURSIVE n(i) AS (SELECT 10 UNION ALL SELECT i + 1 FROM n WHERE i < 600)
         INSERT INTO workflow_runs (id, project_id, status, depth, created_by, created_at, finished_at)
         SELECT ?1 || printf('%012d', i), ?2, 'completed', 1, 'a', ?3, ?3 FROM n`,
      ).bind(idAt(6).slice(0, 24), project, at),
    ]);
    await retain(env, Date.now());
    const left = (table: string, column: string) =>
      env.DB.prepare(`SELECT ${column} AS id FROM ${table} WHERE ${column} < ?1 ORDER BY ${column}`)
        .bind(firstIdAt(Date.now() - 30 * DAY_MS))
        .all();
    const kept = [2, 3, 4].map((n) => ({ id: idAt(n) }));
    expect((await left("workflow_runs", "id")).results).toEqual(kept);
    expect((await left("workflow_run_steps", "workflow_run_id")).results).toEqual(kept);
    expect(await objects(ref)).toEqual([]);
  });

  test("passes over batches that are done with in bounded steps, and reaches the one that is not", async () => {
    const { id: project } = await newProject();
    const job = await newJob(project);
    const DONE = 1_200;
    const at = Date.now() - 40 * DAY_MS;
    const last = ledgerId({ at: at + DAY_MS, seq: 1, lane: 0, job: job.number });
    await env.DB.batch([
      env.DB.prepare(
        `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?4)
         INSERT INTO batches (project_id, id, job_id, status, ver, doc)
         SELECT ?1, ?2 || printf('%012d', i), ?3, 'succeeded', 1, '{}' FROM n`,
      ).bind(project, firstIdAt(at).slice(0, 24), job.id, DONE),
      env.DB.prepare(
        "INSERT INTO batch_archives (batch_id, state, doc) SELECT id, 'purged', '{}' FROM batches WHERE project_id = ?1",
      ).bind(project),
    ]);
    const ran = await copyBatch(job, 1, { id: last, created_at: at + DAY_MS, finished_at: at + DAY_MS });
    await env.DB.prepare("UPDATE batches SET id = ?2 WHERE id = ?1").bind(ran, last).run();

    const bounds = { runsBefore: Date.now() - 30 * DAY_MS, batchesBefore: Date.now() - 90 * DAY_MS };
    const first = await walkBatches(env, { job: job.number, after: "" }, bounds, 500);
    expect(first.found).toEqual([]);
    expect(first.next).toEqual({ job: job.number, after: `${firstIdAt(at).slice(0, 24)}000000000500` });
    await retain(env, Date.now());
    expect(await findArchive(env, last)).toMatchObject({ state: "purged", rows: 0 });
  });

  test("lets runs go though there are more batches to retire than a minute allows", async () => {
    const { id: project } = await newProject();
    const job = await newJob(project);
    const at = Date.now() - 40 * DAY_MS;
    const [run] = await copyRuns(job, [{ seq: 9, at, status: "completed" }]);
    const one = await copyBatch(job, 1, { finished_at: at });
    await env.DB.prepare(
      `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 150)
       INSERT INTO batches SELECT project_id, ?2 || printf('%012d', i), job_id, status, ver,
         json_set(doc, '$.id', ?2 || printf('%012d', i)) FROM n CROSS JOIN batches WHERE id = ?1`,
    )
      .bind(one, firstIdAt(at).slice(0, 24))
      .run();
    const thisMinute = Math.floor(Date.now() / 60_000);
    // A minute in which the walk over runs is the first in turn.
    await retain(env, (thisMinute - (thisMinute % 3) + 1) * 60_000);
    expect(await env.DB.prepare("SELECT 1 FROM runs WHERE id = ?").bind(run).first()).toBeNull();
  });
});

describe("an archive of several parts", () => {
  const PART = 5 * 1024 * 1024;

  test("is written bit by bit, and is what the runs were; a line may lie across a cut", async () => {
    const { id: project } = await newProject();
    const job = await newJob(project);
    const id = await copyBatch(job, 1);
    const rows = Array.from({ length: 560 }, (_, i) => ({
      ...{ seq: 100 + i, batch: id, index: i * 2, payload: "1" },
      status: i % 7 === 0 ? ("failed" as const) : ("completed" as const),
      result: JSON.stringify("é".repeat(7_000 + ((i * 7919) % 9_000))),
    }));
    for (let i = 0; i < rows.length; i += 50) await copyRuns(job, rows.slice(i, i + 50));
    const before = await linesOf(project, id);
    expect(before).toHaveLength(560);

    const batch = await getBatch(env, caller(project), id);
    // Each call is told to stop as soon as it may.
    const impatient = { isSpent: () => true, spend: () => undefined };
    const states: string[] = [];
    for (let archive = newArchive(batch); archive.state === "writing" && states.length < 9; ) {
      await writeArchive(env, batch, archive, impatient, PART);
      archive = (await findArchive(env, id)) ?? archive;
      states.push(`${archive.state} ${archive.upload?.parts.length ?? "whole"}`);
    }
    expect(states).toEqual(["writing 1", "writing 2", "done whole"]);

    // Megabytes of difference would be of no use.
    expect((await linesOf(project, id)).join("") === before.join("")).toBe(true);
    const heads = before.map((line) => resultHead(line));
    const indexes = (lines: string[]) => lines.map((line) => resultHead(line).index);
    for (const after of [397, 398, 1_116, 1_117, 5_000]) {
      const beyond = heads.filter((h) => h.index > after).map((h) => h.index);
      expect(indexes(await linesOf(project, id, { after }))).toEqual(beyond);
    }
    const failed = heads.filter((h) => h.status === "failed" && h.index > 300).map((h) => h.index);
    expect(indexes(await linesOf(project, id, { statuses: ["failed"], after: 300 }))).toEqual(failed);
  });

  test("of nothing is empty", async () => {
    const { id: project } = await newProject();
    const id = await copyBatch(await newJob(project), 1);
    const batch = await getBatch(env, caller(project), id);
    expect(await writeArchive(env, batch, newArchive(batch), endless)).toMatchObject({
      state: "done",
      rows: 0,
      bytes: 0,
    });
    expect(await linesOf(project, id)).toEqual([]);
  });
});
