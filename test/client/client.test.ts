import { afterEach, describe, expect, expectTypeOf, test } from "vitest";
import { createClient, type Item, type SluiceClient, SluiceError, SluiceUnreachable } from "../../src/client/client.ts";
import { answer, events, hangUp, refusal, type ScriptedServer, scripted, type Turn } from "./scripted-server.ts";

let server: ScriptedServer;
afterEach(() => server.close());

async function against(...turns: [Turn, ...Turn[]]): Promise<SluiceClient> {
  server = await scripted(...turns);
  return createClient({ url: server.url, key: "sluice_key", retryDelayMs: 1 });
}

const now: Record<string, string> = { "Retry-After": "0" };
const failure = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    (value) => expect.fail(`it came out well: ${JSON.stringify(value)}`),
    (error: unknown) => error,
  );

async function all<T>(rows: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const row of rows) found.push(row);
  return found;
}

describe("types are those of the routes", () => {
  test("answers, inputs and paths", async () => {
    const client = await against(answer(200, {}));
    expectTypeOf(client.jobs.get).returns.resolves.toHaveProperty("max_attempts").toEqualTypeOf<number>();
    expectTypeOf(client.batches.get).returns.resolves.toHaveProperty("finished_at").toEqualTypeOf<string | null>();
    expectTypeOf(client.runs.get).returns.resolves.toHaveProperty("attempts").toBeArray();
    const calls = () => [
      client.call("GET /v1/jobs/{job}", { params: { job: "a" } }),
      client.call("GET /v1/jobs", { query: { limit: 5, tag: ["a:b"] } }),
      // @ts-expect-error: no such route
      client.call("GET /v1/jbos", {}),
      // @ts-expect-error: the path needs a job
      client.call("GET /v1/jobs/{job}", {}),
      // @ts-expect-error: not a field of a job
      client.jobs.create({ name: "x", endpoint_url: "https://x.example", max_attempt: 3 }),
      // @ts-expect-error: not a filter
      client.jobs.list({ nme: "x" }),
    ];
    expect(calls).toBeTypeOf("function");
    expectTypeOf<Item>().toHaveProperty("priority").toEqualTypeOf<number | null | undefined>();
  });
});

describe("a call", () => {
  test("sends key, path, query and body", async () => {
    const client = await against(answer(200, { id: "j" }));
    await client.call("GET /v1/jobs", { query: { limit: 5, tag: ["a:1", "b:2"], enabled: true } });
    await client.jobs.update("a b/c", { max_attempts: 5 }, { ifMatch: '"3"' });
    expect(server.seen.map((s) => `${s.method} ${s.url}`)).toEqual([
      "GET /v1/jobs?limit=5&tag=a%3A1&tag=b%3A2&enabled=true",
      "PATCH /v1/jobs/a%20b%2Fc",
    ]);
    expect(server.seen[1]).toMatchObject({
      headers: { authorization: "Bearer sluice_key", "if-match": '"3"', "content-type": "application/json" },
      body: '{"max_attempts":5}',
    });
  });

  test("that is refused throws what the error body says", async () => {
    const client = await against(refusal(422, "validation_failed", { "X-Request-Id": "r1" }));
    const error = await failure(client.jobs.get("x"));
    expect(error).toBeInstanceOf(SluiceError);
    expect(error).toMatchObject({
      status: 422,
      code: "validation_failed",
      details: [{ path: "x", message: "y" }],
      requestId: "r1",
    });
    expect(server.seen).toHaveLength(1);
  });

  test("that creates is repeated with one key, through outages and broken connections", async () => {
    const outage = refusal(503, "unavailable", now);
    const client = await against(outage, hangUp, refusal(409, "conflict", now), answer(201, { id: "j" }));
    expect(await client.jobs.create({ name: "n", endpoint_url: "https://x.example" })).toEqual({ id: "j" });
    const keys = new Set(server.seen.map((s) => s.headers["idempotency-key"]));
    expect(server.seen).toHaveLength(4);
    expect(keys.size).toBe(1);
    expect([...keys][0]).toMatch(/^[0-9a-f-]{36}$/);
  });

  test("is given up after so many tries, with what the last one met", async () => {
    server = await scripted(refusal(429, "rate_limited", now));
    const client = createClient({ url: server.url, key: "k", retries: 2, retryDelayMs: 1 });
    expect(await failure(client.jobs.get("x"))).toMatchObject({ status: 429 });
    expect(server.seen).toHaveLength(3);
  });

  test("that is final is not repeated", async () => {
    const client = await against(refusal(409, "conflict"));
    await failure(client.jobs.pause("x"));
    expect(server.seen).toHaveLength(1);
  });

  test("ends with its signal", async () => {
    const client = await against(() => undefined);
    const controller = new AbortController();
    const asked = failure(client.jobs.get("x", { signal: controller.signal }));
    while (server.seen.length === 0) await new Promise(setImmediate);
    controller.abort(new Error("enough"));
    expect(await asked).toMatchObject({ message: "enough" });
  });
});

describe("a single trigger", () => {
  test("with a key of its own is repeated", async () => {
    const client = await against(hangUp, answer(201, { id: "r" }));
    await client.trigger("j", { payload: 1, idempotency_key: "order-1" });
    expect(server.seen.map((s) => s.headers["idempotency-key"])).toEqual(["order-1", "order-1"]);
  });

  test("without one is not, where it may have been done: it would be a second run", async () => {
    const client = await against(hangUp, answer(201, { id: "r" }));
    expect(await failure(client.trigger("j", { payload: 1 }))).toBeInstanceOf(SluiceUnreachable);
    expect(server.seen).toHaveLength(1);
    expect(server.seen[0]?.headers).not.toHaveProperty("idempotency-key");
  });
});

