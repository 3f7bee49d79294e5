import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { freePort } from "../../src/cli/port.ts";
import {
  type BatchOperation,
  type BulkAnswer,
  type Run,
  root,
  type Sluice,
  scriptEnvironment,
  startSluice,
  until,
} from "./harness.ts";

/** A second real Worker (test/fixtures/caller) hands work to Sluice over a service binding. */

let sluice: Sluice;
let caller: ChildProcess;
let callerUrl: string;
const calls: { headers: Record<string, unknown>; body: string }[] = [];
const endpoint = createServer(async (request, response) => {
  let body = "";
  for await (const chunk of request) body += chunk;
  calls.push({ headers: request.headers, body });
  response.end('{"shipped":true}');
});

beforeAll(async () => {
  endpoint.listen(0, "127.0.0.1");
  sluice = await startSluice();
  const { port } = endpoint.address() as AddressInfo;
  await sluice.api.post("/v1/jobs", { name: "Orders", endpoint_url: `http://127.0.0.1:${port}/`, max_attempts: 1 });
  callerUrl = await startCaller(sluice);
});

afterAll(async () => {
  const ended = once(caller, "exit");
  caller.kill("SIGTERM");
  await ended;
  await sluice.signalGroup("SIGTERM");
  endpoint.closeAllConnections();
  endpoint.close();
});

/** `wrangler dev` of the caller; Sluice is found by what it says in its state folder. */
async function startCaller({ stateDir }: Sluice): Promise<string> {
  const port = await freePort();
  caller = spawn(
    join(root, "node_modules/.bin/wrangler"),
    [
      "dev",
      "-c",
      "test/fixtures/caller/wrangler.toml",
      "--ip",
      "127.0.0.1",
      "--port",
      String(port),
      "--inspector-port",
      "0",
    ],
    {
      cwd: root,
      stdio: "ignore",
      env: scriptEnvironment({
        WRANGLER_REGISTRY_PATH: join(stateDir, "registry"),
        CI: "true",
        WRANGLER_SEND_METRICS: "false",
      }),
    },
  );
  const url = `http://127.0.0.1:${port}`;
  await until(async () => {
    if (caller.exitCode !== null) throw new Error("the caller did not start");
    const answer = await fetch(`${url}/batch?id=none`).catch(() => null);
    return ((await answer?.json()) as Refusal | undefined)?.message.startsWith("not_found: ");
  });
  return url;
}

async function asked<T>(path: string, init: { body?: string; headers?: Record<string, string> } = {}): Promise<T> {
  const response = await fetch(callerUrl + path, { method: init.body === undefined ? "GET" : "POST", ...init });
  return (await response.json()) as T;
}

const finished = (id: string): Promise<BatchOperation> =>
  until(async () => {
    const batch = await asked<BatchOperation>(`/batch?id=${id}`);
    return batch.finished_at === null ? null : batch;
  });

interface Refusal {
  message: string;
}

describe("over a service binding", () => {
  test("a run is triggered once for its key, by the binding's name, in its trace, and read back", async () => {
    const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    const order = { body: JSON.stringify({ number: 7 }), headers: { traceparent } };
    const first = await asked<{ id: string; outcome: string }>("/order", order);
    expect(first.outcome).toBe("created");
    expect(await asked("/order", order)).toMatchObject({ outcome: "duplicate", duplicate_of: first.id });
    const run = await until(async () => {
      const now = await asked<Run & { triggered_by: string; created_by: string; result: unknown }>(
        `/run?id=${first.id}`,
      );
      return now.finished_at === null ? null : now;
    });
    expect(run).toMatchObject({
      status: "completed",
      triggered_by: "rpc",
      created_by: "service:caller",
      result: { shipped: true },
    });
    expect(calls).toHaveLength(1);
    expect(calls[0]?.headers.traceparent).toMatch(/^00-0af7651916cd43dd8448eb211c80319c-/);
  });

  test("lists and streams become batches, watched to their end", async () => {
    const list = await asked<BulkAnswer>("/orders", {
      body: JSON.stringify([{ payload: 1 }, { payload: 2 }, { nope: 1 }]),
    });
    expect(list).toMatchObject({ total: 3, created: 2, rejected: 1 });
    expect(await finished(list.batch_id)).toMatchObject({ status: "succeeded", max_concurrency: 2 });
    const lines = Array.from({ length: 2_000 }, (_, i) => `{"payload":${i}}\n`).join("");
    const stream = await asked<BulkAnswer>("/stream?id=night-1", { body: lines });
    expect(stream).toMatchObject({ total: 2_000, created: 2_000 });
    expect(await asked("/stream?id=night-1", { body: lines })).toMatchObject({ batch_id: stream.batch_id });
    const events = await (await fetch(`${callerUrl}/watch?id=${stream.batch_id}`)).text();
    expect(events.match(/^event: .*$/gm)?.at(-1)).toBe("event: batch_state");
    const last = JSON.parse(
      events
        .match(/^data: .*$/gm)
        ?.at(-1)
        ?.slice("data: ".length) ?? "",
    );
    expect(last).toMatchObject({ status: "succeeded", metadata: { from: "caller" }, succeeded_count: 2_000 });
    expect((await asked<Refusal>(`/cancel?id=${stream.batch_id}`)).message).toMatch(/^conflict: /);
  });

  test("what is wrong is said as over HTTP", async () => {
    const refused = await asked<Refusal>("/order", { body: JSON.stringify({ number: 8, priority: 99 }) });
    expect(refused.message).toMatch(/^validation_failed: .*\(priority: /);
    const absent = await asked<Refusal>("/run?id=019c2f6e-7d80-7a3b-9c55-0000000002a1");
    expect(absent.message).toMatch(/^not_found: /);
  });

  test("a binding without props, or to no project, tells the deployer", async () => {
    const without = await asked<Refusal>("/run?id=x&binding=NOBODY");
    expect(without.message).toContain("props = { project, name }");
    const nowhere = await asked<Refusal>("/run?id=x&binding=ELSEWHERE");
    expect(nowhere.message).toContain("no-such-project");
  });
});
