import fc from "fast-check";
import { beforeAll, describe, expect, test, vi } from "vitest";
import { coordinatorOf } from "../../src/coordinator/client.ts";
import { ledgerId } from "../../src/domain/id.ts";
import type { Job } from "../../src/domain/job.ts";
import { RawJson, stringifyRaw } from "../../src/http/wire/raw-json.ts";
import { payloadHash } from "../../src/operations/payload-hash.ts";
import {
  ADMIN,
  type Answer,
  accept,
  call,
  copyRuns,
  type ErrorBody,
  env,
  newBatch,
  newJob,
  newKey,
  newProject,
} from "./run-world.ts";

interface RunBody {
  id: string;
  status: string;
  payload: unknown;
  payload_hash: string | null;
  result: unknown;
  tags: Record<string, string>;
  metadata: Record<string, string>;
  priority: number;
  concurrency_key: string | null;
  triggered_by: string;
  created_by: string;
  replayed_run_id: string | null;
  batch_id: string | null;
  max_attempts: number;
  attempts: { duration_ms: number | null }[];
}
interface List<T> {
  data: T[];
  next_cursor: string | null;
  has_more: boolean;
  as_of: string;
}
interface Result {
  id: string;
  outcome: string;
  status: string | null;
  new_run_id: string | null;
  error: { code: string; message: string } | null;
}

const BIG = `{"text":"${"é".repeat(20_000)}","n":12345678901234567890}`;
const UNKNOWN_RUN = (job: Job) => ledgerId({ at: 1_800_000_000_000, seq: 4_000_000, lane: 0, job: job.number });

let project: { id: string; key: string };
let stranger: { id: string; key: string };
let job: Job;
beforeAll(async () => {
  project = await newProject();
  stranger = await newProject();
  job = await newJob(project.id);
});

const code = (answer: Answer<unknown>) => [answer.status, (answer.body as ErrorBody).error.code];
const paths = (answer: Answer<unknown>) => (answer.body as ErrorBody).error.details.map((d) => d.path);

/** Asks again until the copy has it. */
const until = <T>(ask: () => Promise<T>, done: (answer: T) => boolean): Promise<T> =>
  vi.waitFor(
    async () => {
      const answer = await ask();
      expect(done(answer)).toBe(true);
      return answer;
    },
    { timeout: 10_000, interval: 20 },
  );

describe("raw JSON", () => {
  test("is spliced in verbatim; everything else is as JSON.stringify writes it", () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        expect(stringifyRaw(value)).toBe(JSON.stringify(value));
        const text = ` ${JSON.stringify(value)}\n`;
        expect(stringifyRaw({ a: [new RawJson(text)], b: undefined, c: null })).toBe(`{"a":[${text}],"c":null}`);
      }),
    );
  });
});

