import { afterAll, beforeAll, expect, test, vi } from "vitest";
import type { CallOutcome, ExchangeAnswer, JobConfig } from "../../src/coordinator/protocol.ts";
import { ledgerId } from "../../src/domain/id.ts";
import { findRun } from "../../src/store/runs.ts";
import { SPEC } from "../fixtures/job-spec.ts";
import { EPOCH, env, World } from "./world.ts";

/** A run whose time to live bounds all of it: before its first call, in a call, between two calls. */

beforeAll(() => {
  vi.useFakeTimers({ toFake: ["Date"], now: EPOCH });
});
afterAll(() => {
  vi.useRealTimers();
});

const TTL_SECS = 10;
let jobs = 200_000;

async function begun() {
  vi.setSystemTime(EPOCH);
  const number = ++jobs;
  const world = new World(`019aa000-0000-7000-8000-${number.toString(16).padStart(12, "0")}`, 6, null);
  await world.begin();
  const spec = { ...SPEC, retry_base_secs: 60, max_attempts: 5 };
  const current = { version: 1, version_id: "ver_0000000001", spec };
  const config: JobConfig = {
    id: world.jobId,
    number,
    project_id: "p",
    revision: 1,
    paused: false,
    deleted: false,
    current,
  };
  await world.stub.configure(config);
  const item = { payload: "{}", ttl_secs: TTL_SECS, bounded: true as const };
  const frame = { revision: 1, triggered_by: "api" as const, created_by: "admin", traceparent: null };
  const accepted = await world.stub.accept({ ...frame, items: [item] });
  if (accepted.kind !== "accepted" || accepted.outcomes[0]?.o !== "created") throw new Error(accepted.kind);
  const { at, seq } = accepted.outcomes[0];
  const id = ledgerId({ at, seq, lane: 0, job: number });
  let sequence = 0;
  const exchange = (more: { started?: boolean; outcome?: CallOutcome; want?: number }): Promise<ExchangeAnswer> => {
    const now = Date.now();
    const report = { seq, attempt: 1, fallback: false, started_at: now, finished_at: now };
    return world.stub.exchange({
      ...{ ticket: "t", nonce: "n", sequence: ++sequence, boot: null, sent_at: now, plans: [], leaving: false },
      want: more.want ?? 0,
      results: more.outcome ? [{ ...report, outcome: more.outcome }] : [],
      started: more.started ? [{ seq, at: now }] : [],
    });
  };
  const pass = async (ms: number): Promise<void> => {
    world.setTime(Date.now() + ms);
    await world.fireNow();
  };
  const run = async () => (await world.stub.getRun(id)) ?? findRun(env, "p", id);
  return { world, exchange, pass, run };
}

const LATE = { class: "timeout", message: "not finished within 10 s" };

test("before its first call it expires", async () => {
  const { pass, run } = await begun();
  await pass(TTL_SECS * 1000 - 1);
  expect(await run()).toMatchObject({ status: "queued" });
  await pass(1);
  expect(await run()).toMatchObject({ status: "expired", error: LATE });
});

test("in a call it times out at once, and its call is aborted", async () => {
  const { exchange, pass, run } = await begun();
  expect(await exchange({ want: 1 })).toMatchObject({ calls: [{ attempt: 1 }] });
  await exchange({ started: true });
  await pass(TTL_SECS * 1000 - 1);
  expect(await run()).toMatchObject({ status: "executing" });
  await pass(1);
  expect(await run()).toMatchObject({ status: "timed_out", error: LATE, attempts: [{ number: 1, error: LATE }] });
  expect(await exchange({})).toMatchObject({ abort: [expect.any(Number)] });
});

test("between two calls it is over, and nothing of it stays behind", async () => {
  const { world, exchange, pass, run } = await begun();
  await exchange({ want: 1 });
  await exchange({
    outcome: { kind: "response", http_status: 503, result: null, truncated: false, retry_after_ms: null },
  });
  await pass(TTL_SECS * 1000 - 1);
  expect(await run()).toMatchObject({ status: "delayed", attempt: 1 });
  await pass(1);
  expect(await run()).toMatchObject({ status: "canceled", error: LATE });
  expect((await world.leftovers()).expiries).toBeUndefined();
});

test("one that ends in time is left alone", async () => {
  const { world, exchange, pass, run } = await begun();
  await exchange({ want: 1 });
  await exchange({
    outcome: { kind: "response", http_status: 200, result: "1", truncated: false, retry_after_ms: null },
  });
  expect((await world.leftovers()).expiries).toBeUndefined();
  await pass(TTL_SECS * 1000);
  expect(await run()).toMatchObject({ status: "completed" });
});
