import { env as bindings } from "cloudflare:workers";
import { describe, expect, inject, test, vi } from "vitest";
import { coordinatorOf } from "../../src/coordinator/client.ts";
import {
  type AcceptItem,
  type CallGrant,
  type CallPlan,
  CONSUMER_SILENCE_MS,
  type CoordinatorApi,
  type Ticket,
} from "../../src/coordinator/protocol.ts";
import { consume, handleBatch } from "../../src/delivery/consumer.ts";
import { openPlan, prepareCall } from "../../src/delivery/plan.ts";
import { ledgerId } from "../../src/domain/id.ts";
import type { JobSpec } from "../../src/domain/job.ts";
import { sealSecret, secretAad } from "../../src/domain/secret.ts";
import { plainSignature, signingKeys, standardSignature } from "../../src/domain/signature.ts";
import { parseTraceparent } from "../../src/domain/traceparent.ts";
import { type Env, parseSettings } from "../../src/env.ts";
import { selectEnvironment } from "../../src/store/environments.ts";
import { SPEC as PLAIN_SPEC } from "../fixtures/job-spec.ts";

const env = bindings as unknown as Env;
const settings = parseSettings(env);
const keys = settings.encryptionKeys ?? "";
const zoo = inject("endpointUrl");

const read = (id: string) => selectEnvironment(env.DB, id);

const seal = (jobId: string, field: Parameters<typeof secretAad>[1], plain: string): Promise<string> =>
  sealSecret(keys, plain, secretAad(jobId, field), crypto.getRandomValues(new Uint8Array(12)));

const JOB = { id: "019aa000-0000-7000-8000-00000000000a", number: 77, project_id: "p", lane: 0 };

const plan = (over: Partial<CallPlan> = {}): CallPlan => ({
  version: 4,
  slug: "send-mail",
  endpoint_url: `${zoo}/ok`,
  fallback_endpoint_url: `${zoo}/status/200`,
  endpoint_method: "PUT",
  endpoint_headers: {},
  endpoint_signing_secret: null,
  environment_id: null,
  ...over,
});

const grant = (over: Partial<CallGrant> = {}): CallGrant => ({
  seq: 9,
  at: 1_795_000_000_000,
  attempt: 2,
  fallback: false,
  version: 4,
  payload: '{"n":12345678901234567890}',
  timeout_ms: 1_000,
  start_within_ms: 1_000,
  batch_id: "batch",
  batch_index: 0,
  traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
  ...over,
});

async function prepared(plans: CallPlan, grants: CallGrant, now = 1_795_000_123_456) {
  const call = await prepareCall(await openPlan(plans, JOB, settings, null), grants, JOB, now);
  if (!("url" in call)) throw new Error(call.message);
  return call;
}

