import { request as httpRequest } from "node:http";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type EndpointZoo, start as startZoo } from "../fixtures/endpoint/server.ts";
import {
  airports,
  type BatchOperation,
  type BulkAnswer,
  finishedBatch,
  finishedRun,
  ndjson,
  type Run,
  type Sluice,
  sendNdjson,
  startSluice,
  until,
} from "./harness.ts";

let sluice: Sluice;
let zoo: EndpointZoo;

beforeAll(async () => {
  zoo = await startZoo();
  sluice = await startSluice();
});

afterAll(async () => {
  await sluice.signalGroup("SIGINT");
  await zoo.stop();
});

beforeEach(() => zoo.reset());

const job = (slug: string, path: string, fields: Record<string, unknown> = {}) =>
  sluice.api.post<{ id: string }>("/v1/jobs", { name: slug, slug, endpoint_url: zoo.url + path, ...fields });

const trigger = (slug: string, body: unknown = {}) => sluice.api.post<{ id: string }>(`/v1/jobs/${slug}/trigger`, body);

const callsTo = (path: string) => zoo.log.filter((call) => call.path.startsWith(path));

describe("locally it feels like production", () => {
  test("a job with max_concurrency 100 keeps 100 calls in flight, and never more", async () => {
    await job("wide", "/slow?ms=200", { max_concurrency: 100 });
    const { batch_id } = await sendNdjson(
      sluice,
      "wide",
      airports.slice(0, 1_000).map((payload) => ({ payload })),
    );
    expect(await finishedBatch(sluice, batch_id)).toMatchObject({ status: "succeeded" });
    expect(zoo.stats()).toMatchObject({ calls: 1_000, peak_in_flight: 100 });
  });

  test("a job whose endpoint hangs delays no other job's runs", async () => {
    await job("hanging", "/hang", { timeout_secs: 60, max_concurrency: 50 });
    await job("quick", "/ok");
    const hanging = await sendNdjson(
      sluice,
      "hanging",
      airports.slice(0, 200).map((payload) => ({ payload })),
    );
    await until(() => zoo.stats().in_flight === 50);
    const quick = await sendNdjson(
      sluice,
      "quick",
      airports.slice(0, 500).map((payload) => ({ payload })),
    );
    expect(await finishedBatch(sluice, quick.batch_id)).toMatchObject({ status: "succeeded" });
    expect((await finishedRun(sluice, (await trigger("quick")).id)).status).toBe("completed");
    // All of that happened while the first 50 calls of the other job were still without an answer.
    expect(callsTo("/hang")).toHaveLength(50);
    expect(zoo.stats().in_flight).toBe(50);
    await sluice.api.post(`/v1/batch-operations/${hanging.batch_id}/cancel`);
  });
});

describe("what endpoints do", () => {
  test("429 with Retry-After: the next attempt is not before it", async () => {
    await job("slow-down", "/retry-after?secs=2&fail=1", { retry_base_secs: 0.1, retry_jitter: 0 });
    const run = await finishedRun(sluice, (await trigger("slow-down")).id);
    expect(run).toMatchObject({ status: "completed", attempt: 2 });
    const [first, second] = callsTo("/retry-after");
    expect((second?.began_at ?? 0) - (first?.began_at ?? 0)).toBeGreaterThanOrEqual(2_000);
  });

  test("the fallback is called in the same attempt when the primary ends in 5xx", async () => {
    await job("with-fallback", "/status/500", { fallback_endpoint_url: `${zoo.url}/ok`, max_attempts: 3 });
    const run = await finishedRun(sluice, (await trigger("with-fallback")).id);
    expect(run).toMatchObject({ status: "completed", attempt: 1, used_fallback: true });
    expect(zoo.log.map((call) => call.path)).toEqual(["/status/500", "/ok"]);
    expect(new Set(zoo.log.map((call) => call.headers["idempotency-key"]))).toEqual(new Set([run.id]));
  });

  test("canceling an executing run: canceled at once, its call aborted", async () => {
    await job("to-cancel", "/hang", { timeout_secs: 120 });
    const { id } = await trigger("to-cancel");
    await until(() => callsTo("/hang").length === 1);
    await until(async () => (await sluice.api.get<Run>(`/v1/runs/${id}`)).status === "executing");
    const canceledAt = Date.now();
    await sluice.api.post(`/v1/runs/${id}/cancel`);
    expect(await sluice.api.get(`/v1/runs/${id}`)).toMatchObject({ status: "canceled" });
    const call = callsTo("/hang")[0];
    const endedAt = await until(() => call?.ended_at);
    // The contract's bound (section 3): within 5 s.
    expect(endedAt - canceledAt).toBeLessThanOrEqual(5_000);
  });
});

describe("an upload that is cut off", () => {
  const ITEMS = 4_000;

  /** Sends the start, and destroys the connection as soon as some of it stands in a batch. Returns that batch. */
  async function sendStart(path: string, key: string, start: string): Promise<BatchOperation> {
    const request = httpRequest(sluice.url + path, {
      method: "POST",
      headers: {
        authorization: `Bearer ${sluice.apiKey}`,
        "content-type": "application/x-ndjson",
        "idempotency-key": key,
      },
    });
    request.on("error", () => undefined); // The reset that this test makes.
    request.write(start);
    const batch = await until(async () => {
      const list = await sluice.api.get<{ data: BatchOperation[] }>("/v1/batch-operations?limit=1");
      return list.data.find(({ status, item_count }) => status === "accepting" && item_count > 0);
    });
    request.destroy();
    return batch;
  }

  const send = (path: string, key: string, body: string) =>
    fetch(sluice.url + path, {
      method: "POST",
      headers: {
        authorization: `Bearer ${sluice.apiKey}`,
        "content-type": "application/x-ndjson",
        "idempotency-key": key,
      },
      body,
    });

  test.each([
    ["in a line", (body: string) => body.slice(0, body.length / 2)],
    ["between two lines", (body: string) => body.slice(0, body.indexOf("\n", body.length / 2) + 1)],
  ])(
    "%s: it goes on with the same Idempotency-Key; sent a third time it is answered from memory",
    async (place, startOf) => {
      const slug = `uploads-${place.replaceAll(" ", "-")}`;
      await job(slug, "/ok", { max_concurrency: 50 });
      const path = `/v1/jobs/${slug}/trigger-bulk`;
      const body = ndjson(airports.slice(0, ITEMS).map((payload) => ({ payload })));
      const half = await sendStart(path, slug, startOf(body));
      const cutAt = Date.now();

      const answer = await until(async () => {
        const response = await send(path, slug, body);
        if (response.status !== 409) return response;
        expect(response.headers.get("retry-after"), await response.text()).toMatch(/^\d+$/);
        return null;
      });
      console.log(`the cut was noticed within ${Date.now() - cutAt} ms`);
      expect(answer.status).toBe(201);
      const text = await answer.text();
      expect(JSON.parse(text) as BulkAnswer).toMatchObject({ batch_id: half.id, total: ITEMS, created: ITEMS });

      expect(await finishedBatch(sluice, half.id)).toMatchObject({ status: "succeeded", created_count: ITEMS });
      expect(zoo.stats().calls).toBe(ITEMS);
      expect(Object.keys(zoo.stats().runs)).toHaveLength(ITEMS);

      const replay = await send(path, slug, body);
      expect(replay.status).toBe(201);
      expect(replay.headers.get("idempotency-replayed")).toBe("true");
      expect(await replay.text()).toBe(text);
      expect(zoo.stats().calls).toBe(ITEMS);
    },
  );
});
