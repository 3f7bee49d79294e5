import { abortAllDurableObjects } from "cloudflare:test";
import fc from "fast-check";
import { afterEach, beforeAll, describe, expect, inject, test, vi } from "vitest";
import { coordinatorOf } from "../../src/coordinator/client.ts";
import { latestMissed } from "../../src/domain/firings.ts";
import { laneName } from "../../src/domain/id.ts";
import { everyMinute } from "../../src/schedule/minute.ts";
import { evict } from "../fixtures/evict.ts";
import { type Answer, ask, bindings, newJob, newProject } from "../http/ask.ts";

/** Crons at the real coordinator (contract 4.6), with the minutes of the Cron Trigger played by hand. */

const MINUTE = 60_000;
const zoo = inject("endpointUrl");
let key: string;
beforeAll(async () => {
  key = (await newProject()).key;
});

/** Jobs are made in the present and live in the future. */
const BASE = (Math.floor(Date.now() / MINUTE) + 30) * MINUTE;
const minute = (n: number): number => BASE + n * MINUTE;
const tick = (at: number): Promise<void> => everyMinute({ scheduledTime: at } as ScheduledController, bindings);

const made: string[] = [];
const remove = (id: string): Promise<Answer> => ask("DELETE", `/v1/jobs/${id}`, { key });
afterEach(async () => {
  await Promise.all(made.splice(0).map(remove));
});

async function cronJob(fields: Record<string, unknown> = {}): Promise<Answer["body"]> {
  const job = await newJob(key, { endpoint_url: `${zoo}/ok`, cron: "* * * * *", ...fields });
  made.push(job.id);
  return job;
}
const patch = (job: { id: string }, body: unknown): Promise<Answer> =>
  ask("PATCH", `/v1/jobs/${job.id}`, { key, body });
const steer = (job: { id: string }, verb: string): Promise<Answer> =>
  ask("POST", `/v1/jobs/${job.id}/${verb}`, { key });

/** All of the job's runs, oldest first, once the copy has them. */
async function runsOf(job: { id: string }): Promise<Answer["body"][]> {
  await vi.waitFor(async () => expect((await coordinatorOf(bindings, job.id).behindSince()).since).toBeNull(), {
    timeout: 15_000,
    interval: 20,
  });
  return (await ask("GET", `/v1/jobs/${job.id}/runs?limit=200`, { key })).body.data.reverse();
}

/** The minutes that its runs were for. */
const firedOf = async (job: { id: string }): Promise<number[]> =>
  (await runsOf(job)).map((run) => Date.parse(run.payload.scheduled_at));

async function restart(job: { id: string }, how: "evict" | "abort"): Promise<void> {
  // Only what is in memory can leave it.
  await coordinatorOf(bindings, job.id).health();
  if (how === "abort") await abortAllDurableObjects();
  else await evict(bindings.COORDINATOR.get(bindings.COORDINATOR.idFromName(laneName(job.id, 0))));
}

describe("a minute", () => {
  test("fires once, whenever and however often the trigger fires, through restarts", async () => {
    const step = fc.oneof(
      { weight: 6, arbitrary: fc.record({ at: fc.nat(12), times: fc.integer({ min: 1, max: 3 }) }) },
      { weight: 2, arbitrary: fc.constantFrom("evict" as const, "abort" as const) },
    );
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom("* * * * *", "*/3 * * * *"),
        fc.array(step, { minLength: 4, maxLength: 10 }),
        async (cron, steps) => {
          const job = await cronJob({ cron });
          const since = Date.now();
          const expected: number[] = [];
          for (const taken of steps) {
            if (typeof taken === "string") await restart(job, taken);
            else {
              const at = minute(taken.at);
              await Promise.all(Array.from({ length: taken.times }, () => tick(at)));
              const latest = latestMissed(cron, "UTC", since, at);
              if (latest !== null && latest > (expected[expected.length - 1] ?? 0)) expected.push(latest);
            }
          }
          expect(await firedOf(job)).toEqual(expected);
          await remove(job.id);
        },
      ),
      { numRuns: 6 },
    );
  }, 120_000);

  test("makes a run as an item would", async () => {
    const job = await cronJob({
      default_run_metadata: { tenant: "t1" },
      tags: { team: "a" },
      concurrency_key_from: "metadata.tenant",
      max_concurrency_per_key: 1,
      payload_schema: { type: "object", required: ["scheduled_at"] },
    });
    const at = minute(0);
    await tick(at);
    const [run] = await runsOf(job);
    expect(run).toMatchObject({
      triggered_by: "cron",
      created_by: "system:cron",
      payload: { scheduled_at: new Date(at).toISOString() },
      metadata: { tenant: "t1" },
      tags: { team: "a" },
      concurrency_key: "t1",
      job_version: 1,
      batch_id: null,
      scheduled_at: null,
      replayed_run_id: null,
    });
  });

  test("that the job's own schema refuses makes none, and the next one is tried again", async () => {
    const job = await cronJob({ payload_schema: { type: "object", required: ["id"] } });
    await tick(minute(0));
    expect(await firedOf(job)).toEqual([]);
    await patch(job, { payload_schema: null });
    await tick(minute(1));
    expect(await firedOf(job)).toEqual([minute(1)]);
  });
});