describe("a call as it will leave", () => {
  test("carries exactly the contract's headers, and the payload as it came", async () => {
    const run = ledgerId({ at: 1_795_000_000_000, seq: 9, lane: 0, job: 77 });
    expect(await prepared(plan(), grant())).toEqual({
      url: `${zoo}/ok`,
      method: "PUT",
      headers: {
        "Content-Type": "application/json",
        "X-Run-Id": run,
        "X-Job-Id": JOB.id,
        "X-Job-Slug": "send-mail",
        "X-Job-Version": "4",
        "X-Batch-Id": "batch",
        "X-Batch-Index": "0",
        "X-Attempt": "2",
        "Idempotency-Key": run,
        traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
      },
      body: '{"n":12345678901234567890}',
      service: null,
      timeout_ms: 1_000,
      success: { success_statuses: null },
    });
  });

  test("without a batch, and with a new trace where none came or a broken one", async () => {
    for (const traceparent of [null, "rubbish"]) {
      const { headers } = await prepared(plan(), grant({ batch_id: null, batch_index: null, traceparent }));
      expect(Object.keys(headers)).not.toContain("X-Batch-Id");
      expect(Object.keys(headers)).not.toContain("X-Batch-Index");
      expect(parseTraceparent(headers.traceparent ?? "")).not.toBeNull();
    }
  });

  test("the fallback's call goes to the fallback", async () => {
    expect((await prepared(plan(), grant({ fallback: true }))).url).toBe(`${zoo}/status/200`);
  });

  test("the job's own headers are opened; ours cannot be taken by another spelling", async () => {
    const endpoint_headers = {
      Authorization: await seal(JOB.id, "endpoint_headers.Authorization", "Bearer hush"),
      "x-run-ID": await seal(JOB.id, "endpoint_headers.x-run-ID", "forged"),
      "X-Strait-Signature": await seal(JOB.id, "endpoint_headers.X-Strait-Signature", "forged"),
    };
    const { headers } = await prepared(plan({ endpoint_headers }), grant());
    expect(headers.Authorization).toBe("Bearer hush");
    expect(Object.values(headers)).not.toContain("forged");
  });

  test("with a signing secret it is signed in both ways, at the time of the call", async () => {
    const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const endpoint_signing_secret = await seal(JOB.id, "endpoint_signing_secret", secret);
    const { headers, body } = await prepared(plan({ endpoint_signing_secret }), grant());
    const signing = await signingKeys(secret);
    const run = headers["X-Run-Id"] ?? "";
    expect(headers).toMatchObject({
      "X-Strait-Timestamp": "1795000123",
      "X-Strait-Signature": await plainSignature(signing, 1_795_000_123, body),
      "webhook-id": run,
      "webhook-timestamp": "1795000123",
      "webhook-signature": await standardSignature(signing, run, 1_795_000_123, body),
    });
  });

  test.each([
    "http://10.0.0.1/",
    "https://metadata.google.internal/",
    "ftp://example.com/",
    "service://nobody/",
    "service://private/",
  ])("%s is blocked, though it was saved", async (endpoint_url) => {
    const call = await prepareCall(await openPlan(plan({ endpoint_url }), JOB, settings, null), grant(), JOB, 0);
    expect(call).toMatchObject({ kind: "blocked", message: expect.stringMatching(/^the address /) });
  });

  test("of an environment that is gone is blocked", async () => {
    const gone = await openPlan(plan({ environment_id: crypto.randomUUID() }), JOB, settings, null);
    const message = "the job's environment is not there";
    expect(await prepareCall(gone, grant(), JOB, 0)).toEqual({ kind: "blocked", message });
    expect(await prepareCall(gone, grant({ fallback: true }), JOB, 0)).toEqual({ kind: "blocked", message });
  });

  test("a secret that belongs to another job does not open, and is not shown", async () => {
    const endpoint_signing_secret = await seal("another-job", "endpoint_signing_secret", "hush");
    await expect(openPlan(plan({ endpoint_signing_secret }), JOB, settings, null)).rejects.toThrow(/does not open/);
  });
});

describe("a message of the queue", () => {
  /** Hands one message to the handler; says what became of it, and what was left for after the handler's return. */
  async function deliver(body: unknown, own: Env): Promise<{ said: string[]; waits: Promise<unknown>[] }> {
    const said: string[] = [];
    const waits: Promise<unknown>[] = [];
    const message = { id: "m", attempts: 1, body, ack: () => said.push("ack"), retry: () => said.push("retry") };
    const ctx = { waitUntil: (p: Promise<unknown>) => waits.push(p) };
    const batch = { messages: [message] };
    await handleBatch(batch as unknown as MessageBatch, own, ctx as unknown as ExecutionContext, read);
    return { said, waits };
  }

  const production: Env = { ...env, ENVIRONMENT: "production", ALLOW_LOOPBACK_ENDPOINTS: "false" };

  test.each([null, "ring", { v: 2, job: "j", lane: 0, id: "t" }, { v: 1, job: "j", lane: 64, id: "t" }])(
    "%o is no ticket: taken off the queue, and nothing else",
    async (body) => {
      expect(await deliver(body, env)).toEqual({ said: ["ack"], waits: [] });
    },
  );

  test("a ticket of a job that nobody knows is no reason to ring again", async () => {
    const ticket: Ticket = { v: 1, job: crypto.randomUUID(), lane: 0, id: "t" };
    expect(await deliver(ticket, production)).toEqual({ said: ["ack"], waits: [] });
    // The local queue delivers one batch at a time, so there the work goes on after the handler's return.
    const local = await deliver(ticket, env);
    expect([local.said, local.waits.length]).toEqual([["ack"], 1]);
    await Promise.all(local.waits);
  });

  test("a coordinator that cannot be reached: the bell rings once more, after the silence", async () => {
    vi.useFakeTimers();
    try {
      const unreachable = {
        idFromName: () => "id",
        get: () => ({ exchange: () => Promise.reject(new Error("overloaded")) }),
      };
      const own: Env = { ...production, COORDINATOR: unreachable as unknown as Env["COORDINATOR"] };
      const delivered = deliver({ v: 1, job: "j", lane: 0, id: "t" }, own);
      await vi.advanceTimersByTimeAsync(CONSUMER_SILENCE_MS);
      expect(await delivered).toEqual({ said: ["retry"], waits: [] });
    } finally {
      vi.useRealTimers();
    }
  });
});

