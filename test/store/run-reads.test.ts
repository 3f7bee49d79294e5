import fc from "fast-check";
import { beforeEach, describe, expect, test } from "vitest";
import type { BatchRecord } from "../../src/domain/batch.ts";
import { ledgerId } from "../../src/domain/id.ts";
import { RUN_STATUSES, type RunRecord, type RunStatus, type TriggeredBy } from "../../src/domain/run.ts";
import { unpackRunDoc } from "../../src/domain/run-doc.ts";
import type { Env } from "../../src/env.ts";
import { listBatchItems } from "../../src/store/batch-items.ts";
import { type BatchFilter, findBatch, listBatches } from "../../src/store/batches.ts";
import { findRun, findRuns, listRuns, type RunFilter } from "../../src/store/runs.ts";
import { type Page, SCAN_BOUNDS } from "../../src/store/scan.ts";
import { AT, docOf, env, insertBatches, insertRuns, jobId, OTHER, PROJECT, runId, type Seed } from "./run-rows.ts";

/** Every page from the first to the last; fails where the list does not end. */
async function walk<R>(
  page: (after: string | null) => Promise<Page<R, string>>,
  between?: (n: number) => Promise<void>,
): Promise<R[][]> {
  const pages: R[][] = [];
  let after: string | null = null;
  do {
    const answer: Page<R, string> = await page(after);
    pages.push(answer.rows);
    after = answer.next;
    await between?.(pages.length);
    expect(pages.length).toBeLessThan(500);
  } while (after !== null);
  return pages;
}

/** The same database, with a tally of what each statement read. */
function tallied(): { env: Env; reads: number[] } {
  const reads: number[] = [];
  const tally = (statement: D1PreparedStatement): D1PreparedStatement =>
    new Proxy(statement, {
      get(target, name) {
        if (name === "bind") return (...values: unknown[]) => tally(target.bind(...values));
        if (name !== "all") return Reflect.get(target, name);
        return async () => {
          const result = await target.all();
          reads.push(result.meta.rows_read);
          return result;
        };
      },
    });
  const DB = new Proxy(env.DB, {
    get: (target, name) => (name === "prepare" ? (q: string) => tally(target.prepare(q)) : Reflect.get(target, name)),
  });
  return { env: { ...env, DB }, reads };
}

beforeEach(async () => {
  await env.DB.batch(["runs", "batches", "batch_items"].map((t) => env.DB.prepare(`DELETE FROM ${t}`)));
});

