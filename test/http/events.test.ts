import { runInDurableObject } from "cloudflare:test";
import { beforeAll, describe, expect, inject, test, vi } from "vitest";
import type { JobCoordinator } from "../../src/coordinator/job-coordinator.ts";
import { laneName } from "../../src/domain/id.ts";
import { evict } from "../fixtures/evict.ts";
import { ask, bindings, newJob, newProject } from "./ask.ts";
import { type Received, type Stream, watch } from "./sse-reader.ts";

/** Watching batch operations and runs (contract 8). */

const zoo = inject("endpointUrl");
const TERMINAL = ["completed", "failed", "timed_out", "crashed", "canceled", "expired"];
let key: string;

beforeAll(async () => {
  ({ key } = await newProject());
});

const anyJob = (path: string, fields: Record<string, unknown> = {}) =>
  newJob(key, { endpoint_url: `${zoo}${path}`, ...fields });

async function bulk(jobId: string, count: number): Promise<string> {
  const items = Array.from({ length: count }, (_, n) => ({ payload: { n } }));
  const answer = await ask("POST", `/v1/jobs/${jobId}/trigger-bulk`, { key, body: { items } });
  expect(answer.status).toBe(201);
  return answer.body.batch_id;
}

const events = (id: string) => `/v1/batch-operations/${id}/events`;

const stubOf = (jobId: string) =>
  bindings.COORDINATOR.get(
    bindings.COORDINATOR.idFromName(laneName(jobId, 0)),
  ) as unknown as DurableObjectStub<JobCoordinator>;

const socketsOf = (jobId: string): Promise<number> =>
  runInDurableObject(stubOf(jobId), (_, state) => state.getWebSockets().length);

/** The object in memory, which another one follows after an eviction. */
const objectOf = (jobId: string): Promise<JobCoordinator> => runInDurableObject(stubOf(jobId), (instance) => instance);

/** A batch that has ended, with the id of its last event. */
async function endedBatch(): Promise<{ id: string; lastId: string }> {
  const id = await bulk((await anyJob("/ok")).id, 3);
  const last = (await (await watch(key, events(id))).rest()).at(-1);
  expect(last?.data.finished_at).not.toBeNull();
  return { id, lastId: last?.id ?? "" };
}

const terminal = (counts: Record<string, number>): number => TERMINAL.reduce((sum, s) => sum + (counts[s] ?? 0), 0);

/** What every complete stream of a batch fulfils, whatever happened on the way. */
function expectWhole(all: Received[], count: number): void {
  expect(all[0]?.event).toBe("batch_state");
  const ids = all.map((e) => Number(e.id));
  expect(ids).toEqual([...new Set(ids)].sort((a, b) => a - b));
  let status: string | null = null;
  let done = 0;
  for (const { event, data } of all) {
    expect(event).toBe(data.status === status ? "batch_progress" : "batch_state");
    status = data.status;
    const counts = data.counts as Record<string, number>;
    expect(Object.values(counts).reduce((a, b) => a + b, 0)).toBe(data.created_count);
    expect(data.item_count).toBe(data.created_count + data.duplicate_count + data.rejected_count);
    expect(terminal(counts)).toBeGreaterThanOrEqual(done);
    done = terminal(counts);
    expect(data.percent_complete).toBeCloseTo(done / data.created_count, 10);
  }
  expect(done).toBe(count);
  expect(all.filter((e) => e.data.finished_at)).toHaveLength(1);
  expect(all.at(-1)?.data.finished_at).toBeTruthy();
}

