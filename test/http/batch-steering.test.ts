import { beforeAll, describe, expect, inject, test, vi } from "vitest";
import { type Answer, ask, newJob, newProject } from "./ask.ts";

/** Steering batch operations while they run (contract 8), against a real endpoint. */

const zoo = inject("endpointUrl");
const PATH = "/v1/batch-operations";
let key: string;
let made = 0;

beforeAll(async () => {
  ({ key } = await newProject());
});

const anyJob = (path: string, fields: Record<string, unknown> = {}) =>
  newJob(key, { endpoint_url: `${zoo}${path}`, max_attempts: 1, ...fields });

async function bulk(jobId: string, items: unknown[], options: Record<string, unknown> = {}): Promise<string> {
  const answer = await ask("POST", `/v1/jobs/${jobId}/trigger-bulk`, { key, body: { items, ...options } });
  expect(answer.status).toBe(201);
  return answer.body.batch_id;
}

const numbered = (count: number) => Array.from({ length: count }, (_, n) => ({ payload: { n } }));
const read = async (id: string): Promise<Answer["body"]> => (await ask("GET", `${PATH}/${id}`, { key })).body;
const steer = (id: string, verb: string, body?: unknown) => ask("POST", `${PATH}/${id}/${verb}`, { key, body });
const refusal = (answer: Answer) => [answer.status, answer.body.error?.code, answer.headers.get("X-Should-Retry")];

const until = (id: string, isThere: (batch: Answer["body"]) => boolean): Promise<Answer["body"]> =>
  vi.waitFor(
    async () => {
      const batch = await read(id);
      expect(isThere(batch)).toBe(true);
      return batch;
    },
    { timeout: 20_000, interval: 10 },
  );
const finished = (id: string) => until(id, (batch) => batch.finished_at !== null);

/** The most calls of a job that its endpoint saw at once. */
async function peak(name: string): Promise<number> {
  const stats = (await (await fetch(`${zoo}/__stats?runs=0`)).json()) as { peak_by_key: Record<string, number> };
  return stats.peak_by_key[name] ?? 0;
}

describe("max_concurrency", () => {
  test("of a batch is seen at the endpoint, exactly; a change of it takes effect at once", async () => {
    const name = `steered-${++made}`;
    const job = await anyJob("/ok?ms=20", { max_concurrency: 50, endpoint_headers: { "X-Key": name } });
    const id = await bulk(job.id, numbered(60), { max_concurrency: 5 });
    expect(await finished(id)).toMatchObject({ status: "succeeded", max_concurrency: 5 });
    expect(await peak(name)).toBe(5);

    const wider = await bulk(job.id, numbered(400), { max_concurrency: 1 });
    await until(wider, (batch) => batch.counts.completed > 0);
    const changed = await ask("PATCH", `${PATH}/${wider}`, { key, body: { max_concurrency: 12 } });
    expect(changed.body.max_concurrency).toBe(12);
    expect((await finished(wider)).succeeded_count).toBe(400);
    expect(await peak(name)).toBe(12);
  });
});

describe("a paused batch", () => {
  test("starts nothing more, lets what executes finish, and goes on when it is resumed", async () => {
    const job = await anyJob("/ok?ms=20");
    const id = await bulk(job.id, numbered(80), { max_concurrency: 4 });
    await until(id, (batch) => batch.counts.completed > 0);
    const paused = await steer(id, "pause");
    expect([paused.status, paused.body.status]).toEqual([200, "paused"]);
    const still = await until(id, (batch) => batch.counts.dequeued + batch.counts.executing === 0);
    expect(still.status).toBe("paused");
    expect(still.counts.queued).toBeGreaterThan(0);
    // Others of the job go on, this one does not.
    const other = await bulk(job.id, numbered(20));
    expect((await finished(other)).status).toBe("succeeded");
    expect((await read(id)).counts).toEqual(still.counts);
    expect((await steer(id, "pause")).body.status).toBe("paused");

    expect((await steer(id, "resume")).body.status).toBe("running");
    expect(await finished(id)).toMatchObject({ status: "succeeded", succeeded_count: 80 });
  });

  test("can be canceled", async () => {
    const id = await bulk((await anyJob("/ok")).id, numbered(3), { max_concurrency: 1 });
    await steer(id, "pause");
    expect((await steer(id, "cancel")).status).toBe(200);
    expect(["canceled", "succeeded"]).toContain((await finished(id)).status);
  });
});

describe("a canceled batch", () => {
  test("of any size is canceled at once, and swept step by step", async () => {
    const job = await anyJob("/ok");
    await ask("POST", `/v1/jobs/${job.id}/pause`, { key });
    const id = await bulk(job.id, numbered(5_000));
    const canceling = await steer(id, "cancel");
    expect([canceling.status, canceling.body.status]).toEqual([200, "canceling"]);
    // A step at most: the answer does not wait for the others.
    expect(canceling.body.counts.canceled).toBeLessThanOrEqual(500);
    await ask("POST", `/v1/jobs/${job.id}/resume`, { key });
    expect(await finished(id)).toMatchObject({
      status: "canceled",
      percent_complete: 1,
      counts: { canceled: 5_000, completed: 0 },
    });
  });
});