describe("walking a list", () => {
  test("thousands of runs of one millisecond, while newer ones arrive: each once, newest first", async () => {
    const seeds = Array.from({ length: 3_000 }, (_, seq) => ({ at: AT, seq, job: 1 + (seq % 2) }));
    await insertRuns(seeds);
    await insertRuns([{ at: AT, seq: 7, project: OTHER, job: 3 }]);
    const expected = seeds.map(runId).sort().reverse();
    for (const filter of [{}, { job_id: jobId(2) }]) {
      const pages = await walk(
        (after) => listRuns(env, { project_id: PROJECT, ...filter }, after, 170),
        (n) => insertRuns([{ at: AT + n, seq: 10_000 + n, job: 2 }]),
      );
      const want = expected.filter((id) => !filter.job_id || id.endsWith("00000002"));
      expect(pages.flat().map((r) => r.id)).toEqual(want);
      await env.DB.prepare("DELETE FROM runs WHERE id > ?")
        .bind(runId({ at: AT, seq: 5_000 }))
        .run();
    }
  });

  test("any rows, any filter, any page size and bounds: exactly what the filter says, in order", async () => {
    const batch = (n: number) => ledgerId({ at: AT, seq: n, lane: 0, job: 1 });
    const keys = [null, "", "a", "%"];
    const tags = [undefined, { a: "b" }, { a: "c", $: "x" }, { 'q"': "b", "a.b": "" }];
    const seed = fc.record({
      at: fc.integer({ min: AT, max: AT + 3 }),
      project: fc.constantFrom(PROJECT, PROJECT, OTHER),
      job: fc.integer({ min: 1, max: 2 }),
      batch: fc.constantFrom(null, batch(1), batch(2)),
      status: fc.constantFrom(...RUN_STATUSES),
      triggered_by: fc.constantFrom<TriggeredBy>("api", "bulk"),
      key: fc.constantFrom(...keys),
      tags: fc.constantFrom(...tags),
    });
    const filters = fc.record(
      {
        job_id: fc.constantFrom(jobId(1), jobId(2)),
        batch_id: fc.constantFrom(batch(1), batch(2)),
        statuses: fc.oneof(
          fc.subarray([...RUN_STATUSES]),
          fc.subarray<RunStatus>(["failed", "timed_out", "crashed"], { minLength: 1 }),
        ),
        tag: fc.constantFrom(
          { key: "a", value: "b" },
          { key: "$", value: "x" },
          { key: 'q"', value: "b" },
          { key: "a.b", value: "" },
        ),
        triggered_by: fc.constant<TriggeredBy>("bulk"),
        concurrency_key: fc.constantFrom("", "a", "%"),
        created_after: fc.integer({ min: AT - 1, max: AT + 4 }),
        created_before: fc.integer({ min: AT - 1, max: AT + 4 }),
      },
      { requiredKeys: [] },
    );
    await fc.assert(
      fc.asyncProperty(
        fc.array(seed, { maxLength: 60 }),
        fc.array(filters, { minLength: 3, maxLength: 3 }),
        fc.integer({ min: 1, max: 9 }),
        fc.record({ stepRows: fc.integer({ min: 1, max: 8 }), steps: fc.integer({ min: 1, max: 3 }) }),
        async (drawn, wanted, limit, bounds) => {
          const seeds = [...drawn]
            .sort((a, b) => a.at - b.at)
            .map((s, seq) => ({ ...s, seq, index: s.batch === null ? null : seq }));
          await env.DB.prepare("DELETE FROM runs").run();
          await insertRuns(seeds);
          for (const filter of wanted) {
            const got = await walk((after) => listRuns(env, { project_id: PROJECT, ...filter }, after, limit, bounds));
            for (const page of got) expect(page.length).toBeLessThanOrEqual(limit);
            expect(got.flat().map((r) => r.id)).toEqual(oracle(seeds, filter));
          }
        },
      ),
      { numRuns: 25 },
    );
  });
});

function oracle(seeds: (Seed & { project: string; job: number })[], f: Omit<RunFilter, "project_id">): string[] {
  return seeds
    .filter(
      (s) =>
        s.project === PROJECT &&
        (f.job_id === undefined || jobId(s.job) === f.job_id) &&
        (f.batch_id === undefined || s.batch === f.batch_id) &&
        (!f.statuses?.length || (s.status !== undefined && f.statuses.includes(s.status))) &&
        (f.tag === undefined || s.tags?.[f.tag.key] === f.tag.value) &&
        (f.triggered_by === undefined || s.triggered_by === f.triggered_by) &&
        (f.concurrency_key === undefined || s.key === f.concurrency_key) &&
        (f.created_after === undefined || s.at >= f.created_after) &&
        (f.created_before === undefined || s.at < f.created_before),
    )
    .map(runId)
    .sort()
    .reverse();
}