describe("the events of a batch operation", () => {
  test("are its state at once, progress, every status, and the end; the ids are its versions", async () => {
    const job = await anyJob("/ok?ms=30", { max_concurrency: 5 });
    const id = await bulk(job.id, 60);
    const stream = await watch(key, events(id));
    expect([stream.status, stream.headers.get("Content-Type")]).toEqual([200, "text/event-stream; charset=utf-8"]);
    const all = await stream.rest();
    expectWhole(all, 60);
    expect(all.some((e) => e.event === "batch_progress")).toBe(true);
    const batch = await ask("GET", `/v1/batch-operations/${id}`, { key });
    expect(all.at(-1)?.data).toEqual(batch.body);
    expect(`"${all.at(-1)?.id}"`).toBe(batch.headers.get("ETag"));
  });

  test("of one that has ended are its end; who has seen that is told that nothing comes", async () => {
    const { id, lastId } = await endedBatch();
    const late = await (await watch(key, events(id))).rest();
    expect(late.map((e) => [e.event, e.id, e.data.status])).toEqual([["batch_state", lastId, "succeeded"]]);
    expect((await watch(key, events(id), { "Last-Event-ID": lastId })).status).toBe(204);
  });

  test("come whatever a foreign Last-Event-ID says", async () => {
    const [one, other] = [await endedBatch(), await endedBatch()];
    for (const foreign of [other.lastId, "0", "99999999999999", "-1", "x", "1e3", ""]) {
      const all = await (await watch(key, events(one.id), { "Last-Event-ID": foreign })).rest();
      expect(all.map((e) => [e.event, e.data.status])).toEqual([["batch_state", "succeeded"]]);
    }
  });

  test("reach every watcher over one socket, also when the one that holds it goes", async () => {
    const job = await anyJob("/hang");
    await ask("POST", `/v1/jobs/${job.id}/pause`, { key });
    const id = await bulk(job.id, 2);
    const streams: Stream[] = [];
    for (let i = 0; i < 4; i++) streams.push(await watch(key, events(id)));
    const [first, ...others] = streams;
    for (const stream of streams) expect((await stream.next())?.data.status).toBe("queued");
    expect(await socketsOf(job.id)).toBe(1);
    await first?.leave();
    await ask("POST", `/v1/batch-operations/${id}/cancel`, { key });
    for (const stream of others) expect((await stream.rest()).map((e) => e.data.status)).toEqual(["canceled"]);
    await vi.waitFor(async () => expect(await socketsOf(job.id)).toBe(0));
  });

  test("a watcher that goes leaves nothing behind", async () => {
    const job = await anyJob("/ok");
    await ask("POST", `/v1/jobs/${job.id}/pause`, { key });
    const id = await bulk(job.id, 1);
    const stream = await watch(key, events(id));
    await stream.next();
    expect(await socketsOf(job.id)).toBe(1);
    await stream.leave();
    await vi.waitFor(async () => expect(await socketsOf(job.id)).toBe(0));
  });

  test("a client that reads nothing holds nobody up, and leaves nothing behind when its connection is gone", async () => {
    const job = await anyJob("/ok?ms=5", { max_concurrency: 2 });
    await ask("POST", `/v1/jobs/${job.id}/pause`, { key });
    const id = await bulk(job.id, 40);
    const connection = new AbortController();
    // It comes first, so its socket feeds the other one.
    const deaf = await watch(key, events(id), {}, connection.signal);
    expect(deaf.status).toBe(200);
    const reader = await watch(key, events(id));
    await ask("POST", `/v1/jobs/${job.id}/resume`, { key });
    expectWhole(await reader.rest(), 40);

    const idle = await anyJob("/ok");
    await ask("POST", `/v1/jobs/${idle.id}/pause`, { key });
    await watch(key, events(await bulk(idle.id, 1)), {}, connection.signal);
    expect(await socketsOf(idle.id)).toBe(1);
    connection.abort();
    await vi.waitFor(async () => expect(await socketsOf(idle.id)).toBe(0));
    // Whoever comes late to what it never read is told the end.
    expect((await deaf.rest()).length).toBeLessThanOrEqual(2);
    expect((await (await watch(key, events(id))).rest()).map((e) => e.data.status)).toEqual(["succeeded"]);
  });

  test("an idle stream is held by the Worker: the coordinator sleeps, and is heard when it wakes", async () => {
    const job = await anyJob("/ok");
    await ask("POST", `/v1/jobs/${job.id}/pause`, { key });
    const id = await bulk(job.id, 3);
    const stream = await watch(key, events(id));
    expect((await stream.next())?.data.status).toBe("queued");
    const before = await objectOf(job.id);
    // Sockets that the object had to stay in memory for would not outlive it.
    await evict(stubOf(job.id), { webSockets: "hibernate" });
    expect(await socketsOf(job.id)).toBe(1);
    expect(await objectOf(job.id)).not.toBe(before);
    await ask("POST", `/v1/jobs/${job.id}/resume`, { key });
    expect((await stream.rest()).at(-1)?.data.status).toBe("succeeded");
  });

  test.each(["hibernate", "close"] as const)(
    "outlive the coordinator's memory (%s): no status missed, no end doubled",
    async (webSockets) => {
      const job = await anyJob("/ok?ms=25", { max_concurrency: 4 });
      const id = await bulk(job.id, 240);
      const stream = await watch(key, events(id));
      const all: Received[] = [];
      for (let event = await stream.next(); event !== null; event = await stream.next()) {
        all.push(event);
        if (all.length === 2 || all.length === 4) await evict(stubOf(job.id), { webSockets });
      }
      expectWhole(all, 240);
    },
  );

  test("of another project's, or of none, are not found", async () => {
    const { id } = await endedBatch();
    const stranger = await newProject();
    expect((await watch(stranger.key, events(id))).status).toBe(404);
    expect((await watch(key, events(id.replace(/^./, "f")))).status).toBe(404);
    expect((await watch(null, events(id))).status).toBe(401);
  });
});