// ---------------------------------------------------------------------------------------------- the real coordinator

const spec = (over: Partial<JobSpec>): JobSpec => ({
  ...PLAIN_SPEC,
  name: "a job",
  slug: "a-job",
  endpoint_url: `${zoo}/ok`,
  retry_base_secs: 0,
  max_concurrency: null,
  ...over,
});

let jobs = 0;

/** A job at its own coordinator, with runs waiting. The queue delivers its tickets to this Worker's own handler as well. */
async function jobWith(over: Partial<JobSpec>, items: AcceptItem[], id: string = crypto.randomUUID()) {
  const number = 1_000 + ++jobs;
  const coordinator = coordinatorOf(env, id);
  const current = { version: 1, version_id: "ver_0000000001", spec: spec(over) };
  await coordinator.configure({ id, number, project_id: "p", revision: 1, paused: false, deleted: false, current });
  const accepted = await coordinator.accept({
    revision: 1,
    triggered_by: "bulk",
    created_by: "test",
    traceparent: null,
    items,
  });
  if (accepted.kind !== "accepted") throw new Error(accepted.kind);
  const runs = accepted.outcomes.map((o) => {
    if (o.o !== "created") throw new Error(o.o);
    return ledgerId({ at: o.at, seq: o.seq, lane: 0, job: number });
  });
  const ticket: Ticket = { v: 1, job: id, lane: 0, id: crypto.randomUUID() };
  return { coordinator, runs, ticket };
}

const items = (n: number): AcceptItem[] => Array.from({ length: n }, (_, i) => ({ payload: `{"i":${i}}` }));

interface Logged {
  path: string;
  headers: Record<string, string>;
  body: string;
  ended_at: number | null;
}

const logged = async (mark: string): Promise<Logged[]> => {
  const log = await (await fetch(`${zoo}/__log`)).json<Logged[]>();
  return log.filter((c) => c.path.includes(mark));
};

const perRun = (calls: Logged[]): Map<string, number> => {
  const counts = new Map<string, number>();
  for (const { headers } of calls)
    counts.set(headers["x-run-id"] ?? "", (counts.get(headers["x-run-id"] ?? "") ?? 0) + 1);
  return counts;
};

/** The run's status as the coordinator or, once it has forgotten the run, D1 knows it. */
async function statusOf(coordinator: CoordinatorApi, id: string): Promise<unknown> {
  const alive = await coordinator.getRun(id);
  if (alive) return alive.status;
  return (
    (await env.DB.prepare("SELECT status FROM runs WHERE project_id = 'p' AND id = ?").bind(id).first("status")) ??
    "lost"
  );
}

const settled = (coordinator: CoordinatorApi, runs: string[], status: string): Promise<void> =>
  expect
    .poll(async () => new Set(await Promise.all(runs.map((run) => statusOf(coordinator, run)))), { timeout: 15_000 })
    .toEqual(new Set([status]));

