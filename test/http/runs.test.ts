import fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import { ledgerId } from "../../src/domain/id.ts";
import type { Job } from "../../src/domain/job.ts";
import { RawJson, stringifyRaw } from "../../src/http/wire/raw-json.ts";
import { payloadHash } from "../../src/operations/payload-hash.ts";
import {
  ADMIN,
  type Answer,
  accept,
  call,
  code,
  copyRuns,
  env,
  type List,
  newJob,
  newKey,
  newProject,
  paths,
  type RunBody,
  until,
} from "./run-world.ts";

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