describe("the events of a run", () => {
  test("are every state of it, with payload, result and attempts", async () => {
    const job = await anyJob("/flaky?fail=1&ms=60", { retry_strategy: "fixed", retry_base_secs: 1, retry_jitter: 0 });
    const payload = { n: 12, text: "é" };
    const run = (await ask("POST", `/v1/jobs/${job.id}/trigger`, { key, body: { payload } })).body;
    const stream = await watch(key, `/v1/runs/${run.id}/events`);
    const all = await stream.rest();
    expect(new Set(all.map((e) => e.event))).toEqual(new Set(["run_state"]));
    const ids = all.map((e) => Number(e.id));
    expect(ids).toEqual([...new Set(ids)].sort((a, b) => a - b));
    const statuses = all.map((e) => e.data.status);
    expect(statuses).toEqual(expect.arrayContaining(["delayed", "completed"]));
    expect(statuses.filter((s) => TERMINAL.includes(s))).toEqual(["completed"]);
    for (const { data } of all) expect(data.payload).toEqual(payload);
    expect(all.at(-1)?.data.attempts).toHaveLength(2);
    await vi.waitFor(async () => {
      expect(all.at(-1)?.data).toEqual((await ask("GET", `/v1/runs/${run.id}`, { key })).body);
    });

    const late = await (await watch(key, `/v1/runs/${run.id}/events`)).rest();
    expect(late).toEqual([all.at(-1)]);
    const again = await watch(key, `/v1/runs/${run.id}/events`, { "Last-Event-ID": late[0]?.id ?? "" });
    expect(again.status).toBe(204);
  });

  test("of one that is canceled end", async () => {
    const job = await anyJob("/hang");
    const run = (await ask("POST", `/v1/jobs/${job.id}/trigger`, { key, body: {} })).body;
    const stream = await watch(key, `/v1/runs/${run.id}/events`);
    await stream.next();
    await ask("POST", `/v1/runs/${run.id}/cancel`, { key });
    expect((await stream.rest()).at(-1)?.data.status).toBe("canceled");
    expect((await watch(key, `/v1/runs/${run.id.replace(/^./, "f")}/events`)).status).toBe(404);
  });
});

describe("a stream token", () => {
  test("opens the events of its batch, and nothing else", async () => {
    const { id } = await endedBatch();
    const other = await endedBatch();
    const issued = await ask("POST", `/v1/batch-operations/${id}/stream-token`, { key });
    expect([issued.status, issued.headers.get("Cache-Control")]).toEqual([201, "no-store"]);
    const { token, expires_at } = issued.body;
    expect(Date.parse(expires_at) - Date.now()).toBeLessThanOrEqual(5 * 60_000);
    expect((await (await watch(null, `${events(id)}?token=${token}`)).rest()).at(-1)?.data.id).toBe(id);

    const forged = token.replace(/.$/, (c: string) => (c === "0" ? "1" : "0"));
    for (const bad of [forged, "x", "", token.replace(id, other.id), token.replace(/\.\d+\./, ".99999999999999.")]) {
      expect((await watch(null, `${events(id)}?token=${bad}`)).status).toBe(401);
    }
    expect((await watch(null, `${events(other.id)}?token=${token}`)).status).toBe(401);
    // The header is what counts where there is one.
    expect((await watch("sluice_wrong", `${events(id)}?token=${token}`)).status).toBe(401);
    for (const path of [`/v1/batch-operations/${id}`, `/v1/batch-operations/${id}/items`, "/v1/runs"]) {
      expect((await ask("GET", `${path}?token=${token}`, { key: null })).status).toBe(401);
      expect((await ask("GET", path, { key: token })).status).toBe(401);
      expect((await ask("GET", `${path}?token=${token}`, { key })).status).toBe(422);
    }
    const stranger = await newProject();
    expect((await ask("POST", `/v1/batch-operations/${id}/stream-token`, { key: stranger.key })).status).toBe(404);
  });

  test("is good on a page of any origin, to the end of the stream; a key is not", async () => {
    const { id } = await endedBatch();
    const { token } = (await ask("POST", `/v1/batch-operations/${id}/stream-token`, { key })).body;
    const originsOf = (stream: { headers: Headers }) => stream.headers.get("Access-Control-Allow-Origin");
    const opened = await watch(null, `${events(id)}?token=${token}`);
    const seen = { "Last-Event-ID": (await opened.rest()).at(-1)?.id ?? "" };
    const told = await watch(null, `${events(id)}?token=${token}`, seen);
    expect([originsOf(opened), told.status, originsOf(told)]).toEqual(["*", 204, "*"]);
    const byKey = await watch(key, events(id));
    await byKey.rest();
    expect(originsOf(byKey)).toBeNull();
  });
});
