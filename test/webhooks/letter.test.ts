import { createHmac } from "node:crypto";
import { Webhook } from "standardwebhooks";
import { describe, expect, test } from "vitest";
import { type BatchRecord, zeroCounts } from "../../src/domain/batch.ts";
import { batchToWire } from "../../src/http/wire/batch-operations.ts";
import { batchEvent, runEvent } from "../../src/http/wire/webhook-events.ts";
import { callReceiver } from "../../src/webhooks/receiver.ts";
import { AT, delivery, env, type Heard, heard, hurry, listening, pathOf, tell, tellBatch, zoo } from "./world.ts";

const TEXT_SECRET = "a secret as text, ü";
const BASE64_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

const hear = async (path: string): Promise<Heard> => {
  const [call, ...others] = await heard(path);
  if (!call || others.length > 0) throw new Error(`heard ${others.length + 1} times`);
  return call;
};
const verifierOf = (secret: string): Webhook =>
  secret.startsWith("whsec_") ? new Webhook(secret) : new Webhook(new TextEncoder().encode(secret), { format: "raw" });
/** The body, as the document describes it. */
const parsed = (body: string, schema: typeof runEvent | typeof batchEvent = runEvent): unknown => {
  schema.parse(JSON.parse(body));
  return JSON.parse(body);
};
const isoTime = (ms: number): string => new Date(ms).toISOString();

describe("a webhook as it arrives", () => {
  test("says how the run ended, its result byte for byte", async () => {
    const path = pathOf("/ok");
    const told = await tell(zoo + path, [
      {
        doc: {
          attempt: 2,
          result: '{ "n": 12345678901234567890, "s":"\\u00fc" }',
          metadata: { order: "7" },
        },
        batchId: "01900000-0000-7000-8000-00000000b001",
      },
    ]);
    await callReceiver(told.receiver, listening().env, batchToWire);
    const call = await hear(path);
    expect(call.method).toBe("POST");
    expect(call.headers["content-type"]).toBe("application/json");
    expect(call.body).toBe(
      `{"type":"run.completed","run_id":"${told.runIds[0]}","job_id":"${told.jobId}","project_id":"${told.receiver.project_id}",` +
        '"batch_id":"01900000-0000-7000-8000-00000000b001","status":"completed","attempt":2,' +
        '"result":{ "n": 12345678901234567890, "s":"\\u00fc" },"error":null,"metadata":{"order":"7"},' +
        `"timestamp":"${isoTime(AT + 5)}"}`,
    );
    parsed(call.body);
    expect(await delivery(told)).toMatchObject({
      status: "delivered",
      attempts: [{ http_status: 200, error: null }],
      next_attempt_at: null,
    });
  });

  test.each(["failed", "timed_out", "crashed", "canceled", "expired"] as const)(
    "of a run that is %s",
    async (status) => {
      const path = pathOf("/ok");
      const error = status === "failed" ? { class: "server" as const, message: "500", http_status: 500 } : null;
      const told = await tell(zoo + path, [{ status, doc: { attempt: 0, error } }]);
      await callReceiver(told.receiver, listening().env, batchToWire);
      expect(JSON.parse((await hear(path)).body)).toEqual({
        type: `run.${status}`,
        run_id: told.runIds[0],
        job_id: told.jobId,
        project_id: told.receiver.project_id,
        batch_id: null,
        status,
        attempt: 0,
        result: null,
        error,
        metadata: {},
        timestamp: isoTime(AT + 5),
      });
    },
  );

  test.each([TEXT_SECRET, BASE64_SECRET])("is signed in both ways: %s", async (secret) => {
    const path = pathOf("/ok");
    const told = await tell(zoo + path, [{ doc: { result: '"ü€😀"' } }], { secret });
    await callReceiver(told.receiver, listening().env, batchToWire);
    const { headers, body } = await hear(path);
    const timestamp = headers["x-strait-timestamp"];
    expect(timestamp).toMatch(/^\d{10}$/);
    const formula = `v1=${createHmac("sha256", secret).update(`${timestamp}.${body}`).digest("hex")}`;
    expect([headers["x-strait-signature"], headers["x-webhook-signature"]]).toEqual([formula, formula]);
    expect([headers["webhook-id"], headers["webhook-timestamp"]]).toEqual([told.ids[0], timestamp]);
    const verifier = verifierOf(secret);
    expect(verifier.verify(body, headers)).toEqual(JSON.parse(body));
    expect(() => verifier.verify(`${body} `, headers)).toThrow();
  });

  test("is unsigned without a secret, and named all the same", async () => {
    const path = pathOf("/ok");
    const told = await tell(zoo + path, [{}]);
    await callReceiver(told.receiver, listening().env, batchToWire);
    const { headers } = await hear(path);
    expect(headers["webhook-id"]).toBe(told.ids[0]);
    expect(headers["webhook-timestamp"]).toBe(headers["x-strait-timestamp"]);
    for (const name of ["x-strait-signature", "x-webhook-signature", "webhook-signature"])
      expect(headers).not.toHaveProperty(name);
  });

  test("of a batch: the batch operation in `data`, signed with the batch's own secret", async () => {
    const path = pathOf("/ok");
    const batch: BatchRecord = {
      id: "01900000-0000-7000-8000-00000000ba7c",
      project_id: "project-of-the-batch",
      job_id: "01900000-0000-7000-8000-0000000000aa",
      item_count: 2,
      created_count: 2,
      duplicate_count: 0,
      rejected_count: 0,
      created_by: "admin",
      created_at: AT,
      accepted_at: AT,
      started_at: AT,
      finished_at: AT + 9,
      status: "partially_failed",
      counts: { ...zeroCounts(), completed: 1, failed: 1 },
      max_concurrency: null,
      failure_threshold: null,
      metadata: { a: "b" },
      throughput_per_sec: 2,
      eta_at: null,
      retry_of: null,
      ver: 7,
    };
    const told = await tellBatch(zoo + path, batch, BASE64_SECRET);
    await callReceiver(told.receiver, listening().env, batchToWire);
    const { headers, body } = await hear(path);
    parsed(body, batchEvent);
    expect(new Webhook(BASE64_SECRET).verify(body, headers)).toEqual({
      type: "batch.finished",
      batch_id: batch.id,
      job_id: batch.job_id,
      project_id: batch.project_id,
      timestamp: isoTime(AT + 9),
      data: JSON.parse(JSON.stringify(batchToWire(batch))),
    });
  });

  test("is the same on every try, id and body, also where the result is kept in R2; only the time is new", async () => {
    const path = pathOf("/flaky?fail=2");
    const result = JSON.stringify({ text: "é".repeat(40_000), n: 1 });
    const told = await tell(zoo + path, [{ doc: { result_ref: `runs/test/${path}/result` } }], { secret: TEXT_SECRET });
    await env.BLOBS.put(`runs/test/${path}/result`, result);
    for (let i = 0; i < 3; i++) {
      await hurry(told);
      await callReceiver(told.receiver, listening().env, batchToWire);
    }
    const calls = await heard(path);
    expect(calls.map((call) => call.status)).toEqual([503, 503, 200]);
    expect(new Set(calls.map((call) => call.body)).size).toBe(1);
    expect(calls[0]?.body).toContain(`"result":${result},`);
    expect(new Set(calls.map((call) => call.headers["webhook-id"]))).toEqual(new Set(told.ids));
    for (const { headers, body } of calls) verifierOf(TEXT_SECRET).verify(body, headers);
    expect(await delivery(told)).toMatchObject({
      status: "delivered",
      attempts: [{ http_status: 503 }, { http_status: 503 }, { http_status: 200, error: null }],
    });
  });
});