describe("a bounded price", () => {
  test("a rare status among many is found in bounded steps, over several requests", async () => {
    const seeds: Seed[] = Array.from({ length: 4_000 }, (_, seq) => ({ at: AT + seq, seq }));
    for (const seq of [5, 2_000, 3_999]) seeds[seq] = { at: AT + seq, seq, status: "canceled" };
    await insertRuns(seeds);
    const bounds = { stepRows: 300, steps: 3 };
    const { env: counting, reads } = tallied();
    const filter: RunFilter = { project_id: PROJECT, statuses: ["canceled"] };
    const pages = await walk((after) => listRuns(counting, filter, after, 10, bounds));
    expect(pages.flat().map((r) => r.created_at)).toEqual([AT + 3_999, AT + 2_000, AT + 5]);
    expect(pages.length).toBeGreaterThan(4);
    expect(reads.length).toBeLessThanOrEqual(pages.length * bounds.steps);
    // A candidate costs its row, its place in the step's own table, and the search for the step's last one.
    expect(Math.max(...reads)).toBeLessThanOrEqual(bounds.stepRows * 4 + 20);
  });

  test("a page of what all matches reads little more than it shows, however long the list", async () => {
    await insertRuns(Array.from({ length: 4_000 }, (_, seq) => ({ at: AT + seq, seq, batch: "b", index: seq })));
    for (const filter of [{}, { job_id: jobId(1) }, { batch_id: "b" }]) {
      const { env: counting, reads } = tallied();
      const page = await listRuns(counting, { project_id: PROJECT, ...filter }, null, 20);
      expect(page.rows).toHaveLength(20);
      expect(reads).toHaveLength(1);
      expect(reads[0]).toBeLessThanOrEqual(21 * 6);
    }
  });

  test("the dead are found through their own index", async () => {
    const seeds: Seed[] = Array.from({ length: 4_000 }, (_, seq) => ({ at: AT + seq, seq }));
    for (const seq of [1, 2, 3]) seeds[seq] = { at: AT + seq, seq, status: "crashed", job: 2 };
    await insertRuns(seeds);
    const { env: counting, reads } = tallied();
    const page = await listRuns(counting, { project_id: PROJECT, statuses: ["crashed"], job_id: jobId(2) }, null, 50);
    expect(page).toMatchObject({
      rows: [{ status: "crashed" }, { status: "crashed" }, { status: "crashed" }],
      next: null,
    });
    expect(reads.reduce((a, b) => a + b, 0)).toBeLessThan(60);
  });

  test("the bounds of a deployment hold a request to tens of thousands of rows", () => {
    expect(SCAN_BOUNDS.stepRows * SCAN_BOUNDS.steps).toBeLessThanOrEqual(50_000);
  });
});

describe("single rows", () => {
  test("a run comes back as it was written, every digit of it", async () => {
    const seed: Seed = {
      at: AT,
      seq: 1,
      batch: "b",
      index: 4,
      status: "completed",
      key: "k",
      tags: { a: "b" },
      payload: '{ "n" : 12345678901234567890, "f":1.0e2 }',
    };
    await insertRuns([seed, { at: AT, seq: 2, payload: null }]);
    const run = await findRun(env, PROJECT, runId(seed));
    expect(run).toEqual({
      ...unpackRunDoc(docOf(seed)),
      id: runId(seed),
      project_id: PROJECT,
      job_id: jobId(1),
      batch_id: "b",
      batch_index: 4,
      status: "completed",
      triggered_by: "api",
      concurrency_key: "k",
      tags: { a: "b" },
      payload: '{ "n" : 12345678901234567890, "f":1.0e2 }',
    } satisfies RunRecord);
    expect((await findRun(env, PROJECT, runId({ at: AT, seq: 2 })))?.payload).toBeNull();
    expect(await findRun(env, OTHER, runId(seed))).toBeNull();
    const some = await findRuns(env, PROJECT, [runId({ at: AT, seq: 2 }), runId({ at: AT, seq: 3 }), runId(seed)]);
    expect(some.map((r) => r.id).sort()).toEqual([runId(seed), runId({ at: AT, seq: 2 })]);
    expect(await findRuns(env, PROJECT, [])).toEqual([]);
  });
});

