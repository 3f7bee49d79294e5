import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { Ledger } from "../../src/coordinator/ledger.ts";
import { LEDGER_MIGRATIONS } from "../../src/coordinator/ledger-schema.ts";
import { holdsAtTheLane, holdsInTheEnd } from "./laws.ts";
import { exchanges, metered } from "./meter.ts";
import type { RefRun } from "./nouns.ts";
import { Play } from "./play.ts";
import { type ItemSeed, type Knobs, PLAIN_ITEM, type ResultKind } from "./steps.ts";
import { EPOCH } from "./world.ts";

/** Limits at the real object, where a script says more than chance finds. */

beforeAll(() => {
  vi.useFakeTimers({ toFake: ["Date"], now: EPOCH });
});
afterAll(() => {
  vi.useRealTimers();
});

let jobs = 400_000;

async function begun(knobs: Partial<Knobs>, items: Partial<ItemSeed>[], width = 16): Promise<Play> {
  vi.setSystemTime(EPOCH);
  const play = new Play(++jobs, width, false);
  await play.begin();
  await play.configure(knobs, false, false);
  await play.play({ do: "open", max: null, threshold: null, request: null });
  for (let from = 0; from < items.length; from += 500) {
    const seeds = items.slice(from, from + 500).map((item) => ({ ...PLAIN_ITEM, ...item }));
    await play.play({ do: "chunk", which: 0, items: seeds, kind: "next" });
  }
  return play;
}

const exchange = (play: Play, want: number, results: ResultKind[] = [], leaving = false): Promise<void> =>
  play.play({ do: "exchange", slot: 0, want, results, begin: 16, leaving, lost: false });

test("a probe that is given back with its consumer's leave lets another go", async () => {
  const circuit_breaker = { failures: 1, window_secs: 10, open_secs: 3 };
  const play = await begun({ circuit_breaker }, [{}, {}, {}]);
  await exchange(play, 1);
  await exchange(play, 0, ["broken"]);
  await play.play({ do: "pass", ms: 3_000 });
  await exchange(play, 1);
  await exchange(play, 0, [], true);
  await holdsAtTheLane(play);
  await exchange(play, 1);
  expect(play.reference.held().length).toBe(1);
  await holdsInTheEnd(play);
});

const limit = (max: number, window_secs = 3_600) => ({
  max_concurrency: 16,
  rate_limit_keys: [{ name: "vendor", max, window_secs }],
});
const items = (n: number, of: (i: number) => Partial<ItemSeed>): Partial<ItemSeed>[] =>
  Array.from({ length: n }, (_, i) => of(i));

test.each<[string, (i: number) => Partial<ItemSeed>]>([
  ["runs of one line", () => ({})],
  ["lines that wait for one window", (i) => ({ key: `k${i}` })],
  ["partitions that each wait for their own", (i) => ({ limits: [`vendor:p${i % 2_000}`] })],
])("a raised limit is used by the next exchange, which reads no backlog: %s", async (_, of) => {
  const cost = async (n: number): Promise<number> => {
    const play = await begun(limit(1), items(n, of));
    // Each window has its one start: what is left waits.
    await exchanges(play, 1_000);
    const meter = await metered(play);
    await play.configure(limit(1_000), false, false);
    expect(await exchanges(play, 2)).toBe(16);
    return meter.read;
  };
  const few = await cost(2_400);
  // 3,600 more wait; a page of those that go may be another.
  expect(await cost(6_000)).toBeLessThanOrEqual(few + 100);
});

test("partitions whose starts are over leave memory", async () => {
  const play = await begun(
    limit(5, 4),
    items(3_000, (i) => ({ limits: [`vendor:p${i}`] })),
  );
  const windows = (): Promise<number> =>
    play.world.inside((instance) => {
      const { lane } = instance as unknown as { lane: { limits: { windows: Map<string, unknown> } } };
      return lane.limits.windows.size;
    });
  expect(await exchanges(play, 400)).toBe(3_000);
  expect(await windows()).toBe(3_000);
  play.world.setTime(play.now + 6_000);
  const more = items(2_000, (i) => ({ ...PLAIN_ITEM, limits: [`vendor:q${i}`] }) as ItemSeed);
  for (let from = 0; from < more.length; from += 500) {
    const seeds = more.slice(from, from + 500) as ItemSeed[];
    await play.play({ do: "chunk", which: 0, items: seeds, kind: "next" });
  }
  expect(await exchanges(play, 400)).toBe(2_000);
  expect(await windows()).toBeLessThan(2_500);
});

test("a thousand held partitions cost the lane's row nothing, outlive the object, and leave once others come", async () => {
  const knobs = { ...limit(1_000), hold_on_retry_after: true, retry_base_secs: 600 };
  const play = await begun(
    knobs,
    items(1_000, (i) => ({ limits: [`vendor:p${i}`] })),
  );
  const before = (await play.world.laneText()).length;
  for (let i = 0; i < 1_000; i += 16) {
    await exchange(play, 16);
    await exchange(
      play,
      0,
      Array.from({ length: 16 }, () => "throttled"),
    );
  }
  expect((await play.world.laneText()).length).toBeLessThan(before + 200);
  expect(await play.world.rowsOf("holds")).toBe(1_000);
  await play.play({ do: "restart", crash: true });
  const again = { ...PLAIN_ITEM, limits: ["vendor:p7"] };
  await play.play({ do: "single", items: [again], revision: 0 });
  await holdsAtTheLane(play);
  expect(play.reference.reason(play.reference.runs[1_000] as RefRun, play.now).waitingFor).toBe("hold");
  await play.play({ do: "pass", ms: 3_000 });
  await exchange(play, 1);
  await exchange(play, 0, ["throttled"]);
  expect(await play.world.rowsOf("holds")).toBeLessThan(960);
});

test.each<[string, Partial<ItemSeed>]>([
  ["the whole job", { limits: [] }],
  ["a partition", { limits: ["vendor:p"] }],
])("what was held goes at once when the job heeds Retry-After no more: %s", async (_, item) => {
  const knobs = { ...limit(1_000), hold_on_retry_after: true, retry_base_secs: 600 };
  const play = await begun(knobs, [item, item, item]);
  await exchange(play, 1);
  await exchange(play, 2, ["throttled"]);
  expect(play.reference.held()).toEqual([]);
  await holdsAtTheLane(play);
  await play.configure({ hold_on_retry_after: false }, false, false);
  await holdsAtTheLane(play);
  expect(await play.world.rowsOf("holds")).toBe(0);
  await exchange(play, 2);
  expect(play.reference.held().length).toBe(2);
});

test("holds that stood in the lane's row of an earlier release are kept", async () => {
  const before = LEDGER_MIGRATIONS.findIndex(({ name }) => name === "0009_holds");
  const play = new Play(++jobs, 16, false);
  const rows = await play.world.inside((_instance, state) => {
    const ledger = new Ledger(state.storage.sql);
    ledger.migrate(before);
    ledger.saveLane(JSON.stringify({ nextSeq: 7, holds: { ":job": EPOCH + 5, 'vendor:p"q': EPOCH } }));
    ledger.migrate();
    return { holds: ledger.all("SELECT * FROM holds ORDER BY until"), lane: ledger.loadLane() };
  });
  expect(rows).toEqual({
    holds: [
      { scope: 'vendor:p"q', until: EPOCH },
      { scope: ":job", until: EPOCH + 5 },
    ],
    lane: '{"nextSeq":7}',
  });
});