describe("GET /v1/runs/{id}", () => {
  test("a run can be read the moment it is accepted, its payload byte for byte", async () => {
    const payload = '{ "b" : 12345678901234567890, "a":[1.0, 2e3] }';
    const [id] = await accept(job, [{ payload, priority: 3, tags: { t: "1" } }]);
    const got = await call<RunBody>(project.key, "GET", `/v1/runs/${id}`);
    expect(got.status).toBe(200);
    expect(got.text).toContain(`"payload":${payload},`);
    expect(got.body).toMatchObject({
      id,
      status: "queued",
      waiting_for: "paused",
      job_id: job.id,
      payload_hash: payloadHash('{"a":[1,2000],"b":12345678901234567890}'),
      priority: 3,
      tags: { t: "1" },
      result: null,
      attempts: [],
      finished_at: null,
    });
    expect(payloadHash('{"a":1}')).toBe("015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862");
  });

  test("one that only the copy knows, its bodies from R2", async () => {
    await env.BLOBS.put("bodies/p", BIG);
    await env.BLOBS.put("bodies/r", `[${BIG}]`);
    const [id = ""] = await copyRuns(job, [
      { seq: 900, status: "completed", payload: null, payload_ref: "bodies/p", result_ref: "bodies/r" },
    ]);
    const got = await call<RunBody>(project.key, "GET", `/v1/runs/${id}`);
    expect(got.text).toContain(`"payload":${BIG},`);
    expect(got.text).toContain(`"result":[${BIG}],`);
    expect(got.body.payload_hash).toBe(payloadHash(BIG));
    expect(got.body.attempts).toMatchObject([{ number: 1, duration_ms: 8, started_at: "2027-01-15T08:00:00.001Z" }]);
    const listed = await call<List<RunBody>>(project.key, "GET", `/v1/jobs/${job.id}/runs?status=completed`);
    expect(listed.body.data.find((r) => r.id === id)).toMatchObject({
      payload: null,
      result: null,
      payload_hash: payloadHash(BIG),
    });
    await env.BLOBS.delete("bodies/p");
    expect((await call<RunBody>(project.key, "GET", `/v1/runs/${id}`)).body).toMatchObject({
      payload: null,
      payload_hash: null,
    });
  });

  test("what is not there, or another's, is 404 and makes no object; wrong credentials and scopes are told apart", async () => {
    const [id] = await accept(job, [{ payload: "1" }]);
    const forged = ledgerId({ at: 1, seq: 1, lane: 0, job: 4_000_000_000 });
    const elsewhere = ledgerId({ at: 1, seq: 1, lane: 7, job: job.number });
    for (const path of ["no-id", forged, elsewhere, UNKNOWN_RUN(job), "01900000-0000-4000-8000-000000000001"]) {
      expect(code(await call(project.key, "GET", `/v1/runs/${path}`))).toEqual([404, "not_found"]);
      expect(code(await call(project.key, "POST", `/v1/runs/${path}/cancel`))).toEqual([404, "not_found"]);
      expect(code(await call(project.key, "POST", `/v1/runs/${path}/replay`))).toEqual([404, "not_found"]);
    }
    expect(code(await call(stranger.key, "GET", `/v1/runs/${id}`))).toEqual([404, "not_found"]);
    expect(code(await call(stranger.key, "DELETE", `/v1/runs/${id}`))).toEqual([404, "not_found"]);
    expect(code(await call(project.key, "GET", `/v1/runs/${id}?project_id=${stranger.id}`))).toEqual([
      404,
      "not_found",
    ]);
    expect((await call(ADMIN, "GET", `/v1/runs/${id}`)).status).toBe(200);
    expect(code(await call(null, "GET", `/v1/runs/${id}`))).toEqual([401, "authentication_required"]);
    const reader = await newKey(project.id, ["runs:read"]);
    const writer = await newKey(project.id, ["runs:write"]);
    expect(code(await call(writer, "GET", `/v1/runs/${id}`))).toEqual([403, "forbidden"]);
    for (const path of [`${id}/cancel`, `${id}/replay`, "bulk-cancel", "bulk-replay"]) {
      expect(code(await call(reader, "POST", `/v1/runs/${path}`, {}))).toEqual([403, "forbidden"]);
    }
  });
});