describe("earlier runs that still live", () => {
  /** One start a day, and it is used: what its cron makes waits. */
  async function jobThatWaits(policy: string): Promise<Answer["body"]> {
    const job = await cronJob({
      cron_overlap_policy: policy,
      max_concurrency: 1,
      rate_limit_max: 1,
      rate_limit_window_secs: 86_400,
    });
    await ask("POST", `/v1/jobs/${job.id}/trigger`, { key, body: {} });
    await vi.waitFor(async () => expect((await coordinatorOf(bindings, job.id).health()).executing).toBe(0));
    return job;
  }
  const cronStates = async (job: { id: string }): Promise<string[]> =>
    (await runsOf(job)).filter((run) => run.triggered_by === "cron").map((run) => run.status);

  test("do not matter to allow", async () => {
    const job = await jobThatWaits("allow");
    for (const n of [0, 1, 2]) await tick(minute(n));
    expect(await cronStates(job)).toEqual(["queued", "queued", "queued"]);
  });

  test("let skip skip, after a restart too, until the last has ended", async () => {
    const job = await jobThatWaits("skip");
    await tick(minute(0));
    await restart(job, "evict");
    for (const n of [1, 1, 2]) await tick(minute(n));
    expect(await cronStates(job)).toEqual(["queued"]);
    const [, run] = await runsOf(job);
    await ask("POST", `/v1/runs/${run.id}/cancel`, { key });
    await tick(minute(3));
    expect(await cronStates(job)).toEqual(["canceled", "queued"]);
    expect((await runsOf(job))[2].payload.scheduled_at).toBe(new Date(minute(3)).toISOString());
  });

  test("are canceled by cancel_running, whoever made more of them before", async () => {
    const job = await jobThatWaits("allow");
    for (const n of [0, 1, 2]) await tick(minute(n));
    await patch(job, { cron_overlap_policy: "cancel_running" });
    await restart(job, "abort");
    await tick(minute(3));
    await tick(minute(3));
    expect(await cronStates(job)).toEqual(["canceled", "canceled", "canceled", "queued"]);
    const [triggered] = await runsOf(job);
    expect(triggered.status).not.toBe("canceled");
  });

  test("are canceled while their call is in flight", async () => {
    const job = await cronJob({ endpoint_url: `${zoo}/hang`, cron_overlap_policy: "cancel_running" });
    await tick(minute(0));
    await vi.waitFor(async () => expect((await coordinatorOf(bindings, job.id).health()).executing).toBe(1), 15_000);
    await tick(minute(1));
    const [first, second, ...more] = await runsOf(job);
    expect(more).toEqual([]);
    expect(first.status).toBe("canceled");
    expect(second.status).not.toBe("canceled");
    await ask("DELETE", `/v1/runs/${second.id}`, { key });
  });
});