describe("a webhook that cannot be sent", () => {
  test("to an address that is not allowed is dead, with the reason, and calls nobody", async () => {
    const path = pathOf("/ok");
    const told = await tell(zoo + path, [{}]);
    const { env: strict } = listening({ ALLOW_LOOPBACK_ENDPOINTS: "false" });
    await callReceiver(told.receiver, strict, batchToWire);
    expect(await delivery(told)).toMatchObject({
      status: "dead",
      attempts: [{ http_status: null, error: "blocked: the address must not be a loopback address" }],
      next_attempt_at: null,
    });
    expect(await heard(path)).toEqual([]);
  });

  test("whose run or result is no longer kept is dead, and says so", async () => {
    const told = await tell(zoo + pathOf("/ok"), [{}, { doc: { result_ref: "runs/gone" } }]);
    await env.DB.prepare("DELETE FROM runs WHERE project_id = ? AND id = ?")
      .bind(told.receiver.project_id, told.runIds[0])
      .run();
    await callReceiver(told.receiver, listening().env, batchToWire);
    expect([await delivery(told, 0), await delivery(told, 1)]).toMatchObject([
      { status: "dead", attempts: [{ error: "the run is no longer kept" }] },
      { status: "dead", attempts: [{ error: "the run's result is no longer kept" }] },
    ]);
  });

  test("for want of the key that opens its secret is tried again, and tells nothing of it", async () => {
    const path = pathOf("/ok");
    const told = await tell(zoo + path, [{}], { secret: TEXT_SECRET });
    const other = `2:${btoa("x".repeat(32))}`;
    await callReceiver(told.receiver, listening({ ENCRYPTION_KEYS: other }).env, batchToWire);
    expect(await heard(path)).toEqual([]);
    expect(await delivery(told)).toMatchObject({
      status: "pending",
      attempts: [{ http_status: null, error: "could not be prepared on our side" }],
    });
    await hurry(told);
    await callReceiver(told.receiver, listening().env, batchToWire);
    expect(await delivery(told)).toMatchObject({ status: "delivered" });
  });
});
