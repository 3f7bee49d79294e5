import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  airports,
  type BatchOperation,
  finishedBatch,
  finishedRun,
  type Run,
  type Sluice,
  sendNdjson,
  startSluice,
  until,
} from "./harness.ts";
import { mostInWindow, OVERLAP_SLACK_MS, peak, WINDOW_SLACK_MS } from "./limits-oracle.ts";
import { type RecordedCall, type RecordingEndpoint, startRecording } from "./recording-endpoint.ts";

/** Limits that the endpoint moves (contract 4.9), and limits that are changed while they are full. */

let endpoint: RecordingEndpoint;
let sluice: Sluice;

beforeAll(async () => {
  [endpoint, sluice] = await Promise.all([startRecording(), startSluice()]);
});

afterAll(async () => {
  await sluice.signalGroup("SIGINT");
  await endpoint.stop();
});

const newJob = (slug: string, fields: Record<string, unknown>, query = "") =>
  sluice.api.post("/v1/jobs", {
    ...{ name: slug, slug, endpoint_url: `${endpoint.url}/${slug}${query}` },
    ...{ timeout_secs: 60, retry_strategy: "fixed", retry_base_secs: 0.1, retry_jitter: 0, ...fields },
  });

const trigger = async (slug: string): Promise<string> =>
  (await sluice.api.post<{ id: string }>(`/v1/jobs/${slug}/trigger`)).id;

async function change(slug: string, fields: Record<string, unknown>): Promise<void> {
  const response = await fetch(`${sluice.url}/v1/jobs/${slug}`, {
    method: "PATCH",
    headers: { authorization: `Bearer ${sluice.apiKey}`, "content-type": "application/json" },
    body: JSON.stringify(fields),
  });
  expect(response.status, await response.text()).toBe(200);
}

interface Health {
  waiting: number;
  waiting_for: Record<string, number>;
  concurrency_now: number;
  concurrency_limit: number;
}
const health = (slug: string) => sluice.api.get<Health>(`/v1/jobs/${slug}/health`);
const clock = () => performance.timeOrigin + performance.now();
const items = (count: number, fields: Record<string, unknown> = {}) =>
  Array.from({ length: count }, () => ({ payload: {}, ...fields }));

describe.concurrent("the endpoint is held back from", () => {
  test("hold_on_retry_after: nothing starts before the instant it asked for", async () => {
    await newJob("busy", { hold_on_retry_after: true, max_concurrency: 1 }, "?status=503&times=1&retry_after=2");
    const { batch_id } = await sendNdjson(sluice, "busy", items(5));
    expect(await finishedBatch(sluice, batch_id)).toMatchObject({ status: "succeeded" });
    const [refused, ...others] = await endpoint.calls("busy");
    expect(refused?.status).toBe(503);
    expect(others).toHaveLength(5);
    for (const call of others) expect(call.began - (refused?.ended ?? 0)).toBeGreaterThanOrEqual(2_000);
  });

  test("circuit_breaker: opens, lets one probe go, closes; what waits loses no attempt", async () => {
    // Three failures open it; so does the failure of the first probe. The second one succeeds.
    const circuit_breaker = { failures: 3, window_secs: 60, open_secs: 1 };
    await newJob("breaking", { circuit_breaker, max_concurrency: 1, max_attempts: 5 }, "?status=500&times=4&ms=30");
    const { batch_id } = await sendNdjson(sluice, "breaking", items(40));
    await until(async () => (await health("breaking")).waiting_for.breaker);
    await change("breaking", { max_concurrency: 20 });
    expect(await finishedBatch(sluice, batch_id)).toMatchObject({ status: "succeeded" });
    const calls = (await endpoint.calls("breaking")).sort((a, b) => a.began - b.began);
    expect(calls).toHaveLength(44);
    expect(calls.slice(0, 5).map((call) => call.status)).toEqual([500, 500, 500, 500, 200]);
    const gap = (i: number) => (calls[i + 1]?.began ?? 0) - (calls[i]?.ended ?? 0);
    expect(gap(2)).toBeGreaterThanOrEqual(1_000);
    expect(gap(3)).toBeGreaterThanOrEqual(1_000);
    // The probe is alone until its answer.
    expect(gap(4)).toBeGreaterThanOrEqual(0);
    expect(peak(calls.slice(5))).toBeGreaterThan(1);
    expect(calls.filter((call) => call.attempt > 1)).toHaveLength(4);
  });

  test("adaptive_concurrency: an endpoint that bears 8 gets 6 to 8 within seconds, and refuses under 5 %", async () => {
    await newJob(
      "bears-8",
      { adaptive_concurrency: { min: 1, max: 100 }, max_concurrency: 100, max_attempts: 20 },
      "?bears=8&ms=100",
    );
    const SETTLED_AFTER_MS = 6_000;
    const startedAt = clock();
    const { batch_id } = await sendNdjson(sluice, "bears-8", items(1_100));
    const limits: { at: number; limit: number }[] = [];
    const batch = await until(async () => {
      limits.push({ at: clock() - startedAt, limit: (await health("bears-8")).concurrency_limit });
      const now = await sluice.api.get<BatchOperation>(`/v1/batch-operations/${batch_id}`);
      return now.finished_at === null ? null : now;
    });
    expect(batch).toMatchObject({ status: "succeeded" });
    const calls = await endpoint.calls("bears-8");
    const refused = calls.filter((call) => call.status === 429);
    const seen = [...new Set(limits.map(({ limit }) => limit))].join(" ");
    console.log(`${refused.length} of ${calls.length} calls refused; limits seen: ${seen}`);
    expect(refused.length / calls.length).toBeLessThan(0.05);
    const settled = limits
      .filter(({ at }) => at > SETTLED_AFTER_MS)
      .map(({ limit }) => limit)
      .sort((a, b) => a - b);
    expect(settled.length).toBeGreaterThan(20);
    // Now and then it tries whether nine are borne by now.
    expect(settled[Math.floor(settled.length * 0.05)]).toBeGreaterThanOrEqual(6);
    expect(settled[Math.floor(settled.length * 0.9)]).toBeLessThanOrEqual(8);
  });
});