describe("lists", () => {
  test("filters, pages and the dead", async () => {
    const mine = await newJob(project.id);
    const ids = await copyRuns(
      mine,
      Array.from({ length: 30 }, (_, n) => ({
        seq: n,
        at: 1_700_000_000_000 + n * 1000,
        status: (["completed", "failed", "crashed"] as const)[n % 3] ?? "failed",
        payload: `{"n":1234567890123456789${n % 10}}`,
        ...(n % 2 ? { tags: { "a b": "x:y" } } : {}),
      })),
    );
    const walk = async (path: string): Promise<string[]> => {
      const seen: string[] = [];
      let cursor = "";
      do {
        const page: Answer<List<RunBody>> = await call(project.key, "GET", `${path}&limit=7${cursor}`);
        expect(page.status).toBe(200);
        expect(page.body.has_more).toBe(page.body.next_cursor !== null);
        seen.push(...page.body.data.map((r) => r.id));
        cursor = page.body.next_cursor === null ? "" : `&cursor=${page.body.next_cursor}`;
      } while (cursor !== "");
      return seen;
    };
    const newest = [...ids].reverse();
    expect(await walk(`/v1/jobs/${mine.id}/runs?`)).toEqual(newest);
    expect(
      await walk(`/v1/jobs/${mine.current.spec.slug}/runs?status=failed&status=crashed&tag=a%20b%3Ax%3Ay`),
    ).toEqual(newest.filter((id) => ids.indexOf(id) % 3 > 0 && ids.indexOf(id) % 2 === 1));
    expect(
      await walk("/v1/runs?created_after=2023-11-14T22:13:23Z&created_before=2023-11-14T23:13:25.000%2B01:00"),
    ).toEqual([ids[4], ids[3]]);
    expect((await walk("/v1/runs/dlq?created_before=2024-01-01T00:00:00Z")).length).toBe(20);
    expect(await walk("/v1/runs?triggered_by=cron")).toEqual([]);
    const page = await call<List<RunBody>>(project.key, "GET", `/v1/jobs/${mine.id}/runs?limit=1`);
    expect(page.text).toContain('"payload":{"n":12345678901234567899}');
    expect(page.body.data[0]).not.toHaveProperty("attempts");
    // A cursor belongs to its list.
    const cursor = page.body.next_cursor;
    for (const path of [`/v1/runs?cursor=${cursor}`, `/v1/jobs/${mine.id}/runs?status=failed&cursor=${cursor}`]) {
      expect(code(await call(project.key, "GET", path))).toEqual([400, "bad_request"]);
    }
    expect((await call(stranger.key, "GET", `/v1/jobs/${mine.id}/runs`)).status).toBe(404);
    expect((await call<List<RunBody>>(stranger.key, "GET", "/v1/runs")).body.data).toEqual([]);
  });

  test("what has just been accepted is listed within moments", async () => {
    const [id] = await accept(job, [{ payload: "{}", concurrency_key: "just-now" }]);
    const list = await until(
      () => call<List<RunBody>>(project.key, "GET", "/v1/runs?concurrency_key=just-now"),
      (answer) => answer.body.data.length > 0,
    );
    expect(list.body.data).toMatchObject([{ id, status: "queued", payload: {} }]);
  });

  test("every wrong filter is named", async () => {
    const wrong: [string, string][] = [
      ["limit=0", "limit"],
      ["limit=201", "limit"],
      ["limit=x", "limit"],
      ["status=done", "status"],
      ["status=failed&status=done", "status"],
      ["tag=novalue", "tag"],
      ["tag=:x", "tag"],
      ["triggered_by=me", "triggered_by"],
      ["triggered_by=api&triggered_by=bulk", "triggered_by"],
      ["concurrency_key=", "concurrency_key"],
      ["created_after=yesterday", "created_after"],
      ["created_before=2026-13-01T00:00:00Z", "created_before"],
      ["created_before=2026-01-01", "created_before"],
      ["batch_id=7", "batch_id"],
      ["stauts=failed", "stauts"],
    ];
    for (const [query, path] of wrong) {
      const answer = await call(project.key, "GET", `/v1/runs?${query}`);
      expect([query, ...code(answer), ...paths(answer)]).toEqual([query, 422, "validation_failed", path]);
    }
    expect(code(await call(project.key, "GET", "/v1/runs?cursor=xyz"))).toEqual([400, "bad_request"]);
    expect(paths(await call(ADMIN, "GET", "/v1/runs"))).toEqual(["project_id"]);
    expect(paths(await call(project.key, "GET", "/v1/runs/dlq?status=failed"))).toEqual(["status"]);
    expect(code(await call(project.key, "GET", "/v1/jobs/none/runs"))).toEqual([404, "not_found"]);
  });
});

