import { env as platform } from "cloudflare:workers";
import { beforeAll, expect, test } from "vitest";
import type { Env } from "../../src/env.ts";
import { type CronCursor, listDueCrons, setCronClocks } from "../../src/store/crons.ts";
import { SPEC } from "../fixtures/job-spec.ts";
import { watched } from "./watched.ts";

const { DB } = platform as unknown as Env;

const JOBS = 10_000;
const DUE_EVERY = 40;
const NOW = 1_800_000_000_000;

/** Ten thousand jobs with a cron: one in forty is due, as many are due and paused, or due and disabled. */
beforeAll(async () => {
  await DB.prepare("INSERT INTO projects (id, name, slug, created_at) VALUES ('p', 'p', 'p', 0)").run();
  const spec = JSON.stringify({ ...SPEC, cron: "* * * * *" });
  await DB.prepare(
    `WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < ?1 - 1)
     INSERT INTO jobs (id, project_id, slug, name, enabled, paused, revision, told_revision, version, version_id, spec,
       created_by, updated_by, created_at, updated_at, cron_since, next_cron_at)
     SELECT printf('job-%05d', i), 'p', 's' || i, 'Job', i % ?2 <> 1, i % ?2 = 2, 1, 1, 1, 'v' || i, ?3, 'a', 'a', 0, 0,
       CASE WHEN i % ?2 < 3 THEN ?4 - i % 7 ELSE ?4 + 60000 END, CASE WHEN i % ?2 < 3 THEN ?4 - i % 7 ELSE ?4 + 60000 END
     FROM n`,
  )
    .bind(JOBS, DUE_EVERY, spec, NOW)
    .run();
});

test("what is due of ten thousand crons is found by one query, by its index, reading nothing else", async () => {
  const { db, asked } = watched(DB);
  const due = await listDueCrons(db, NOW, null, 1000);
  expect(due).toHaveLength(JOBS / DUE_EVERY);
  expect(due.every((job) => Number(job.id.slice(4)) % DUE_EVERY === 0)).toBe(true);
  expect(asked).toHaveLength(1);
  const { query, args } = asked[0] ?? { query: "", args: [] };
  const plan = await DB.prepare(`EXPLAIN QUERY PLAN ${query}`)
    .bind(...args)
    .all<{ detail: string }>();
  expect(plan.results.map((step) => step.detail)).toEqual([expect.stringContaining("USING INDEX jobs_by_next_cron")]);
  expect(plan.results[0]?.detail).toMatch(/^SEARCH/);
  const { meta } = await DB.prepare(query)
    .bind(...args)
    .all();
  console.log(`${meta.rows_read} rows read for ${due.length} due of ${JOBS} crons`);
  expect(meta.rows_read).toBeLessThanOrEqual(2 * due.length + 1);
});

test("pages meet each due job once, also while clocks are set between them", async () => {
  const met: string[] = [];
  let after: CronCursor | null = null;
  for (;;) {
    const page = await listDueCrons(DB, NOW, after, 30);
    met.push(...page.map((job) => job.id));
    const last = page[page.length - 1];
    if (last === undefined) break;
    after = { next_cron_at: last.next_cron_at ?? 0, number: last.number };
    // Every second one could not be fired and stays due.
    const fired = page.filter((_, i) => i % 2 === 0);
    await setCronClocks(
      DB,
      fired.map(({ id, revision }) => ({ id, revision, cron_since: NOW + 60_000, next_cron_at: NOW + 60_000 })),
    );
  }
  expect(met).toHaveLength(JOBS / DUE_EVERY);
  expect(new Set(met).size).toBe(met.length);
  expect(await listDueCrons(DB, NOW, null, 1000)).toHaveLength(JOBS / DUE_EVERY / 2);
});

test("a clock goes forward, ends, and yields to a change made meanwhile", async () => {
  const clock = () =>
    DB.prepare("SELECT cron_since, next_cron_at FROM jobs WHERE id = 'job-00001'").first<Record<string, number>>();
  const set = (revision: number, at: number | null) =>
    setCronClocks(DB, [{ id: "job-00001", revision, cron_since: at, next_cron_at: at }]);
  await set(1, NOW + 1000);
  expect(await clock()).toEqual({ cron_since: NOW + 1000, next_cron_at: NOW + 1000 });
  await set(1, NOW);
  await set(2, NOW + 5000);
  expect(await clock()).toEqual({ cron_since: NOW + 1000, next_cron_at: NOW + 1000 });
  await set(1, null);
  expect(await clock()).toEqual({ cron_since: null, next_cron_at: null });
});