describe("a failure threshold", () => {
  test("cancels what has not started, and so does one that is set too late", async () => {
    const job = await anyJob("/status/400", { max_concurrency: 1 });
    const failing = await bulk(job.id, numbered(50), { failure_threshold: { percent: 10, min_items: 3 } });
    const stopped = await finished(failing);
    expect(stopped).toMatchObject({ status: "failed", failed_count: 3, counts: { canceled: 47 } });

    const slow = await anyJob("/status/400?ms=20", { max_concurrency: 1 });
    const unaware = await bulk(slow.id, numbered(500));
    await until(unaware, (batch) => batch.failed_count >= 2);
    const patch = { failure_threshold: { percent: 50, min_items: 2 } };
    const patched = await ask("PATCH", `${PATH}/${unaware}`, { key, body: patch });
    expect([patched.status, patched.body.status]).toEqual([200, "canceling"]);
    expect((await finished(unaware)).status).toBe("failed");
  });

  test("closes an open batch, so that it can end", async () => {
    const job = await anyJob("/status/400");
    const answer = await ask("POST", `/v1/jobs/${job.id}/trigger-bulk?open=true`, {
      key,
      body: { items: numbered(3), failure_threshold: { percent: 0, min_items: 1 } },
    });
    const id = answer.body.batch_id;
    expect(await finished(id)).toMatchObject({ status: "failed" });
    const more = await ask("POST", `${PATH}/${id}/items?from_index=3`, { key, body: { items: numbered(1) } });
    expect(refusal(more)).toEqual([409, "conflict", "false"]);
  });
});

describe("a finished batch", () => {
  test("is steered no more, and a client need not try again", async () => {
    const id = await bulk((await anyJob("/ok")).id, numbered(2));
    const batch = await finished(id);
    for (const verb of ["cancel", "pause", "resume"]) {
      expect(refusal(await steer(id, verb))).toEqual([409, "conflict", "false"]);
    }
    expect(refusal(await steer(id, "seal", {}))).toEqual([409, "conflict", "false"]);
    expect(await read(id)).toEqual(batch);
    const stranger = await newProject();
    for (const verb of ["cancel", "pause", "resume"]) {
      expect((await ask("POST", `${PATH}/${id}/${verb}`, { key: stranger.key })).status).toBe(404);
    }
  });
});

test("an open batch ends with its job: nothing more can come", async () => {
  const job = await anyJob("/ok");
  await ask("POST", `/v1/jobs/${job.id}/pause`, { key });
  const body = { items: numbered(2) };
  const opened = await ask("POST", `/v1/jobs/${job.id}/trigger-bulk?open=true`, { key, body });
  expect((await ask("DELETE", `/v1/jobs/${job.id}`, { key })).status).toBe(204);
  const batch = await finished(opened.body.batch_id);
  expect([batch.status, batch.counts.canceled]).toEqual(["canceled", 2]);
  expect(batch.accepted_at).not.toBeNull();
});

describe("retry-failed", () => {
  test("is filled by itself alone: nobody else adds to it or ends it", async () => {
    const job = await anyJob("/status/400", { max_concurrency: 100 });
    const id = await bulk(job.id, numbered(1_400));
    await finished(id);
    const { batch_id } = (await steer(id, "retry-failed")).body;
    const added = await ask("POST", `${PATH}/${batch_id}/items?from_index=0`, { key, body: { items: numbered(1) } });
    expect(refusal(added)).toEqual([409, "conflict", "false"]);
    // Ended already, it is what it was.
    expect([200, 409]).toContain((await steer(batch_id, "seal", {})).status);
    expect(await finished(batch_id)).toMatchObject({ item_count: 1_400, failed_count: 1_400 });
  });

  test("makes a new batch of what failed, and tells what it is a retry of", async () => {
    const job = await anyJob("/flaky?fail=1&status=500");
    await ask("POST", `/v1/jobs/${job.id}/pause`, { key });
    const kept = { max_concurrency: 2, metadata: { of: "the batch" } };
    const id = await bulk(job.id, numbered(3), { ...kept, failure_threshold: { percent: 99, min_items: 1000 } });
    expect(refusal(await steer(id, "retry-failed"))).toEqual([409, "conflict", "false"]);
    await ask("POST", `/v1/jobs/${job.id}/resume`, { key });
    const first = await finished(id);
    expect(first).toMatchObject({ status: "failed", failed_count: 3, retry_of: null });
    const retry = await steer(id, "retry-failed");
    expect(retry.status).toBe(201);
    expect(retry.body).toMatchObject({ total: 3, created: 3, duplicates: 0, rejected: 0, results_truncated: false });
    expect(retry.body.results.map((r: { index: number; outcome: string }) => [r.index, r.outcome])).toEqual([
      [0, "created"],
      [1, "created"],
      [2, "created"],
    ]);
    expect(await finished(retry.body.batch_id)).toMatchObject({
      ...{ retry_of: id, created_count: 3, ...kept, failure_threshold: null },
    });
    expect(await read(id)).toEqual(first);

    // Once under one key; and nothing where nothing failed.
    const headers = { "Idempotency-Key": `again-${id}` };
    const once = await ask("POST", `${PATH}/${id}/retry-failed`, { key, headers });
    const twice = await ask("POST", `${PATH}/${id}/retry-failed`, { key, headers });
    expect([once.status, twice.body, twice.headers.get("Idempotency-Replayed")]).toEqual([201, once.body, "true"]);
    const fine = await bulk((await anyJob("/ok")).id, numbered(2));
    await finished(fine);
    expect(refusal(await steer(fine, "retry-failed"))).toEqual([409, "conflict", "false"]);
    const stranger = await newProject();
    expect((await ask("POST", `${PATH}/${id}/retry-failed`, { key: stranger.key })).status).toBe(404);
  });
});
