import Kernel, { APIError } from "@onkernel/sdk";
import { OffsetPagination } from "@onkernel/sdk/core/pagination";
import type { Stream } from "@onkernel/sdk/core/streaming";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type EndpointZoo, start as startZoo } from "../fixtures/endpoint/server.ts";
import { type Sluice, startSluice, until } from "./harness.ts";

/**
 * The unmodified client of Kernel's invocations API against a real Sluice and a real endpoint: typed methods for invocations; batch
 * jobs through its generic verbs, since no published version has methods for them.
 */

interface BatchJob {
  id: string;
  status: string;
  total_count: number;
  succeeded_count: number;
  failed_count: number;
  invocations?: Kernel.InvocationRetrieveResponse[];
}
interface BatchEvent {
  event: string;
  batch_job?: BatchJob;
  succeeded_count?: number;
}

let sluice: Sluice;
let zoo: EndpointZoo;
let kernel: Kernel;
let app: string;

beforeAll(async () => {
  zoo = await startZoo();
  sluice = await startSluice();
  kernel = new Kernel({ apiKey: sluice.apiKey, baseURL: `${sluice.url}/kernel` });
  for (const [slug, path, fields] of [
    ["echo", "/echo", {}],
    ["broken", "/status/400", {}],
    ["slow", "/slow?ms=300", {}],
    ["hang", "/hang", { timeout_secs: 120 }],
    ["flaky", "/flaky?fail=1", { retry_base_secs: 0.1 }],
  ] as const) {
    await sluice.api.post("/v1/jobs", { name: slug, slug, endpoint_url: zoo.url + path, ...fields });
  }
  const [mine] = (await kernel.apps.list()).items;
  app = mine?.app_name ?? "";
});

afterAll(async () => {
  await sluice.signalGroup("SIGINT");
  await zoo.stop();
});

beforeEach(() => zoo.reset());

const invoke = (
  action_name: string,
  fields: Partial<Kernel.InvocationCreateParams> = {},
  headers?: Record<string, string>,
) => kernel.invocations.create({ app_name: app, action_name, version: "latest", ...fields }, headers && { headers });

const createBatch = (action_name: string, payloads: string[], fields: object = {}) =>
  kernel.post("/invocations/batch", { body: { app_name: app, action_name, payloads, ...fields } }) as Promise<{
    batch_job_id: string;
    total_count: number;
    status: string;
  }>;

async function refusal(work: Promise<unknown>): Promise<APIError> {
  const error = await work.then(
    () => null,
    (reason: unknown) => reason,
  );
  if (!(error instanceof APIError)) throw new Error(`expected a refusal: ${error}`);
  return error;
}

describe("invocations", () => {
  test("create waits for the output; retrieve shows the same", async () => {
    const done = await invoke("echo", { payload: '{"n":1}' });
    expect(done).toMatchObject({ action_name: "echo", status: "succeeded", output: '{"n":1}' });
    expect(await kernel.invocations.retrieve(done.id)).toMatchObject({
      id: done.id,
      app_name: app,
      payload: '{"n":1}',
    });
    expect(zoo.stats().calls).toBe(1);
    expect(await invoke("broken")).toMatchObject({ status: "failed", status_reason: expect.stringMatching(/400/) });
  });

  test("async: queued at once, in the list at once, followed to its end", async () => {
    const { id, status } = await invoke("flaky", { async: true, payload: "[1]" });
    expect(status).toBe("queued");
    expect((await kernel.invocations.list({ app_name: app, limit: 1 })).items[0]?.id).toBe(id);
    const events: Kernel.InvocationFollowResponse[] = [];
    for await (const event of await kernel.invocations.follow(id)) events.push(event);
    const states = events.flatMap((e) => (e.event === "invocation_state" ? [e.invocation.status] : []));
    expect([states.at(-1), states.filter((s) => s === "succeeded").length]).toEqual(["succeeded", 1]);
    expect(events.some((e) => e.event === "log" && /attempt 1/.test(e.message))).toBe(true);
  });

  test("update cancels; once more is refused at once, without being tried again", async () => {
    const { id } = await invoke("hang", { async: true });
    await until(async () => (await kernel.invocations.retrieve(id)).status === "running");
    expect(await kernel.invocations.update(id, { status: "failed" })).toMatchObject({ id, status: "failed" });
    const again = kernel.invocations.update(id, { status: "failed" });
    expect(await refusal(again)).toMatchObject({ status: 409, error: { code: "conflict" } });
    expect(await refusal(kernel.invocations.update(id, { status: "succeeded" }))).toMatchObject({ status: 400 });
  });

  test("list pages by itself through all of them, once each", async () => {
    const { batch_job_id } = await createBatch(
      "echo",
      Array.from({ length: 250 }, (_, i) => String(i)),
    );
    const all: string[] = [];
    for await (const { id } of kernel.invocations.list({ action_name: "echo", limit: 100 })) all.push(id);
    expect([all.length, new Set(all).size]).toEqual([251, 251]);
    const { invocations = [] } = (await kernel.get(`/batch_jobs/${batch_job_id}`)) as BatchJob;
    expect(new Set(all)).toEqual(new Set([...invocations.map((i) => i.id), all.at(-1)]));
  });

  test("the same Idempotency-Key three times at once is one invocation", async () => {
    const headers = { "Idempotency-Key": "at-once" };
    const answers = await Promise.all([1, 2, 3].map(() => invoke("slow", {}, headers)));
    expect(new Set(answers.map((a) => `${a.id} ${a.status}`)).size).toBe(1);
    expect(zoo.stats().calls).toBe(1);
  });

  test("async_timeout_seconds ends one that hangs, and aborts its call", async () => {
    const { id } = await invoke("hang", { async: true, async_timeout_seconds: 10 });
    let last: Kernel.InvocationFollowResponse | null = null;
    for await (const event of await kernel.invocations.follow(id)) last = event;
    expect(last).toMatchObject({
      event: "invocation_state",
      invocation: { status: "failed", status_reason: "not finished within 10 s" },
    });
    await until(() => zoo.stats().in_flight === 0);
    expect(zoo.stats().calls).toBe(1);
  });

  test("bad input is the client's own kind of error", async () => {
    expect(await refusal(invoke("echo", { payload: "{" }))).toMatchObject({
      status: 400,
      error: { code: "bad_request" },
    });
    expect(await refusal(invoke("nope"))).toMatchObject({ status: 404 });
    expect(await refusal(kernel.invocations.retrieve("rr33xuugxj9h0bkf1rdt2bet"))).toMatchObject({ status: 404 });
    const stranger = new Kernel({ apiKey: `sluice_${"0".repeat(64)}`, baseURL: `${sluice.url}/kernel` });
    expect(await refusal(stranger.invocations.list())).toMatchObject({ status: 401 });
  });

  test("browsers: none", async () => {
    const { id } = await invoke("echo");
    expect(await kernel.invocations.listBrowsers(id)).toEqual({ browsers: [] });
    await kernel.invocations.deleteBrowsers(id);
  });
});

