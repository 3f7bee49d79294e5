import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type BatchOperation, type Sluice, startSluice, until } from "./harness.ts";
import { mostInWindow, peak, violations } from "./limits-oracle.ts";
import { dice, fateOf, itemCount, randomScenario, type Scenario } from "./limits-scenario.ts";
import { type RecordedCall, type RecordingEndpoint, startRecording } from "./recording-endpoint.ts";

/** Scenarios that nothing disturbs, and those that live through a `kill -9` of the whole process group. */
const CALM = 14;
const KILLED = 6;
/** What has not finished by then never will; what keeps it is told. */
const STALLED_AFTER_MS = 75_000;

/** Twenty jobs are asked after at once: oftener, and the asking would be most of the work. */
const ASKED_EVERY_MS = 250;

/** Runs of one job; with twenty jobs more of them at once are too many for the local proxy on two busy cores. */
const ASKED_AT_ONCE = 3;

const seed = Number(process.env.LIMITS_SEED ?? Date.now() % 1_000_000);
const random = dice(seed);
const scenarios = Array.from({ length: CALM + KILLED }, (_, i) => randomScenario(random, i, i >= CALM));

/** A Sluice and the endpoint that it calls. */
interface Stage {
  sluice: Sluice;
  endpoint: RecordingEndpoint;
}

const stages: Stage[] = [];

async function newStage(): Promise<Stage> {
  const [endpoint, sluice] = await Promise.all([startRecording(), startSluice()]);
  const stage = { endpoint, sluice };
  stages.push(stage);
  return stage;
}

beforeAll(() => console.log(`LIMITS_SEED=${seed}`));

afterAll(async () => {
  for (const { sluice, endpoint } of stages) {
    await sluice.signalGroup("SIGINT");
    await endpoint.stop();
  }
});

/** Makes the job and sends its batches at the same time. Answers their ids. */
async function send({ sluice, endpoint }: Stage, scenario: Scenario): Promise<string[]> {
  const { slug, batches, serial, fallback, ...limits } = scenario;
  const { rate_limit_keys, ...numbers } = limits;
  await sluice.api.post("/v1/jobs", {
    ...{ name: slug, slug, ...numbers, rate_limit_keys, timeout_secs: 30 },
    ...{ retry_strategy: "fixed", retry_base_secs: 0.2, retry_jitter: 0.5 },
    endpoint_url: `${endpoint.url}/${slug}`,
    fallback_endpoint_url: fallback ? `${endpoint.url}/${slug}/fallback` : null,
  });
  if (serial) await sluice.api.post(`/v1/jobs/${slug}/pause`);
  const sent = await Promise.all(
    batches.map((batch) => sluice.api.post<{ batch_id: string }>(`/v1/jobs/${slug}/trigger-bulk`, batch)),
  );
  if (serial) await sluice.api.post(`/v1/jobs/${slug}/resume`);
  return sent.map(({ batch_id }) => batch_id);
}

/** Waits for a scenario's batches and says what is wrong with them and with their calls. */
async function judge(
  { sluice, endpoint }: Stage,
  scenario: Scenario,
  batchIds: string[],
  killedAt: number | null,
): Promise<string[]> {
  const { slug } = scenario;
  const found: string[] = [];
  const deadline = Date.now() + STALLED_AFTER_MS;
  for (const [i, id] of batchIds.entries()) {
    const { counts, created_count, finished_at } = await until(async () => {
      const batch = await sluice.api.get<BatchOperation>(`/v1/batch-operations/${id}`);
      return batch.finished_at === null && Date.now() < deadline ? null : batch;
    }, ASKED_EVERY_MS);
    const fates = scenario.batches[i]?.items.map((item) => fateOf(item, scenario).status) ?? [];
    const completed = fates.filter((status) => status === "completed").length;
    const isRight = counts.completed === completed && counts.failed === fates.length - completed;
    if (isRight && created_count === fates.length && finished_at !== null) continue;
    const health = await sluice.api.get(`/v1/jobs/${slug}/health`);
    found.push(`${slug}: batch ${i}: ${JSON.stringify(counts)}, expected ${completed} of ${fates.length} completed`);
    found.push(`${slug}: ${JSON.stringify(health)}`);
  }
  const calls = await withStarts(sluice, await endpoint.calls(slug));
  console.log(account(scenario, calls));
  return [...found, ...violations(scenario, batchIds, calls, killedAt)];
}

interface AttemptsOfRun {
  attempts: { number: number; started_at: string | null }[];
}

/** Adds when Sluice says that it began the primary's call of each attempt; of a call made twice it tells of the last one. */
async function withStarts(sluice: Sluice, calls: RecordedCall[]): Promise<RecordedCall[]> {
  const last = new Map(calls.filter((call) => !call.fallback).map((call) => [`${call.run} ${call.attempt}`, call]));
  const runs = [...new Set(calls.map((call) => call.run))];
  for (let i = 0; i < runs.length; i += ASKED_AT_ONCE) {
    const page = runs.slice(i, i + ASKED_AT_ONCE);
    const told = await Promise.all(page.map((run) => sluice.api.get<AttemptsOfRun>(`/v1/runs/${run}`)));
    for (const [j, { attempts }] of told.entries()) {
      for (const { number, started_at } of attempts) {
        const call = last.get(`${page[j]} ${number}`);
        if (call !== undefined && started_at !== null) call.started = Date.parse(started_at);
      }
    }
  }
  return calls;
}

