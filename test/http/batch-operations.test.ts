import { beforeAll, describe, expect, test } from "vitest";
import { zeroCounts } from "../../src/domain/batch.ts";
import { ledgerId } from "../../src/domain/id.ts";
import type { Job } from "../../src/domain/job.ts";
import {
  accept,
  call,
  code,
  copyBatch,
  copyRuns,
  env,
  type List,
  newBatch,
  newJob,
  newKey,
  newProject,
  paths,
  until,
} from "./run-world.ts";

interface BatchBody {
  id: string;
  status: string;
  job_id: string;
  created_at: string;
  finished_at: string | null;
  item_count: number;
  created_count: number;
  duplicate_count: number;
  rejected_count: number;
  succeeded_count: number;
  failed_count: number;
  percent_complete: number;
  counts: Record<string, number>;
  max_concurrency: number | null;
  failure_threshold: { percent: number; min_items: number } | null;
  metadata: Record<string, string>;
}
interface Item {
  index: number;
  id: string | null;
  status: string | null;
  outcome: string;
  duplicate_of: string | null;
  idempotency_hit: boolean;
  error: { code: string } | null;
}

const REJECT = { error: { code: "validation_failed", message: "payload: is required", details: [] } };
const PATH = "/v1/batch-operations";

let project: { id: string; key: string };
let stranger: { id: string; key: string };
let job: Job;
beforeAll(async () => {
  project = await newProject();
  stranger = await newProject();
  job = await newJob(project.id);
});

const get = (id: string) => call<BatchBody>(project.key, "GET", `${PATH}/${id}`);

describe("one batch operation", () => {
  test("is never behind, and its numbers add up", async () => {
    const id = await newBatch(job, [{ payload: "1", identity: "k:a" }, REJECT, { payload: "2", identity: "k:a" }]);
    const got = await get(id);
    expect(got.status).toBe(200);
    expect(got.headers.get("ETag")).toMatch(/^"\d+"$/);
    expect(got.body).toMatchObject({
      id,
      job_id: job.id,
      status: "queued",
      item_count: 3,
      created_count: 1,
      duplicate_count: 1,
      rejected_count: 1,
      counts: { ...zeroCounts(), queued: 1 },
      percent_complete: 0,
      finished_at: null,
    });
    expect(got.body).not.toHaveProperty("ver");
  });

  test("one that only the copy knows", async () => {
    const id = await copyBatch(job, 1);
    const got = await get(id);
    expect(got.body).toMatchObject({
      status: "partially_failed",
      succeeded_count: 1,
      failed_count: 2,
      percent_complete: 1,
      throughput_per_sec: 800,
      finished_at: "2023-11-14T22:13:21.005Z",
    });
    expect(got.headers.get("ETag")).toBe('"7"');
  });

  test("another's, a forged or an unknown one is 404; scopes are asked for", async () => {
    const id = await newBatch(job, []);
    const unknown = ledgerId({ at: 1, seq: 9, lane: 0, job: job.number });
    for (const [key, other] of [
      [stranger.key, id] as const,
      [project.key, unknown] as const,
      [project.key, "x"] as const,
    ]) {
      expect(code(await call(key, "GET", `${PATH}/${other}`))).toEqual([404, "not_found"]);
      expect(code(await call(key, "GET", `${PATH}/${other}/items`))).toEqual([404, "not_found"]);
      expect(code(await call(key, "PATCH", `${PATH}/${other}`, {}))).toEqual([404, "not_found"]);
      expect(code(await call(key, "POST", `${PATH}/${other}/cancel`))).toEqual([404, "not_found"]);
    }
    const reader = await newKey(project.id, ["runs:read"]);
    expect((await call(reader, "GET", `${PATH}/${id}`)).status).toBe(200);
    expect(code(await call(reader, "PATCH", `${PATH}/${id}`, {}))).toEqual([403, "forbidden"]);
    expect(code(await call(reader, "POST", `${PATH}/${id}/cancel`))).toEqual([403, "forbidden"]);
  });
});

