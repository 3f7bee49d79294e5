import { beforeAll, describe, expect, test } from "vitest";
import { coordinatorOf } from "../../src/coordinator/client.ts";
import { ledgerId } from "../../src/domain/id.ts";
import type { Job } from "../../src/domain/job.ts";
import {
  accept,
  call,
  code,
  copyRuns,
  env,
  type List,
  newBatch,
  newJob,
  newProject,
  paths,
  type Result,
  type RunBody,
  until,
} from "./run-world.ts";

const UNKNOWN_RUN = (job: Job) => ledgerId({ at: 1_800_000_000_000, seq: 4_000_000, lane: 0, job: job.number });

let project: { id: string; key: string };
let stranger: { id: string; key: string };
let job: Job;
beforeAll(async () => {
  project = await newProject();
  stranger = await newProject();
  job = await newJob(project.id);
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

  test("a run's payload stays readable, and replayable, on its way from the coordinator to the copy", async () => {
    const big = `"${"x".repeat(50_000)}"`;
    const mine = await newJob(project.id);
    const [small = "", large = ""] = await accept(mine, [{ payload: "[12345678901234567890]" }, { payload: big }]);
    // Once the copy has them, the coordinator hands over only how they ended.
    await until(
      () => call<List<RunBody>>(project.key, "GET", `/v1/jobs/${mine.id}/runs`),
      (list) => list.body.data.length === 2,
    );
    for (const [id, payload] of [
      [small, "[12345678901234567890]"],
      [large, big],
    ]) {
      expect((await call(project.key, "POST", `/v1/runs/${id}/cancel`)).text).toContain(`"payload":${payload},`);
      expect((await call(project.key, "GET", `/v1/runs/${id}`)).text).toContain(`"payload":${payload},`);
      const replayed = await call(project.key, "POST", `/v1/runs/${id}/replay`);
      expect([replayed.status, replayed.text.includes(`"payload":${payload},`)]).toEqual([201, true]);
    }
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

  test("what is no id is refused by itself, and the others are done", async () => {
    for (const [route, status, outcome] of [
      ["bulk-replay", "failed", "replayed"],
      ["bulk-cancel", null, "canceled"],
    ] as const) {
      const mine = await newJob(project.id);
      const [good = ""] =
        status === null ? await accept(mine, [{ payload: "1" }]) : await copyRuns(mine, [{ seq: 1, status }]);
      const odd = ["x", "", `${good}0`, UNKNOWN_RUN(mine)];
      const body = { run_ids: [...odd.slice(0, 2), good.toUpperCase(), ...odd.slice(2)] };
      const answer = await call<{ data: Result[] }>(project.key, "POST", `/v1/runs/${route}`, body);
      expect([answer.status, answer.body.data.map((r) => [r.id, r.outcome, r.error?.code])]).toEqual([
        200,
        body.run_ids.map((given) => {
          const isGood = given === good.toUpperCase();
          return isGood ? [good, outcome, undefined] : [given, "refused", "not_found"];
        }),
      ]);
    }
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
    const ask = (body: object) => call<{ operation_id: string }>(project.key, "POST", "/v1/runs/bulk-replay", body);
    const created = async (body: object) => {
      const { operation_id } = (await ask(body)).body;
      return (await coordinatorOf(env, mine.id).getBatch(operation_id))?.created_count;
    };
    const answer = await ask({ batch_id: batch });
    expect([answer.status, Object.keys(answer.body)]).toEqual([202, ["operation_id"]]);
    const operation = await coordinatorOf(env, mine.id).getBatch(answer.body.operation_id);
    expect(operation).toMatchObject({ created_count: 3, retry_of: batch, status: "queued" });
    const listed = await until(
      () => call<List<RunBody>>(project.key, "GET", `/v1/runs?batch_id=${answer.body.operation_id}`),
      (list) => list.body.data.length === 3,
    );
    expect(listed.body.data.map((r) => r.replayed_run_id).sort()).toEqual([failed[0], failed[2], failed[3]].sort());
    expect(await created({ job_id: mine.id, status: "canceled" })).toBe(1);
    const none = (await ask({ job_id: mine.id, status: "crashed" })).body.operation_id;
    const empty = await call<{ status: string; item_count: number }>(
      project.key,
      "GET",
      `/v1/batch-operations/${none}`,
    );
    expect(empty.body).toMatchObject({ status: "succeeded", item_count: 0 });
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
      ["bulk-cancel", { run_ids: [id, 7] }, "run_ids[1]"],
      ["bulk-replay", { run_ids: [null] }, "run_ids[0]"],
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
  });
});