/** One line: the limits, and how far they were used. */
function account(scenario: Scenario, calls: RecordedCall[]): string {
  const { slug, max_concurrency, max_concurrency_per_key: perKey, rate_limit_max: max, batches } = scenario;
  const secs = scenario.rate_limit_window_secs ?? 0;
  const starts = calls.map((call) => call.started ?? call.began);
  const took = Math.max(...calls.map((call) => call.ended ?? 0)) - Math.min(...starts);
  const rate = max === null ? "" : `, ${mostInWindow(starts, secs * 1000)} of ${max} in ${secs} s`;
  const named = scenario.rate_limit_keys.map((l) => `${l.name} ${l.max}/${l.window_secs}s`);
  return (
    `${slug}: ${itemCount(scenario)} items, ${calls.length} calls in ${Math.round(took)} ms; ` +
    `peak ${peak(calls)} of ${max_concurrency}${rate}; per key ${perKey}; ` +
    `batches ${batches.map((batch) => batch.max_concurrency)}; ${named.join(", ")}`
  );
}

/** Both stages at the same time: most of it is waiting for windows. */
describe.concurrent("every limit holds at the endpoint, at every instant", () => {
  test(`${CALM} random jobs side by side`, async () => {
    const stage = await newStage();
    const calm = scenarios.slice(0, CALM);
    const ids = await Promise.all(calm.map((s) => send(stage, s)));
    const found = await Promise.all(calm.map((s, i) => judge(stage, s, ids[i] ?? [], null)));
    expect(found.flat()).toEqual([]);
  });

  test(`${KILLED} random jobs through kill -9 of the whole group`, async () => {
    const stage = await newStage();
    const { endpoint } = stage;
    const killed = scenarios.slice(CALM);
    const expected = killed.reduce((sum, scenario) => sum + itemCount(scenario), 0);
    const ids = await Promise.all(killed.map((s) => send(stage, s)));
    await until(async () => (await endpoint.count()).calls > expected * 0.3);
    await stage.sluice.signalGroup("SIGKILL");
    await until(() => stage.sluice.processes().length === 0);
    const killedAt = performance.timeOrigin + performance.now();
    const callsBefore = (await endpoint.count()).calls;
    stage.sluice = await startSluice({ stateDir: stage.sluice.stateDir, port: stage.sluice.port });
    console.log(`killed after ${callsBefore} calls; back after ${Math.round(Date.now() - killedAt)} ms`);
    const found = await Promise.all(killed.map((s, i) => judge(stage, s, ids[i] ?? [], killedAt)));
    expect(found.flat()).toEqual([]);
    console.log(`${(await endpoint.calls()).length - expectedCalls(killed)} calls made twice`);
  });
});

const expectedCalls = (list: Scenario[]): number =>
  list
    .flatMap((s) => s.batches.flatMap((b) => b.items.map((item) => fateOf(item, s).calls.length)))
    .reduce((a, b) => a + b, 0);

describe("the oracle sees", () => {
  const call = (fields: Partial<RecordedCall>): RecordedCall => ({
    ...{ job: "j", run: "r", attempt: 1, fallback: false, batch: "b", index: 0, began: 0, ended: 100, status: 200 },
    ...fields,
  });
  const scenario: Scenario = {
    ...{ slug: "j", serial: false, max_concurrency: 2, max_concurrency_per_key: 1, max_attempts: 2, fallback: true },
    ...{ rate_limit_max: 3, rate_limit_window_secs: 1, rate_limit_keys: [{ name: "n", max: 1, window_secs: 10 }] },
    batches: [
      {
        max_concurrency: 2,
        items: ["k", "k", "l", "m"].map((concurrency_key, i) => ({
          payload: { ms: 0, fail: 0, fallback_fails: false },
          ...{ concurrency_key, priority: 0, rate_limit_keys: i === 3 ? ["n:p"] : [] },
        })),
      },
    ],
  };
  const lawful = [0, 1, 2, 3].map((i) => call({ run: `r${i}`, index: i, began: i * 340, ended: i * 340 + 100 }));
  const seen = (calls: RecordedCall[], killedAt: number | null = null) => violations(scenario, ["b"], calls, killedAt);
  const changed = (index: number, fields: Partial<RecordedCall>) =>
    lawful.map((c) => (c.index === index ? { ...c, ...fields } : c));

  test("nothing where nothing is wrong", () => expect(seen(lawful)).toEqual([]));
  test.each<[string, RecordedCall[], RegExp]>([
    [
      "three at once",
      changed(0, { ended: 790 }).map((c) => (c.index === 2 ? { ...c, began: 350, ended: 600 } : c)),
      /3 calls at once, max_concurrency/,
    ],
    ["two of a key", changed(0, { ended: 346 }), /2 calls at once, the key k/],
    ["four arrived in a second", changed(3, { began: 840, ended: 870 }), /4 arrived in 1 s, the job/],
    ["four starts in a second", lawful.map((c, i) => ({ ...c, started: i * 333 })), /4 starts in 1 s, the job/],
    [
      "two in a partition's window",
      [...lawful, call({ run: "r3", index: 3, began: 9_000, ended: 9_001 })],
      /2 arrived in 10 s, the limit n:p/,
    ],
    ["a run that was never called", lawful.slice(1), /item 0 of batch 0 led to \[\], expected \[1\]/],
    ["a call made twice", [...lawful, call({ run: "r0", index: 0, began: 9_000, ended: 9_001 })], /led to \[1,1\]/],
  ])("%s", (_, calls, message) => expect(seen(calls).join("\n")).toMatch(message));

  test("that a call is made twice only over a kill", () => {
    const twice = [...lawful, call({ run: "r0", index: 0, began: 9_000, ended: 9_001 })];
    expect(seen(twice, 5_000)).toEqual([]);
    expect(seen(twice, 9_500)).toHaveLength(1);
  });
});