describe("PATCH", () => {
  test("changes the limits, honours If-Match, and null takes a limit away", async () => {
    const id = await newBatch(job, [{ payload: "1" }]);
    const etag = (await get(id)).headers.get("ETag") ?? "";
    const change = { max_concurrency: 5, failure_threshold: { percent: 12.5, min_items: 10 }, metadata: { a: "b" } };
    const patched = await call<BatchBody>(project.key, "PATCH", `${PATH}/${id}`, change, { "If-Match": etag });
    expect([patched.status, patched.body]).toMatchObject([200, change]);
    expect(patched.headers.get("ETag")).not.toBe(etag);
    for (const stale of [etag, '"99999"', '"nonsense"', `"0", W/${etag}`]) {
      const refused = await call(project.key, "PATCH", `${PATH}/${id}`, { max_concurrency: 6 }, { "If-Match": stale });
      expect(code(refused)).toEqual([412, "precondition_failed"]);
    }
    const next = { "If-Match": `"0", W/${patched.headers.get("ETag")}` };
    expect((await call(project.key, "PATCH", `${PATH}/${id}`, { max_concurrency: 7 }, next)).status).toBe(200);
    const any = await call<BatchBody>(
      project.key,
      "PATCH",
      `${PATH}/${id}`,
      { max_concurrency: null },
      { "If-Match": "*" },
    );
    expect(any.body).toMatchObject({ ...change, max_concurrency: null });
    expect((await get(id)).body).toEqual(any.body);
  });

  test("names every wrong field; a finished batch is 409, a stale If-Match of it 412", async () => {
    const id = await newBatch(job, [{ payload: "1" }]);
    const wrong: [unknown, string][] = [
      [{ max_concurrency: 0 }, "max_concurrency"],
      [{ max_concurrency: 1.5 }, "max_concurrency"],
      [{ max_concurrency: "5" }, "max_concurrency"],
      [{ failure_threshold: { percent: 101, min_items: 1 } }, "failure_threshold.percent"],
      [{ failure_threshold: { percent: -1, min_items: 1 } }, "failure_threshold.percent"],
      [{ failure_threshold: { percent: 5, min_items: 0 } }, "failure_threshold.min_items"],
      [{ failure_threshold: { percent: 5 } }, "failure_threshold.min_items"],
      [{ metadata: { a: 1 } }, "metadata.a"],
      [{ max_concurency: 1 }, "max_concurency"],
    ];
    for (const [body, path] of wrong) {
      const answer = await call(project.key, "PATCH", `${PATH}/${id}`, body);
      expect([...code(answer), ...paths(answer)]).toEqual([422, "validation_failed", path]);
    }
    expect(code(await call(project.key, "PATCH", `${PATH}/${id}`, "["))).toEqual([400, "bad_request"]);
    const old = await copyBatch(job, 2);
    expect(code(await call(project.key, "PATCH", `${PATH}/${old}`, { max_concurrency: 1 }))).toEqual([409, "conflict"]);
    const stale = await call(project.key, "PATCH", `${PATH}/${old}`, { max_concurrency: 1 }, { "If-Match": '"6"' });
    expect(code(stale)).toEqual([412, "precondition_failed"]);
  });
});

describe("cancel", () => {
  test("cancels what waits and ends the batch; once it is finished, 409", async () => {
    for (const bulk of [false, true]) {
      const id = await newBatch(job, [{ payload: "1" }, { payload: "2", scheduled_at: Date.now() + 3_600_000 }]);
      const answer = bulk
        ? await call(project.key, "POST", "/v1/runs/bulk-cancel", { batch_id: id })
        : await call(project.key, "POST", `${PATH}/${id}/cancel`);
      expect([answer.status, answer.body]).toMatchObject(bulk ? [202, { operation_id: id }] : [200, { id }]);
      const done = await until(
        () => get(id),
        (batch) => batch.body.finished_at !== null,
      );
      expect(done.body).toMatchObject({
        status: "canceled",
        percent_complete: 1,
        counts: { ...zeroCounts(), canceled: 2 },
      });
      expect(code(await call(project.key, "POST", `${PATH}/${id}/cancel`))).toEqual([409, "conflict"]);
      expect(code(await call(project.key, "POST", "/v1/runs/bulk-cancel", { batch_id: id }))).toEqual([
        409,
        "conflict",
      ]);
    }
  });
});

