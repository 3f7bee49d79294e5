import { expect, test } from "vitest";
import { type EndpointZoo, start as startZoo } from "../fixtures/endpoint/server.ts";
import { airports, type BatchOperation, finishedBatch, sendNdjson, startSluice, until } from "./harness.ts";

const ITEMS = 5_000;
const CONCURRENCY = 50;
const AGAIN_WITHIN_MS = 3_000;

/** Calls by run: when each began. */
function callsByRun(zoo: EndpointZoo): Map<string, number[]> {
  const calls = new Map<string, number[]>();
  for (const call of zoo.log) {
    const run = call.headers["x-run-id"] ?? "";
    calls.set(run, [...(calls.get(run) ?? []), call.began_at]);
  }
  return calls;
}

test("5,000 real items through kill -9 of the whole group: none lost, what was in flight called again at once", async () => {
  const zoo = await startZoo();
  const before = await startSluice();
  await before.api.post("/v1/jobs", {
    name: "Airports",
    endpoint_url: `${zoo.url}/ok?ms=80`,
    max_concurrency: CONCURRENCY,
    max_attempts: 1,
    timeout_secs: 300,
  });
  const items = airports.slice(0, ITEMS).map((airport) => ({ payload: airport }));
  const accepted = await sendNdjson(before, "airports", items);
  expect(accepted).toMatchObject({ total: ITEMS, created: ITEMS, duplicates: 0, rejected: 0 });

  await until(() => zoo.stats().calls > ITEMS / 3);
  // Nothing happens at the endpoint between these two lines: what it has not answered now, nobody hears of any more.
  const inFlight = zoo.log.filter((call) => call.ended_at === null).map((call) => call.headers["x-run-id"] ?? "");
  await before.signalGroup("SIGKILL");
  await until(() => before.processes().length === 0);
  const callsBefore = zoo.stats().calls;
  expect(callsBefore).toBeLessThan(ITEMS);
  expect(inFlight.length).toBeGreaterThan(0);

  const after = await startSluice({ stateDir: before.stateDir, port: before.port });
  const batch = await finishedBatch(after, accepted.batch_id);
  expect(batch).toMatchObject<Partial<BatchOperation>>({
    item_count: ITEMS,
    created_count: ITEMS,
    status: "succeeded",
  });
  expect(batch.counts.completed).toBe(ITEMS);

  const calls = callsByRun(zoo);
  expect(calls.size).toBe(ITEMS);
  const twice = [...calls].filter(([, began]) => began.length > 1);
  expect(Math.max(...[...calls.values()].map((began) => began.length))).toBeLessThanOrEqual(2);
  expect(twice.length).toBeLessThanOrEqual(CONCURRENCY);
  for (const run of inFlight) expect(calls.get(run), `run ${run} got no answer`).toHaveLength(2);
  const lastAgain = Math.max(0, ...twice.map(([, began]) => began[1] ?? 0));
  expect(lastAgain - after.readyAt).toBeLessThanOrEqual(AGAIN_WITHIN_MS);
  console.log(
    `killed after ${callsBefore} calls with ${inFlight.length} in flight; ${twice.length} runs called twice, ` +
      `the last of them ${lastAgain - after.spawnedAt} ms after the start of npm (ready: ${after.readyAt - after.spawnedAt} ms)`,
  );
  await after.signalGroup("SIGINT");
  await zoo.stop();
});