describe("a limit is changed while it is full, with 20,000 waiting", () => {
  const BACKLOG = 20_000;

  /** A call that was granted before the change may arrive so much later. */
  const ON_ITS_WAY_MS = 50;
  const since = (calls: RecordedCall[], from: number): RecordedCall[] => calls.filter((call) => call.began >= from);

  test("lowered, nothing in flight is cut; raised, the next starts use it; a rate and keys hold at once", async () => {
    await newJob("changing", { max_concurrency: 40, max_attempts: 1 }, "?ms=400");
    const keyed = airports
      .slice(0, 5_000)
      .flatMap((_, i) => items(BACKLOG / 5_000, { concurrency_key: `key-${i % 50}` }));
    const { batch_id } = await sendNdjson(sluice, "changing", keyed);
    const inFlight = (count: number) => until(async () => (await endpoint.count("changing")).in_flight === count);
    await inFlight(40);

    const lowering = clock();
    await change("changing", { max_concurrency: 5 });
    const lowered = clock();
    await until(async () => (await endpoint.calls("changing")).filter((call) => call.began > lowered).length > 15);
    expect((await health("changing")).concurrency_limit).toBe(5);

    const raising = clock();
    await change("changing", { max_concurrency: 60 });
    const raised = clock();
    await inFlight(60);
    const full = clock();

    await change("changing", { max_concurrency_per_key: 1 });
    const keyedAt = clock();
    await until(
      async () => (await endpoint.calls("changing")).filter((call) => call.began > keyedAt + 500).length > 150,
    );
    const keyedTill = clock();

    await change("changing", { max_concurrency_per_key: null, rate_limit_max: 10, rate_limit_window_secs: 2 });
    const ratedAt = clock();
    await until(async () => (await health("changing")).waiting_for.rate_limit);
    await until(() => clock() > ratedAt + 4_500);
    await sluice.api.post(`/v1/batch-operations/${batch_id}/cancel`);
    const batch = await finishedBatch(sluice, batch_id);

    const calls = await endpoint.calls("changing");
    const byRun = new Map(calls.map((call) => [call.run, call]));
    // Every call that was made was answered: none was cut off, none made twice.
    expect(byRun.size).toBe(calls.length);
    expect(calls.filter((call) => call.status !== 200)).toEqual([]);
    expect(batch.counts).toMatchObject({ completed: calls.length, canceled: BACKLOG - calls.length });
    // Those in flight at the change went on: nothing began before fewer than five were left of them.
    const low = since(calls, lowered + ON_ITS_WAY_MS).filter((call) => call.began < raising);
    const besides = (call: RecordedCall) =>
      calls.filter((other) => other.began < call.began && (other.ended ?? 0) > call.began + OVERLAP_SLACK_MS).length;
    expect(low.length).toBeGreaterThan(10);
    expect(Math.max(...low.map(besides))).toBeLessThan(5);
    expect(besides({ ...(low[0] as RecordedCall), began: lowered })).toBeGreaterThan(20);
    expect(peak(calls.filter((call) => call.began < full + 50))).toBe(60);
    console.log(
      `PATCH ${Math.round(lowered - lowering)} and ${Math.round(raised - raising)} ms; 60 in flight ${Math.round(full - raised)} ms after the raise`,
    );
    // Keys: of the calls begun under the new limit no two of one key are there at once.
    const perKey = new Map<number, RecordedCall[]>();
    for (const call of since(calls, keyedAt + ON_ITS_WAY_MS).filter((c) => c.began < keyedTill)) {
      const key = Math.floor(call.index / (BACKLOG / 5_000)) % 50;
      perKey.set(key, [...(perKey.get(key) ?? []), call]);
    }
    expect(perKey.size).toBe(50);
    expect(Math.max(...[...perKey.values()].map(peak))).toBe(1);
    // What began in the two seconds before counts too, so nothing starts at first.
    const rated = since(calls, ratedAt + ON_ITS_WAY_MS).map((call) => call.began);
    expect(mostInWindow(rated, 2_000 - WINDOW_SLACK_MS)).toBeLessThanOrEqual(10);
    expect(rated.length).toBeGreaterThan(9);
  });

  test("a run alone sees the change too", async () => {
    await newJob("one-more", { rate_limit_max: 1, rate_limit_window_secs: 3600 });
    await finishedRun(sluice, await trigger("one-more"));
    const second = await trigger("one-more");
    expect(await sluice.api.get<Run>(`/v1/runs/${second}`)).toMatchObject({ status: "queued" });
    await change("one-more", { rate_limit_max: 2 });
    expect((await finishedRun(sluice, second)).status).toBe("completed");
  });
});