describe("lists", () => {
  test("filters and pages, newest first; wrong filters are named", async () => {
    const mine = await newProject();
    const jobs = [await newJob(mine.id), await newJob(mine.id)] as const;
    const ids: string[] = [];
    for (let n = 0; n < 12; n++) {
      ids.push(await copyBatch(n % 2 ? jobs[1] : jobs[0], n, n % 3 ? {} : { status: "succeeded" }));
    }
    const walk = async (query: string): Promise<string[]> => {
      const seen: string[] = [];
      for (let cursor = ""; ; ) {
        const page = await call<List<BatchBody>>(mine.key, "GET", `${PATH}?limit=5&${query}${cursor}`);
        seen.push(...page.body.data.map((b) => b.id));
        if (page.body.next_cursor === null) return seen;
        cursor = `&cursor=${page.body.next_cursor}`;
      }
    };
    const newest = [...ids].reverse();
    expect(await walk("")).toEqual(newest);
    expect(await walk(`job_id=${jobs[1].id}`)).toEqual(newest.filter((id) => ids.indexOf(id) % 2 === 1));
    expect(await walk("status=succeeded")).toEqual(newest.filter((id) => ids.indexOf(id) % 3 === 0));
    expect(await walk("status=succeeded&status=partially_failed")).toEqual(newest);
    expect(await walk("created_after=2023-11-14T22:13:25Z&created_before=2023-11-14T22:13:27Z")).toEqual([
      ids[6],
      ids[5],
    ]);
    expect((await call<List<BatchBody>>(stranger.key, "GET", PATH)).body.data).toEqual([]);
    for (const [query, path] of [
      ["status=done", "status"],
      ["job_id=x", "job_id"],
      ["created_after=x", "created_after"],
      ["limit=500", "limit"],
      ["outcome=x", "outcome"],
    ] as const) {
      const answer = await call(mine.key, "GET", `${PATH}?${query}`);
      expect([answer.status, ...paths(answer)]).toEqual([422, path]);
    }
    expect(code(await call(mine.key, "GET", `${PATH}?cursor=abc`))).toEqual([400, "bad_request"]);
  });
});

describe("items", () => {
  test("every item with what became of it, as soon as the bulk is answered, in index order", async () => {
    const [earlier = ""] = await accept(job, [{ payload: "0", identity: "k:earlier" }]);
    const id = await newBatch(
      job,
      Array.from({ length: 25 }, (_, n) =>
        n % 5 === 1 ? REJECT : n % 5 === 3 ? { payload: "1", identity: "k:earlier" } : { payload: `${n}` },
      ),
    );
    const walk = async (query: string): Promise<Item[]> => {
      const seen: Item[] = [];
      for (let cursor = ""; ; ) {
        const page = await call<List<Item>>(project.key, "GET", `${PATH}/${id}/items?limit=4&${query}${cursor}`);
        expect(page.status).toBe(200);
        seen.push(...page.body.data);
        if (page.body.next_cursor === null) return seen;
        cursor = `&cursor=${page.body.next_cursor}`;
      }
    };
    const all = await walk("");
    expect(all.map((i) => i.index)).toEqual(Array.from({ length: 25 }, (_, n) => n));
    expect(all[0]).toMatchObject({
      outcome: "created",
      status: "queued",
      duplicate_of: null,
      idempotency_hit: false,
      error: null,
    });
    expect(all[1]).toEqual({
      index: 1,
      id: null,
      status: null,
      outcome: "rejected",
      duplicate_of: null,
      idempotency_hit: false,
      error: REJECT.error,
    });
    expect(all[3]).toEqual({
      index: 3,
      id: earlier,
      status: "queued",
      outcome: "duplicate",
      duplicate_of: earlier,
      idempotency_hit: true,
      error: null,
    });
    for (const outcome of ["created", "duplicate", "rejected"]) {
      expect(await walk(`outcome=${outcome}`)).toEqual(all.filter((i) => i.outcome === outcome));
    }
    const run = await call<{ batch_id: string; batch_index: number }>(project.key, "GET", `/v1/runs/${all[2]?.id}`);
    expect(run.body).toMatchObject({ batch_id: id, batch_index: 2 });
    const wrong = await call(project.key, "GET", `${PATH}/${id}/items?outcome=lost`);
    expect([wrong.status, ...paths(wrong)]).toEqual([422, "outcome"]);
    const page = await call<List<Item>>(project.key, "GET", `${PATH}/${id}/items?limit=4`);
    const other = `${PATH}/${id}/items?outcome=created&cursor=${page.body.next_cursor}`;
    expect(code(await call(project.key, "GET", other))).toEqual([400, "bad_request"]);
  });

  test("an earlier run that is long gone leaves the duplicate without a status", async () => {
    const id = await copyBatch(job, 3);
    const gone = ledgerId({ at: 5, seq: 5, lane: 0, job: job.number });
    await env.DB.prepare("INSERT INTO batch_items VALUES (?1, 0, 'duplicate', ?2, NULL)").bind(id, gone).run();
    await copyRuns(job, [{ seq: 77, status: "failed", batch: id, index: 1 }]);
    const items = await call<List<Item>>(project.key, "GET", `${PATH}/${id}/items`);
    expect(items.body.data.map((i) => [i.index, i.id === gone, i.status])).toEqual([
      [0, true, null],
      [1, false, "failed"],
    ]);
  });
});