describe("batches", () => {
  test("filters, order and pages agree with an oracle; another project's batch is not there", async () => {
    const rows = Array.from({ length: 120 }, (_, n) => ({
      at: AT + (n % 3),
      id: ledgerId({ at: AT + (n % 3), seq: n, lane: 0, job: 1 + (n % 2) }),
      project: n % 5 === 0 ? OTHER : PROJECT,
      job: jobId(1 + (n % 2)),
      status: n % 7 === 0 ? "failed" : "running",
    }));
    await insertBatches(rows);
    const filters: Omit<BatchFilter, "project_id">[] = [
      {},
      { job_id: jobId(2) },
      { statuses: ["failed"] },
      { job_id: jobId(1), statuses: ["failed", "running"], created_after: AT + 1 },
      { created_after: AT + 1, created_before: AT + 2 },
      { statuses: ["paused"] },
    ];
    for (const f of filters) {
      const pages = await walk<BatchRecord>((after) =>
        listBatches(env, { project_id: PROJECT, ...f }, after, 7, { stepRows: 20, steps: 2 }),
      );
      const want = rows
        .filter(
          (r) =>
            r.project === PROJECT &&
            (f.job_id ?? r.job) === r.job &&
            (f.statuses === undefined || f.statuses.some((s) => s === r.status)) &&
            r.at >= (f.created_after ?? 0) &&
            r.at < (f.created_before ?? Number.POSITIVE_INFINITY),
        )
        .map((r) => r.id)
        .sort()
        .reverse();
      expect(pages.flat().map((b) => b.id)).toEqual(want);
    }
    const first = rows[1];
    expect(first && (await findBatch(env, PROJECT, first.id))?.id).toBe(first?.id);
    expect(first && (await findBatch(env, OTHER, first.id))).toBeNull();
  });

  test("items of every outcome come merged in index order, each once", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.constantFrom("created", "duplicate", "rejected"), { maxLength: 40 }),
        fc.constantFrom(null, "created" as const, "duplicate" as const, "rejected" as const),
        fc.integer({ min: 1, max: 7 }),
        async (outcomes, wanted, limit) => {
          await env.DB.batch(["runs", "batch_items"].map((t) => env.DB.prepare(`DELETE FROM ${t}`)));
          const earlier: Seed = { at: AT - 1, seq: 9_999, status: "completed" };
          await insertRuns([
            earlier,
            ...outcomes.flatMap((o, index) => (o === "created" ? [{ at: AT, seq: index, batch: "b", index }] : [])),
            { at: AT, seq: 5_000, batch: "c", index: 3 },
          ]);
          const error = { code: "validation_failed", message: "no", details: [] };
          const others = outcomes.flatMap((o, i) =>
            o === "created"
              ? []
              : [
                  [
                    "b",
                    i,
                    o,
                    o === "duplicate" ? runId(earlier) : null,
                    o === "rejected" ? JSON.stringify(error) : null,
                  ],
                ],
          );
          await env.DB.prepare(
            "INSERT INTO batch_items SELECT value->>0, value->>1, value->>2, value->>3, value->>4 FROM json_each(?)",
          )
            .bind(JSON.stringify([...others, ["c", 0, "rejected", null, JSON.stringify(error)]]))
            .run();
          const pages = await walk(async (after) => {
            const page = await listBatchItems(
              env,
              { id: "b", project_id: PROJECT },
              wanted,
              after === null ? null : Number(after),
              limit,
              { stepRows: 4, steps: 2 },
            );
            return { rows: page.rows, next: page.next === null ? null : String(page.next) };
          });
          expect(pages.flat()).toEqual(
            outcomes.flatMap((outcome, index): unknown[] => {
              if (wanted !== null && outcome !== wanted) return [];
              if (outcome === "rejected") return [{ index, outcome, run_id: null, status: null, error }];
              return outcome === "duplicate"
                ? [{ index, outcome, run_id: runId(earlier), status: "completed", error: null }]
                : [{ index, outcome, run_id: runId({ at: AT, seq: index }), status: "queued", error: null }];
            }),
          );
        },
      ),
      { numRuns: 25 },
    );
  });
});
