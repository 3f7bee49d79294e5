import { env as platform } from "cloudflare:workers";
import { beforeAll, expect, test } from "vitest";
import type { Env } from "../../src/env.ts";
import { deleteCredential } from "../../src/store/credentials.ts";
import { listImports } from "../../src/store/imports.ts";
import { listIngestJobs } from "../../src/store/ingest-jobs.ts";
import { jobsByRefs, listWorkflows } from "../../src/store/workflows.ts";
import { SPEC } from "../fixtures/job-spec.ts";
import { rowsRead, watched } from "./watched.ts";

const { DB } = platform as unknown as Env;

const ROWS = 2_000;
const LIMIT = 20;
const idOf = (n: number): string => `id-${String(n).padStart(5, "0")}`;

/** One project has many of each. One import of the credential "busy" is open, one of "due" will repeat, all others ended. */
beforeAll(async () => {
  const fill = (into: string) =>
    DB.prepare(
      `WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < ${ROWS - 1}) INSERT INTO ${into} FROM n`,
    );
  await DB.batch([
    DB.prepare("INSERT INTO projects (id, name, slug, created_at) VALUES ('p', 'p', 'p', 0)"),
    fill(`jobs (id, project_id, slug, name, enabled, revision, version, version_id, spec, created_by, updated_by, created_at,
        updated_at) SELECT printf('id-%05d', i), 'p', 's' || i, 'Job', 1, 1, 1, 'v' || i, '${JSON.stringify(SPEC)}', 'a', 'a', 0, 0`),
    fill(`imports (id, project_id, job_id, credential_id, status, is_open, next_at, ver, doc)
      SELECT printf('id-%05d', i), 'p', iif(i % 2, 'odd', 'even'), CASE i % 3 WHEN 0 THEN 'idle' WHEN 1 THEN 'busy' ELSE 'due' END,
        iif(i % 10, 'done', 'failed'), i = 1, iif(i = 2, 1, NULL), 1, json_object('n', i)`),
    fill(`ingest_jobs (import_id, project_id, name, table_name, claimed_at, modified_at)
      SELECT printf('id-%05d', i), 'p', 'n' || i, 't', 0, 0`),
    fill(`workflows (id, project_id, slug, name, revision, created_by, updated_by, created_at, updated_at)
      SELECT printf('id-%05d', i), 'p', 's' || i, 'w', 1, 'a', 'a', 0, 0`),
    fill("workflow_revisions (workflow_id, revision, steps, step_count) SELECT printf('id-%05d', i), 1, '[]', 0"),
    ...["idle", "busy", "due"].map((id) =>
      DB.prepare("INSERT INTO credentials VALUES (?, 'p', 'c', 'aws s3', 'k', 's', 'a', 0, NULL)").bind(id),
    ),
  ]);
});

const read = { limit: LIMIT, before: idOf(LIMIT * 2) };
/** Ids of the page before `read.before`, one more where the list says so. */
const page = (rows: number, step = 1): string[] =>
  Array.from({ length: rows }, (_, i) => idOf(LIMIT * 2 - step * (i + 1)));
const numbers = (records: readonly unknown[]): string[] => records.map((r) => idOf((r as { n: number }).n));

/** Each row and its index entry, what it is joined with, and what the database puts together on the way. */
const A_PAGE = 10 * (LIMIT + 1);

test.each<[string, (db: D1Database) => Promise<string[]>, string[]]>([
  ["imports", async (db) => numbers(await listImports(db, { project_id: "p" }, read)), page(LIMIT + 1)],
  [
    "imports of a job",
    async (db) => numbers(await listImports(db, { project_id: "p", job_id: "even" }, read)),
    page(LIMIT, 2),
  ],
  ["ingest jobs", async (db) => (await listIngestJobs(db, "p", read)).map(({ row }) => row.import_id), page(LIMIT)],
  ["workflows", async (db) => (await listWorkflows(db, "p", read)).rows.map(({ id }) => id), page(LIMIT)],
])("the last pages of %s read what they show, and nothing of the pages before", async (_, list, expected) => {
  const { db, asked } = watched(DB);
  expect(await list(db)).toEqual(expected);
  expect(await rowsRead(DB, asked)).toBeLessThanOrEqual(A_PAGE);
});

test("imports are filtered by status", async () => {
  const found = await listImports(DB, { project_id: "p", status: "failed" }, { limit: LIMIT, before: idOf(31) });
  expect(numbers(found)).toEqual([30, 20, 10, 0].map(idOf));
});

test("jobs are found by id and by slug, without a look at the others", async () => {
  const { db, asked } = watched(DB);
  const found = await jobsByRefs(db, "p", [idOf(7), "s9", "none"]);
  expect(found.map(({ slug }) => slug).sort()).toEqual(["s7", "s9"]);
  expect(await rowsRead(DB, asked)).toBeLessThanOrEqual(20);
});

test("a credential is deleted unless an import needs it, whatever number has ended", async () => {
  const { db, asked } = watched(DB);
  expect(await deleteCredential(db, "busy")).toEqual([idOf(1)]);
  expect(await deleteCredential(db, "due")).toEqual([idOf(2)]);
  expect(await deleteCredential(db, "idle")).toEqual([]);
  const { results } = await DB.prepare("SELECT id FROM credentials ORDER BY id").all();
  expect(results).toEqual([{ id: "busy" }, { id: "due" }]);
  expect(await rowsRead(DB, asked)).toBeLessThanOrEqual(30);
});
