import { evictDurableObject, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterAll, beforeAll, expect, test, vi } from "vitest";

beforeAll(() => {
  vi.useFakeTimers({ toFake: ["Date"], now: Date.UTC(2100, 0, 1) });
});
afterAll(() => {
  vi.useRealTimers();
});

test("smoke", async () => {
  const stub = env.COORDINATOR.get(env.COORDINATOR.idFromName("job-1:0"));
  const sent: unknown[] = [];
  const inject = () =>
    runInDurableObject(stub, (instance) => {
      const o = instance as unknown as { env: object };
      o.env = { ...o.env, DELIVERIES: { sendBatch: async (m: unknown[]) => void sent.push(...m) } };
    });
  await inject();
  const spec = { name: "a", slug: "a", tags: {}, endpoint_url: "https://x.example/", fallback_endpoint_url: null, endpoint_method: "POST", endpoint_headers: {}, endpoint_signing_secret: null, success_statuses: null, retry_statuses: null, max_attempts: 3, timeout_secs: 300, retry_strategy: "fixed", retry_delays_secs: null, retry_base_secs: 1, retry_max_secs: 3600, retry_jitter: 0, on_lost: "retry", max_concurrency: 2, run_ttl_secs: null, default_run_metadata: {}, enabled: true, version_policy: "pin", backwards_compatible: true, dedup_window_secs: null };
  console.log(await stub.configure({ id: "job-1", number: 1, project_id: "p", revision: 1, paused: false, deleted: false, current: { version: 1, version_id: "ver_1", spec: spec as never } }));
  const opened = await stub.openBatch({ revision: 1, created_by: "me", traceparent: null, triggered_by: "bulk", options: { max_concurrency: null, failure_threshold: null, metadata: {}, webhook_url: null, webhook_secret: null }, request: null });
  console.log(opened);
  if (opened.kind !== "opened") throw new Error();
  const answer = await stub.accept({ revision: 1, triggered_by: "bulk", created_by: "me", traceparent: null, batch: { id: opened.batch_id, epoch: 1, first_index: 0, hashes: ["a", "b", "c"] }, items: [{ payload: "1" }, { payload: "2" }, { payload: "3" }] });
  console.log(JSON.stringify(answer));
  console.log(JSON.stringify(await stub.closeBatch({ batch_id: opened.batch_id, epoch: 1, seal: true, answer: null })));
  console.log(JSON.stringify(sent));
  const g = await stub.exchange({ ticket: "t", nonce: "n", sequence: 1, boot: null, want: 10, plans: [], results: [], started: [], leaving: false });
  console.log(JSON.stringify(g));
  await evictDurableObject(stub);
  await inject();
  vi.setSystemTime(Date.now() + 1000);
  console.log(await runInDurableObject(stub, (_i, s) => s.storage.getAlarm()), Date.now());
  console.log("alarm", await runDurableObjectAlarm(stub));
  console.log(JSON.stringify(await env.DB.prepare("select * from runs").all()));
  const report = (seq: number) => ({ seq, attempt: 1, fallback: false, started_at: Date.now() - 5, finished_at: Date.now(), outcome: { kind: "response" as const, http_status: 200, result: '{"x":1}', truncated: false, retry_after_ms: null } });
  if (g.kind !== "granted") throw new Error();
  const h = await stub.exchange({ ticket: "t", nonce: "n", sequence: 2, boot: null, want: 10, plans: [1], results: g.calls.map((c) => report(c.seq)), started: [], leaving: false });
  console.log(JSON.stringify(h));
  if (h.kind !== "granted") throw new Error();
  const k = await stub.exchange({ ticket: "t", nonce: "n", sequence: 3, boot: null, want: 10, plans: [1], results: h.calls.map((c) => report(c.seq)), started: [], leaving: false });
  console.log(JSON.stringify(k));
  console.log(JSON.stringify(await stub.getBatch(opened.batch_id)));
  vi.setSystemTime(Date.now() + 1000);
  console.log("alarm", await runDurableObjectAlarm(stub));
  console.log(JSON.stringify((await env.DB.prepare("select id,status,ver,payload,doc from runs").all()).results));
  console.log(JSON.stringify((await env.DB.prepare("select * from batches").all()).results));
  console.log(JSON.stringify(await stub.getBatch(opened.batch_id)));
  console.log(await runInDurableObject(stub, (_i, s) => Object.fromEntries(["runs","pages","heads","due","leases","outbox","flows","batches","bodies","sweeps","chunks","expiries"].map((t) => [t, s.storage.sql.exec(`select * from ${t}`).toArray()]))));
  expect(1).toBe(1);
});