describe("cancel", () => {
  test("a waiting run is canceled at once, by either route; a second time is 409", async () => {
    const [a = "", b = ""] = await accept(job, [{ payload: '{"x":12345678901234567890}' }, { payload: "2" }]);
    const canceled = await call<RunBody>(project.key, "POST", `/v1/runs/${a}/cancel`);
    expect([canceled.status, canceled.body.status]).toEqual([200, "canceled"]);
    expect(canceled.text).toContain('"payload":{"x":12345678901234567890}');
    expect((await call<RunBody>(project.key, "DELETE", `/v1/runs/${b}`)).body.status).toBe("canceled");
    expect((await call<RunBody>(project.key, "GET", `/v1/runs/${a}`)).body.status).toBe("canceled");
    for (const id of [a, b])
      expect(code(await call(project.key, "DELETE", `/v1/runs/${id}`))).toEqual([409, "conflict"]);
    const [old] = await copyRuns(job, [{ seq: 1_000_001, status: "completed" }]);
    expect(code(await call(project.key, "POST", `/v1/runs/${old}/cancel`))).toEqual([409, "conflict"]);
  });

  test("many by id: a result each, in order, whatever their jobs", async () => {
    const second = await newJob(project.id);
    const foreign = await newJob(stranger.id);
    const [a = ""] = await accept(job, [{ payload: "1" }]);
    const [b = ""] = await accept(second, [{ payload: "1" }]);
    const [theirs = ""] = await accept(foreign, [{ payload: "1" }]);
    const [old = ""] = await copyRuns(job, [{ seq: 1_000_002, status: "failed" }]);
    const unknown = UNKNOWN_RUN(job);
    const answer = await call<{ data: Result[] }>(project.key, "POST", "/v1/runs/bulk-cancel", {
      run_ids: [b, theirs, old, a.toUpperCase(), unknown],
    });
    expect(answer.status).toBe(200);
    expect(answer.body.data.map((r) => [r.id, r.outcome, r.status, r.error?.code ?? null])).toEqual([
      [b, "canceled", "canceled", null],
      [theirs, "refused", null, "not_found"],
      [old, "refused", "failed", "conflict"],
      [a, "canceled", "canceled", null],
      [unknown, "refused", null, "not_found"],
    ]);
    expect((await call<RunBody>(stranger.key, "GET", `/v1/runs/${theirs}`)).body.status).toBe("queued");
  });

  test("all of a job that have a status", async () => {
    const mine = await newJob(project.id);
    const later = Date.now() + 3_600_000;
    const ids = await accept(mine, [{ payload: "1" }, { payload: "2", scheduled_at: later }, { payload: "3" }]);
    const answer = await call<{ operation_id: string }>(project.key, "POST", "/v1/runs/bulk-cancel", {
      job_id: mine.id,
      status: "queued",
    });
    expect([answer.status, typeof answer.body.operation_id]).toEqual([202, "string"]);
    const statuses = async () =>
      Promise.all(ids.map(async (id) => (await call<RunBody>(project.key, "GET", `/v1/runs/${id}`)).body.status));
    expect(await until(statuses, (s) => s[2] === "canceled")).toEqual(["canceled", "delayed", "canceled"]);
    expect(
      (await call(stranger.key, "POST", "/v1/runs/bulk-cancel", { job_id: mine.id, status: "delayed" })).status,
    ).toBe(404);
  });
});