describe("batch jobs", () => {
  test("max_concurrency is seen at the endpoint, progress adds up, and every invocation is an ordinary one", async () => {
    const payloads = Array.from({ length: 25 }, (_, i) => JSON.stringify({ i }));
    const created = await createBatch("slow", payloads, { max_concurrency: 5 });
    expect(created).toMatchObject({ total_count: 25, status: "queued" });
    const path = `/batch_jobs/${created.batch_job_id}`;
    const stream = (await kernel.get(`${path}/events`, { stream: true })) as unknown as Stream<BatchEvent>;
    const events: BatchEvent[] = [];
    for await (const event of stream) events.push(event);
    expect([events[0]?.event, events.at(-1)?.event]).toEqual(["batch_state", "batch_state"]);
    const progress = events.filter((e) => e.event === "batch_progress").map((e) => e.succeeded_count ?? 0);
    expect(progress).toEqual([...new Set(progress)].sort((a, b) => a - b));
    expect(events.at(-1)?.batch_job).toMatchObject({ status: "succeeded", succeeded_count: 25, failed_count: 0 });
    expect(zoo.stats()).toMatchObject({ calls: 25, peak_in_flight: 5 });
    const { invocations = [] } = (await kernel.get(path)) as BatchJob;
    expect(invocations.map((i) => i.payload)).toEqual(payloads);
    const third = invocations[2];
    expect(third && (await kernel.invocations.retrieve(third.id))).toEqual(third);
  });

  test("the list pages by itself, with the client's own page class", async () => {
    const ids: string[] = [];
    for (let i = 0; i < 5; i++) ids.unshift((await createBatch("echo", ["1"])).batch_job_id);
    const query = { app_name: app, action_name: "echo", limit: 2 };
    const pages = kernel.getAPIList<BatchJob, OffsetPagination<BatchJob>>("/batch_jobs", OffsetPagination, { query });
    const listed: string[] = [];
    for await (const { id } of pages) listed.push(id);
    expect(listed.slice(0, 5)).toEqual(ids);
    expect(new Set(listed).size).toBe(listed.length);
  });

  test("cancel: failed at once; once more is refused at once", async () => {
    const { batch_job_id } = await createBatch("slow", ["1", "2", "3", "4"], { max_concurrency: 1 });
    const path = `/batch_jobs/${batch_job_id}`;
    expect(await kernel.patch(path, { body: { status: "failed" } })).toMatchObject({ status: "failed" });
    await until(async () => ((await kernel.get(path)) as { finished_at: string | null }).finished_at !== null);
    expect(await refusal(kernel.patch(path, { body: { status: "failed" } }))).toMatchObject({ status: 409 });
    expect(await refusal(createBatch("slow", ["{"]))).toMatchObject({
      status: 400,
      error: { details: [{ message: "payloads[0]: is not JSON" }] },
    });
  });
});
