import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { receiversDue } from "../../src/store/webhook-queue.ts";
import { JOB_HOOK, Play } from "./play.ts";
import { PLAIN_ITEM, type Step } from "./steps.ts";
import { EPOCH, env } from "./world.ts";

/** That each end is announced once, whatever the path to it and whatever D1 does, is a law of the model: see laws.ts. */

beforeAll(() => {
  vi.useFakeTimers({ toFake: ["Date"], now: EPOCH });
});
afterAll(() => {
  vi.useRealTimers();
});

let jobs = 300_000;

async function waitingRuns(n: number): Promise<Play> {
  vi.setSystemTime(EPOCH);
  const play = new Play(++jobs, 16, false);
  await play.begin();
  await play.play({ do: "single", items: Array.from({ length: n }, () => PLAIN_ITEM), revision: 0 });
  return play;
}

const cancelOne: Step = { do: "cancel_runs", which: [0] };

test("a job without a webhook pays nothing: neither in its outbox nor in D1", async () => {
  const play = await waitingRuns(1);
  await play.world.stub.configure({
    ...play.config,
    revision: play.config.revision + 1,
    current: { ...play.config.current, spec: { ...play.config.current.spec, webhook_url: null } },
  });
  await play.play(cancelOne);
  const notes = await play.world.inside((_instance, state) =>
    state.storage.sql.exec<{ notes: string }>("SELECT notes FROM outbox").toArray(),
  );
  expect(notes.length).toBeGreaterThan(0);
  expect(notes.some((row) => row.notes.includes("notices"))).toBe(false);
  await play.play({ do: "pass", ms: 1_000 });
  expect((await play.world.copies()).map((copy) => copy.status)).toEqual(["canceled"]);
  expect(await play.deliveries()).toEqual([]);
  expect(play.world.rings).toEqual([]);
});

test("the job's newest address is told, also of runs of an older version", async () => {
  const play = await waitingRuns(1);
  const url = "https://hooks.example/newer";
  const { current } = play.config;
  await play.world.stub.configure({
    ...play.config,
    revision: play.config.revision + 1,
    current: { version: 2, version_id: "ver_2", spec: { ...current.spec, webhook_url: url, webhook_secret: "sealed" } },
  });
  await play.play(cancelOne);
  await play.play({ do: "pass", ms: 1_000 });
  expect((await play.deliveries()).map((delivery) => delivery.url)).toEqual([url]);
});

test("a doorbell that is out of order holds up nothing: what was not rung for is found in D1", async () => {
  const silenced = vi.spyOn(console, "error").mockImplementation(() => undefined);
  const play = await waitingRuns(1);
  play.world.rings.push = () => {
    throw new Error("the queue is down");
  };
  await play.play(cancelOne);
  await play.play({ do: "pass", ms: 1_000 });
  expect((await play.world.show([], [])).copied).toBe(true);
  expect(await play.deliveries()).toMatchObject([{ type: "run.canceled" }]);
  expect(silenced.mock.calls.join()).toContain("notices_not_rung");
  const { due } = await receiversDue(env.DB, { project_id: "project", url: "" }, play.now, 500);
  expect(due).toContainEqual({ project_id: "project", url: JOB_HOOK });
  silenced.mockRestore();
});

test("a deleted job's runs are told of as they are canceled", async () => {
  const play = await waitingRuns(3);
  await play.world.stub.configure({ ...play.config, revision: play.config.revision + 1, deleted: true });
  await vi.waitFor(async () => {
    vi.setSystemTime(play.now + 1_000);
    await play.world.fireDue();
    expect((await play.deliveries()).map(({ type, url }) => [type, url])).toEqual(
      Array.from({ length: 3 }, () => ["run.canceled", JOB_HOOK]),
    );
  });
  expect(play.world.rings).toEqual([{ v: 1, project_id: "project", url: JOB_HOOK }]);
});