describe("replay", () => {
  test("is a new run with the old one's payload, tags, metadata, priority; never a duplicate", async () => {
    const payload = '{ "n" : 98765432109876543210 }';
    const [id = ""] = await copyRuns(job, [{ seq: 1_000_010, status: "failed", payload, tags: { a: "b" } }]);
    const first = await call<RunBody>(project.key, "POST", `/v1/runs/${id}/replay`);
    expect(first.status).toBe(201);
    expect(first.text).toContain(`"payload":${payload},`);
    expect(first.body).toMatchObject({
      replayed_run_id: id,
      triggered_by: "replay",
      status: "queued",
      tags: { a: "b" },
      metadata: { m: "1" },
      priority: 2,
      max_attempts: 3,
      batch_id: null,
    });
    expect(first.body.created_by).toMatch(/^apikey:/);
    const second = await call<RunBody>(project.key, "POST", `/v1/runs/${id}/replay`);
    expect(second.status).toBe(201);
    expect(second.body.id).not.toBe(first.body.id);
  });

  test("the same Idempotency-Key replays once", async () => {
    const [id = ""] = await copyRuns(job, [
      { seq: 1_000_011, status: "canceled", payload: '{"n":98765432109876543210}' },
    ]);
    const ask = () =>
      call<RunBody>(project.key, "POST", `/v1/runs/${id}/replay`, undefined, { "Idempotency-Key": "once" });
    const first = await ask();
    const again = await ask();
    expect([first.status, again.status, again.headers.get("Idempotency-Replayed")]).toEqual([201, 201, "true"]);
    expect(again.text).toBe(first.text);
  });

  test("not of a run that has not ended, whose payload is gone, or of a disabled job", async () => {
    const [waiting] = await accept(job, [{ payload: "1" }]);
    const [bare] = await copyRuns(job, [{ seq: 1_000_012, status: "failed", payload: null, payload_ref: "gone" }]);
    const off = await newJob(project.id, { enabled: false });
    const [disabled] = await copyRuns(off, [{ seq: 1, status: "failed" }]);
    for (const id of [waiting, bare, disabled]) {
      expect(code(await call(project.key, "POST", `/v1/runs/${id}/replay`))).toEqual([409, "conflict"]);
    }
    const answer = await call<{ data: Result[] }>(project.key, "POST", "/v1/runs/bulk-replay", {
      run_ids: [waiting, bare, disabled, UNKNOWN_RUN(job)],
    });
    expect(answer.body.data.map((r) => [r.outcome, r.error?.code, r.status])).toEqual([
      ["refused", "conflict", "queued"],
      ["refused", "conflict", "failed"],
      ["refused", "conflict", "failed"],
      ["refused", "not_found", null],
    ]);
  });

  test("a coordinator that has never heard of the job, or of a newer one, is told", async () => {
    const late = await newJob(project.id);
    const [id = ""] = await copyRuns(late, [{ seq: 1, status: "failed" }]);
    await env.DB.prepare("UPDATE jobs SET revision = 2 WHERE id = ?").bind(late.id).run();
    expect((await call(project.key, "POST", `/v1/runs/${id}/replay`)).status).toBe(201);
  });

  test("many by id", async () => {
    const big = `"${"x".repeat(700_000)}"`;
    await env.BLOBS.put("bodies/big", big);
    const runs = await copyRuns(
      job,
      Array.from({ length: 8 }, (_, n) => ({
        seq: 1_000_100 + n,
        status: "failed" as const,
        payload: null,
        payload_ref: "bodies/big",
      })),
    );
    const answer = await call<{ data: Result[] }>(project.key, "POST", "/v1/runs/bulk-replay", { run_ids: runs });
    expect(answer.body.data.map((r) => [r.id, r.outcome, r.status])).toEqual(
      runs.map((id) => [id, "replayed", "queued"]),
    );
    const last = answer.body.data.at(-1)?.new_run_id;
    const replayed = await call<RunBody>(project.key, "GET", `/v1/runs/${last}`);
    expect(replayed.body.replayed_run_id).toBe(runs.at(-1));
    expect(replayed.text).toContain(`"payload":${big},`);
  });

  test("a batch's failed runs, or a job's of a status, as a new batch operation", async () => {
    const mine = await newJob(project.id);
    const batch = await newBatch(mine, [{ payload: "0" }]);
    const failed = await copyRuns(
      mine,
      (["failed", "completed", "expired", "timed_out", "canceled"] as const).map((status, i) => ({
        seq: 5_000 + i,
        status,
        batch,
        index: i + 1,
      })),
    );
    const ask = (body: object) =>
      call<{ operation_id: string; replayed_count: number; has_more: boolean; next_cursor: string | null }>(
        project.key,
        "POST",
        "/v1/runs/bulk-replay",
        body,
      );
    const answer = await ask({ batch_id: batch });
    expect([answer.status, answer.body.replayed_count, answer.body.has_more, answer.body.next_cursor]).toEqual([
      202,
      3,
      false,
      null,
    ]);
    const operation = await coordinatorOf(env, mine.id).getBatch(answer.body.operation_id);
    expect(operation).toMatchObject({ created_count: 3, retry_of: batch, status: "queued" });
    const listed = await until(
      () => call<List<RunBody>>(project.key, "GET", `/v1/runs?batch_id=${answer.body.operation_id}`),
      (list) => list.body.data.length === 3,
    );
    expect(listed.body.data.map((r) => r.replayed_run_id).sort()).toEqual([failed[0], failed[2], failed[3]].sort());
    expect((await ask({ job_id: mine.id, status: "canceled" })).body.replayed_count).toBe(1);
    expect((await ask({ job_id: mine.id, status: "crashed" })).body.replayed_count).toBe(0);
    // Sent again under one key, nothing is done twice.
    const hdr = { "Idempotency-Key": "sweep" };
    const once = await call(project.key, "POST", "/v1/runs/bulk-replay", { batch_id: batch }, hdr);
    const twice = await call(project.key, "POST", "/v1/runs/bulk-replay", { batch_id: batch }, hdr);
    expect(twice.text).toBe(once.text);
  });
});