describe("a ticket, with the real coordinator", () => {
  test("every run is called until it succeeds: once, and once more where the first try failed", async () => {
    const mark = crypto.randomUUID();
    const { coordinator, runs, ticket } = await jobWith(
      { endpoint_url: `${zoo}/flaky?fail=1&mark=${mark}` },
      items(100),
    );
    // Doubled tickets: two consumers share the work and never make each other's calls.
    await Promise.all([consume(ticket, env, read), consume(ticket, env, read)]);
    await settled(coordinator, runs, "completed");
    const calls = await logged(mark);
    expect(perRun(calls)).toEqual(new Map(runs.map((r) => [r, 2])));
    expect(new Set(calls.map((c) => c.headers["x-attempt"]))).toEqual(new Set(["1", "2"]));
    expect(new Set(calls.map((c) => c.body)).size).toBe(100);
  });

  test("attempts are used up, and the last answer is what the run says", async () => {
    const mark = crypto.randomUUID();
    const { coordinator, runs, ticket } = await jobWith(
      { endpoint_url: `${zoo}/status/500?body=sorry&mark=${mark}`, max_attempts: 4 },
      items(1),
    );
    await consume(ticket, env, read);
    await settled(coordinator, runs, "failed");
    expect(await logged(mark)).toHaveLength(4);
  });

  test("the fallback is asked in the same attempt", async () => {
    const mark = crypto.randomUUID();
    const { coordinator, runs, ticket } = await jobWith(
      {
        endpoint_url: `${zoo}/status/503?mark=${mark}`,
        fallback_endpoint_url: `${zoo}/ok?mark=${mark}`,
      },
      items(3),
    );
    await consume(ticket, env, read);
    await settled(coordinator, runs, "completed");
    const calls = await logged(mark);
    expect(calls.map((c) => c.path.split("?")[0]).sort()).toEqual([
      "/ok",
      "/ok",
      "/ok",
      ...Array(3).fill("/status/503"),
    ]);
    expect(new Set(calls.map((c) => c.headers["x-attempt"]))).toEqual(new Set(["1"]));
  });

  test("a canceled run's call is hung up within five seconds", async () => {
    const mark = crypto.randomUUID();
    const { coordinator, runs, ticket } = await jobWith({ endpoint_url: `${zoo}/hang?mark=${mark}` }, items(1));
    const consumed = consume(ticket, env, read);
    await expect.poll(async () => (await logged(mark)).length).toBe(1);
    await expect.poll(() => statusOf(coordinator, runs[0] ?? "")).toBe("executing");
    expect(await coordinator.cancelRun(runs[0] ?? "")).toMatchObject({ kind: "canceled" });
    await expect.poll(async () => (await logged(mark))[0]?.ended_at, { timeout: 5_000 }).toEqual(expect.any(Number));
    expect(await consumed).toBe("done");
    expect(await logged(mark)).toHaveLength(1);
  });

  test("a plan that cannot be opened uses no attempt: the run waits", async () => {
    const mark = crypto.randomUUID();
    const endpoint_signing_secret = await seal("another-job", "endpoint_signing_secret", "hush");
    const { coordinator, runs, ticket } = await jobWith(
      { endpoint_url: `${zoo}/ok?mark=${mark}`, endpoint_signing_secret },
      items(2),
    );
    expect(await consume(ticket, env, read)).toBe("done");
    for (const run of runs) {
      await expect.poll(() => coordinator.getRun(run)).toMatchObject({ status: "delayed", attempt: 0 });
    }
    expect(await logged(mark)).toEqual([]);
    for (const run of runs) await coordinator.cancelRun(run);
  });

  test("answers of more than a MiB each are cut, and none is lost", async () => {
    const mark = crypto.randomUUID();
    const { coordinator, runs, ticket } = await jobWith(
      { endpoint_url: `${zoo}/big?bytes=2000000&mark=${mark}` },
      items(12),
    );
    await consume(ticket, env, read);
    await settled(coordinator, runs, "completed");
    expect(await logged(mark)).toHaveLength(12);
  });
});