describe("a list", () => {
  test("is followed from page to page, each row once", async () => {
    const page = (ids: number[], next: string | null) =>
      answer(200, { data: ids.map((id) => ({ id })), next_cursor: next });
    const client = await against(page([1, 2], "c1"), page([], "c2"), page([3], null));
    expect(await all(client.runs.list({ status: ["failed"] }))).toEqual([{ id: 1 }, { id: 2 }, { id: 3 }]);
    expect(server.seen.map((s) => s.url)).toEqual([
      "/v1/runs?status=failed",
      "/v1/runs?status=failed&cursor=c1",
      "/v1/runs?status=failed&cursor=c2",
    ]);
  });

  test("of results is read line by line, however it is cut", async () => {
    const text = '{"index":0,"result":"é\\n"}\n{"index":1,"result":null}\n';
    const bytes = Buffer.from(text);
    const client = await against((response) => {
      response.writeHead(200);
      for (const byte of bytes) response.write(Buffer.of(byte));
      response.end();
    });
    expect(await all(client.batches.results("b", { after_index: 4 }))).toEqual([
      { index: 0, result: "é\n" },
      { index: 1, result: null },
    ]);
    expect(server.seen[0]?.url).toBe("/v1/batch-operations/b/results?after_index=4");
  });
});

test("imports, transforms and webhook deliveries are asked for by their routes", async () => {
  const page = answer(200, { data: [{ id: "i" }], next_cursor: null });
  const client = await against(
    answer(201, { id: "i" }),
    events(
      'event: import_state\nid: 1\ndata: {"id":"i","finished_at":null}\n\n' +
        'event: import_progress\nid: 2\ndata: {"percent_complete":0.5}\n\n',
      "breaks",
    ),
    events('event: import_state\nid: 3\ndata: {"id":"i","finished_at":"2026-01-01T00:00:00.000Z"}\n\n'),
    (response) => response.writeHead(200).end('{"line":3,"raw":"x"}\n'),
    page,
  );
  await client.imports.create({ job: "orders", source: { url: "s3://b/k" } });
  const seen = await all(client.imports.watch("i"));
  expect(seen.map((e) => e.event)).toEqual(["import_state", "import_progress", "import_state"]);
  expect(await all(client.imports.rejects("i"))).toEqual([{ line: 3, raw: "x" }]);
  await all(client.imports.files("i"));
  await client.imports.retry("i");
  await client.transforms.get("a b");
  await client.webhookDeliveries.retry("d");
  await all(client.webhookDeliveries.list({ status: "dead" }));
  await client.batches.retryFailed("b", { idempotencyKey: "k" });
  expect(server.seen.map((s) => `${s.method} ${s.url} ${s.headers["last-event-id"] ?? ""}`.trim())).toEqual([
    ...["POST /v1/imports", "GET /v1/imports/i/events", "GET /v1/imports/i/events 2", "GET /v1/imports/i/rejects"],
    ...["GET /v1/imports/i/files", "POST /v1/imports/i/retry", "GET /v1/transforms/a%20b"],
    ...["POST /v1/webhook-deliveries/d/retry", "GET /v1/webhook-deliveries?status=dead"],
    "POST /v1/batch-operations/b/retry-failed",
  ]);
  expect(server.seen[0]?.headers["idempotency-key"]).toMatch(/^[0-9a-f-]{36}$/);
  expect(server.seen.at(-1)?.headers["idempotency-key"]).toBe("k");
});

describe("watching a batch", () => {
  const state = (id: number, finished: string | null) =>
    `event: batch_state\nid: ${id}\ndata: ${JSON.stringify({ id: "b", finished_at: finished })}\n\n`;
  const progress = (id: number) =>
    `: heartbeat\n\nevent: batch_progress\nid: ${id}\ndata: {"percent_complete":0.5}\n\n`;

  test("goes on after the last event when the connection breaks, and ends with the end", async () => {
    const client = await against(
      events(state(1, null) + progress(2), "breaks"),
      hangUp,
      events(progress(3)),
      events(state(4, "2026-01-01T00:00:00.000Z")),
    );
    const seen = await all(client.batches.watch("b"));
    expect(seen.map((e) => e.event)).toEqual(["batch_state", "batch_progress", "batch_progress", "batch_state"]);
    expect(server.seen.map((s) => s.headers["last-event-id"])).toEqual([undefined, "2", "2", "3"]);
  });

  test("is refused at once where there is no such batch", async () => {
    const client = await against(refusal(404, "not_found"));
    expect(await failure(all(client.batches.watch("b")))).toMatchObject({ status: 404 });
    expect(server.seen).toHaveLength(1);
  });

  test("lets go of the connection when the watcher leaves", async () => {
    let isOpen = true;
    const client = await against((response) => {
      response.on("close", () => {
        isOpen = false;
      });
      response.writeHead(200, { "Content-Type": "text/event-stream" }).write(state(1, null));
    });
    for await (const { event } of client.batches.watch("b")) {
      expect(event).toBe("batch_state");
      break;
    }
    while (isOpen) await new Promise(setImmediate);
  });
});