describe("bulk bodies", () => {
  test("exactly one of the three, each field named when wrong", async () => {
    const id = UNKNOWN_RUN(job);
    const wrong: [string, unknown, string][] = [
      ["bulk-cancel", {}, "run_ids"],
      ["bulk-cancel", { run_ids: [] }, "run_ids"],
      ["bulk-cancel", { run_ids: ["x"] }, "run_ids[0]"],
      ["bulk-cancel", { run_ids: [id, id] }, "run_ids[1]"],
      [
        "bulk-cancel",
        { run_ids: Array.from({ length: 501 }, (_, n) => ledgerId({ at: 1, seq: n, lane: 0, job: 1 })) },
        "run_ids",
      ],
      ["bulk-cancel", { run_ids: [id], batch_id: id }, "batch_id"],
      ["bulk-cancel", { job_id: job.id }, "status"],
      ["bulk-cancel", { batch_id: id, status: "queued" }, "status"],
      ["bulk-cancel", { job_id: job.id, status: "waiting" }, "status"],
      ["bulk-cancel", { job_id: job.id, status: "failed" }, "status"],
      ["bulk-cancel", { job_id: job.id, status: "queued", cursor: "x" }, "cursor"],
      ["bulk-replay", { job_id: job.id, status: "queued" }, "status"],
      ["bulk-replay", { run_ids: [id], cursor: "x" }, "cursor"],
      ["bulk-replay", { run_idz: [id] }, "run_idz"],
    ];
    for (const [route, body, path] of wrong) {
      const answer = await call(project.key, "POST", `/v1/runs/${route}`, body);
      expect([answer.status, paths(answer)[0]]).toEqual([422, path]);
    }
    expect(code(await call(project.key, "POST", "/v1/runs/bulk-cancel", "{"))).toEqual([400, "bad_request"]);
    expect(code(await call(project.key, "POST", "/v1/runs/bulk-cancel", { batch_id: id }))).toEqual([404, "not_found"]);
    expect(code(await call(project.key, "POST", "/v1/runs/bulk-replay", { batch_id: id }))).toEqual([404, "not_found"]);
    const cursed = { job_id: job.id, status: "failed", cursor: "abc" };
    expect(code(await call(project.key, "POST", "/v1/runs/bulk-replay", cursed))).toEqual([400, "bad_request"]);
  });
});