describe("of the minutes that were missed the latest runs", () => {
  test("after an outage", async () => {
    const job = await cronJob({ cron: "*/2 * * * *" });
    await tick(minute(61));
    await tick(minute(61));
    expect(await firedOf(job)).toEqual([latestMissed("*/2 * * * *", "UTC", 0, minute(61))]);
  });

  test.each([
    ["paused", (job: { id: string }) => steer(job, "pause"), (job: { id: string }) => steer(job, "resume")],
    [
      "disabled",
      (j: { id: string }) => patch(j, { enabled: false }),
      (j: { id: string }) => patch(j, { enabled: true }),
    ],
  ])("when it was %s", async (_, hold, release) => {
    const job = await cronJob();
    await tick(minute(0));
    await hold(job);
    for (const n of [1, 2, 3]) await tick(minute(n));
    await patch(job, { description: "A change of something else" });
    expect(await firedOf(job)).toEqual([minute(0)]);
    await release(job);
    await tick(minute(5));
    await tick(minute(6));
    expect(await firedOf(job)).toEqual([minute(0), minute(5), minute(6)]);
  });

  test("when its window was closed", async () => {
    // Open in the hour after the next two.
    const opens = Math.ceil((minute(0) + 2 * 60 * MINUTE) / (60 * MINUTE)) * 60 * MINUTE;
    const hour = new Date(opens).getUTCHours();
    const job = await cronJob({ cron: "*/20 * * * *", execution_window_cron: `0 ${hour} * * *` });
    for (let at = minute(0); at < opens; at += 10 * MINUTE) await tick(at);
    expect(await firedOf(job)).toEqual([]);
    for (const n of [5, 5, 21]) await tick(opens + n * MINUTE);
    expect(await firedOf(job)).toEqual([opens, opens + 20 * MINUTE]);
    await tick(opens + 61 * MINUTE);
    expect(await firedOf(job)).toHaveLength(2);
    // A wider window lets what waits go.
    await patch(job, { execution_window_cron: null });
    await tick(opens + 61 * MINUTE);
    expect((await firedOf(job)).slice(2)).toEqual([opens + 60 * MINUTE]);
  });
});

test("a job saved before crons fired is looked at after the upgrade", async () => {
  const job = await cronJob();
  await bindings.DB.prepare("UPDATE jobs SET cron_since = NULL, next_cron_at = NULL WHERE id = ?").bind(job.id).run();
  await tick(minute(0));
  expect(await firedOf(job)).toEqual([]);
  const { TEST_MIGRATIONS } = bindings as unknown as { TEST_MIGRATIONS: { name: string; queries: string[] }[] };
  const queries = TEST_MIGRATIONS.find(({ name }) => name === "0002_cron.sql")?.queries ?? [];
  await bindings.DB.prepare(queries[queries.length - 1] ?? "").run();
  await tick(minute(1));
  expect(await firedOf(job)).toEqual([minute(1)]);
});

test("another schedule begins anew, none ends it, and a restored one counts from then on", async () => {
  const job = await cronJob({ cron: "0 0 1 1 *", timezone: "Europe/Berlin" });
  const clock = async () =>
    await bindings.DB.prepare("SELECT next_cron_at FROM jobs WHERE id = ?").bind(job.id).first<number>("next_cron_at");
  const next = async () => Date.parse((await ask("GET", `/v1/jobs/${job.id}/schedule`, { key })).body.data[0]);
  expect(await clock()).toBe(await next());
  await patch(job, { timezone: "Asia/Kolkata" });
  expect(await clock()).toBe(await next());
  expect(new Date((await clock()) ?? 0).toISOString()).toMatch(/12-31T18:30/);
  await patch(job, { cron: null });
  expect(await clock()).toBeNull();
  await ask("POST", `/v1/jobs/${job.id}/versions/1/restore`, { key });
  expect(new Date((await clock()) ?? 0).toISOString()).toMatch(/12-31T23:00/);
  await steer(job, "pause");
  expect(await clock()).toBe(await next());
  const cloned = await steer(job, "clone");
  expect((await ask("GET", `/v1/jobs/${cloned.body.id}/schedule?count=5`, { key })).body.data).toHaveLength(5);
  await remove(job.id);
  expect(await clock()).toBeNull();
});
