import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { Ledger } from "../../src/coordinator/ledger.ts";
import { LEDGER_MIGRATIONS } from "../../src/coordinator/ledger-schema.ts";
import { holdsAtTheLane, holdsInTheCopy, holdsInTheEnd, serve } from "./laws.ts";
import { exchanges, metered } from "./meter.ts";
import { Play } from "./play.ts";
import { type ItemSeed, PLAIN_ITEM, type ResultKind } from "./steps.ts";
import { EPOCH, World } from "./world.ts";

let logged: string[] = [];
beforeAll(() => {
  vi.useFakeTimers({ toFake: ["Date"], now: EPOCH });
  vi.spyOn(console, "error").mockImplementation((line: string) => void logged.push(line));
});
afterAll(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
});

let jobs = 100_000;
const itemsOf = (n: number, of: (i: number) => Partial<ItemSeed> = () => ({})): ItemSeed[] =>
  Array.from({ length: n }, (_, i) => ({ ...PLAIN_ITEM, ...of(i) }));

async function begun(width = 16): Promise<Play> {
  vi.setSystemTime(EPOCH);
  const play = new Play(++jobs, width, false);
  await play.begin();
  return play;
}

/** A batch whose runs end in every way, a third of them before anything is copied. */
async function work(play: Play): Promise<void> {
  await play.play({ do: "open", max: null, threshold: null, request: null });
  const which = play.reference.batches.length - 1;
  const seeds = itemsOf(60, (i) => ({
    payload: i === 7 ? "big" : `{"i":${i}}`,
    later: i % 10 === 0 ? 3 : null,
    rejected: i === 5,
    identity: i === 11 || i === 12 ? which : null,
    ttl: i % 13 === 0 ? 4 : null,
  }));
  await play.play({ do: "chunk", which, items: seeds, kind: "next" });
  for (const results of [[], ["success", "broken", "rejected"], ["timeout", "success"], ["given_back"]] as const) {
    await play.play({ do: "exchange", slot: 0, want: 3, results: [...results], begin: 2, leaving: false, lost: false });
    await play.play({ do: "pass", ms: 400 });
  }
  await play.play({ do: "cancel_runs", which: [play.reference.runs.length - 1] });
}

test.each(["refused", "landed", "stray"] as const)(
  "the copy catches up after minutes of writes that were %s",
  async (mode) => {
    const play = await begun();
    await work(play);
    await play.play({ do: "d1", mode });
    for (let minute = 0; minute < 4; minute++) {
      await work(play);
      await play.play({ do: "pass", ms: 60_000 });
      await holdsAtTheLane(play);
      await holdsInTheCopy(play, false);
      if (minute === 2) await play.play({ do: "restart", crash: true });
    }
    await play.play({ do: "d1", mode: "fine" });
    // The longest pause between two tries, and a second.
    await play.play({ do: "pass", ms: 31_000 });
    const isCopied = await holdsAtTheLane(play);
    expect(isCopied).toBe(true);
    await holdsInTheCopy(play, true);
    await holdsInTheEnd(play);
  },
);

test("an outbox that lags a minute is told of at every sweep, and no more once it has caught up", async () => {
  const play = await begun();
  const alarms = async (): Promise<unknown[]> => {
    logged = [];
    await play.play({ do: "sweep" });
    return logged.map((line) => JSON.parse(line)).filter(({ event }) => event === "outbox_lag");
  };
  await play.play({ do: "d1", mode: "refused" });
  await work(play);
  await play.play({ do: "pass", ms: 50_000 });
  expect(await alarms()).toEqual([]);
  await play.play({ do: "pass", ms: 60_000 });
  const line = { level: "error", event: "outbox_lag", lane: expect.any(String), seconds: expect.any(Number) };
  const [first] = (await alarms()) as { seconds: number }[];
  expect(first).toEqual(line);
  await play.play({ do: "pass", ms: 60_000 });
  expect(await alarms()).toMatchObject([{ seconds: (first?.seconds ?? 0) + 60 }]);
  await play.play({ do: "d1", mode: "fine" });
  await play.play({ do: "pass", ms: 31_000 });
  expect(await alarms()).toEqual([]);
});

test("a fallback that its batch's end forestalls is not waited for", async () => {
  const play = await begun();
  await play.configure({ fallback_endpoint_url: "https://fallback.example/" }, false, false);
  await play.play({ do: "open", max: null, threshold: null, request: null });
  await play.play({ do: "chunk", which: 0, items: itemsOf(2), kind: "next" });
  const exchange = (results: ResultKind[]): Promise<void> =>
    play.play({ do: "exchange", slot: 0, want: 2, results, begin: 2, leaving: false, lost: false });
  await exchange([]);
  await play.play({ do: "cancel_batch", which: 0 });
  await exchange(["broken", "success"]);
  expect(play.reference.runs.map((run) => run.status)).toEqual(["canceled", "completed"]);
  await holdsAtTheLane(play);
  await holdsInTheEnd(play);
});

test("a write that arrives after a newer one changes nothing", async () => {
  const play = await begun();
  const exchange = (results: ResultKind[]): Promise<void> =>
    play.play({ do: "exchange", slot: 0, want: 3, results, begin: 3, leaving: false, lost: false });
  await play.play({ do: "d1", mode: "stray" });
  await play.play({ do: "open", max: null, threshold: null, request: null });
  await play.play({ do: "chunk", which: 0, items: itemsOf(3), kind: "next" });
  await play.play({ do: "pass", ms: 1_000 });
  await exchange([]);
  await exchange(["success", "success", "success"]);
  await play.play({ do: "seal", which: 0, expect: "right" });
  await play.play({ do: "d1", mode: "fine" });
  await play.play({ do: "pass", ms: 31_000 });
  expect((await play.world.copies()).map((copy) => copy.status)).toEqual(["completed", "completed", "completed"]);
  expect((await play.world.batchCopies()).map((batch) => batch.status)).toEqual(["succeeded"]);
  await holdsInTheEnd(play);
});

test("an identity counts until its window ends, and not at its end", async () => {
  const play = await begun();
  await play.configure({ dedup_window_secs: 10 }, false, false);
  const item = itemsOf(1, () => ({ identity: 1 }));
  const created: number[] = [];
  for (const ms of [0, 9_999, 1]) {
    await play.play({ do: "jump", ms });
    await play.play({ do: "single", items: item, revision: 0 });
    created.push(play.reference.runs.length);
  }
  expect(created).toEqual([1, 1, 2]);
  await holdsInTheEnd(play);
});

test("what changes while its first copy is under way is copied too", async () => {
  const play = await begun();
  const exchange = (begin: number): Promise<void> =>
    play.play({ do: "exchange", slot: 0, want: 3, results: [], begin, leaving: false, lost: false });
  await play.play({ do: "d1", mode: "slow" });
  await play.play({ do: "single", items: itemsOf(3), revision: 0 });
  await play.play({ do: "jump", ms: 1_000 });
  await play.play({ do: "alarm" });
  await exchange(0);
  await exchange(2);
  await play.play({ do: "d1", mode: "fine" });
  await play.play({ do: "pass", ms: 2_000 });
  expect(await holdsAtTheLane(play)).toBe(true);
  await holdsInTheCopy(play, true);
  expect((await play.world.copies()).map((copy) => copy.status)).toEqual(["executing", "executing", "queued"]);
  await holdsInTheEnd(play);
});

const isOverloaded = async (play: Play): Promise<boolean> => {
  const { stub } = play.world;
  const revision = play.reference.config?.revision ?? 0;
  const origin = { triggered_by: "api" as const, created_by: "tester", traceparent: null };
  const answer = await stub.accept({ ...origin, revision, items: [{ payload: "{}" }], dry_run: true });
  return answer.kind === "overloaded";
};

test("a copy that is a quarter of an hour behind refuses new work, and lets old work go on", async () => {
  const play = await begun();
  await play.play({ do: "single", items: itemsOf(2), revision: 0 });
  await play.play({ do: "d1", mode: "refused" });
  await play.play({ do: "pass", ms: 14 * 60_000 });
  expect(await isOverloaded(play)).toBe(false);
  await play.play({ do: "pass", ms: 2 * 60_000 });
  expect(await isOverloaded(play)).toBe(true);
  await play.play({ do: "exchange", slot: 0, want: 2, results: [], begin: 0, leaving: false, lost: false });
  expect(play.consumers.slots[0]?.calls.size).toBe(2);
  await play.play({ do: "d1", mode: "fine" });
  await play.play({ do: "pass", ms: 31_000 });
  expect(await isOverloaded(play)).toBe(false);
  await holdsInTheEnd(play);
});

test("a copy that is a million rows behind refuses new work", async () => {
  const play = await begun();
  await play.play({ do: "d1", mode: "refused" });
  await play.play({ do: "single", items: itemsOf(1), revision: 0 });
  await play.play({ do: "pass", ms: 2_000 });
  expect(await isOverloaded(play)).toBe(false);
  const behind = (rows: number) =>
    play.world.inside((instance) => {
      const { lane } = instance as unknown as { lane: { outboxRows: number } };
      lane.outboxRows += rows;
    });
  await behind(1_000_000);
  expect(await isOverloaded(play)).toBe(true);
  await behind(-1_000_000);
  await holdsInTheEnd(play);
});

test("as many lines as memory bears refuse new work, and let old work go on", async () => {
  const play = await begun();
  const seeds = (from: number) => itemsOf(5, (i) => ({ key: `k${from + i}` }));
  await play.world.inside((instance) => {
    const { lane } = instance as unknown as { lane: { settings: { maxFlows: number } } };
    lane.settings.maxFlows = 10;
  });
  await play.play({ do: "single", items: seeds(0), revision: 0 });
  expect(await isOverloaded(play)).toBe(false);
  await play.play({ do: "single", items: seeds(5), revision: 0 });
  expect(await isOverloaded(play)).toBe(true);
  await play.play({ do: "exchange", slot: 0, want: 3, results: [], begin: 0, leaving: false, lost: false });
  expect(play.consumers.slots[0]?.calls.size).toBe(3);
  expect(await isOverloaded(play)).toBe(false);
  await holdsInTheEnd(play);
});

test("an alarm that was lost is set again when the sweeper asks", async () => {
  const play = await begun();
  await play.play({ do: "single", items: itemsOf(1, () => ({ later: 5 })), revision: 0 });
  await play.play({ do: "pass", ms: 1_000 });
  await play.world.inside((_instance, state) => state.storage.deleteAlarm());
  expect(await play.world.stub.sweep(null)).toEqual({ idle: false });
  expect(await play.world.alarm()).toBe(EPOCH + 5_000);
  await holdsInTheEnd(play);
  expect(await play.world.stub.sweep(null)).toEqual({ idle: true });
});

// ---------------------------------------------------------------------------------------------- migrations

const tablesOf = (state: DurableObjectState): Record<string, SqlStorageValue>[] =>
  state.storage.sql
    .exec("SELECT name, sql FROM sqlite_master WHERE name NOT LIKE '\\_cf%' ESCAPE '\\' ORDER BY name")
    .toArray();

test("a ledger of any earlier release becomes the present one, and works", async () => {
  const fresh = await begun();
  const present = await fresh.world.inside((_instance, state) => tablesOf(state));
  expect(new Set(LEDGER_MIGRATIONS.map((step) => step.name)).size).toBe(LEDGER_MIGRATIONS.length);
  for (let released = 0; released <= LEDGER_MIGRATIONS.length; released++) {
    vi.setSystemTime(EPOCH);
    const play = new Play(++jobs, 16, false);
    await play.world.inside((_instance, state) => new Ledger(state.storage.sql).migrate(released));
    await play.begin();
    expect(await play.world.inside((_instance, state) => tablesOf(state))).toEqual(present);
    await work(play);
    await holdsInTheEnd(play);
  }
});

test("reading a job that was never heard of makes no tables", async () => {
  const world = new World("job-unknown", 6, null);
  await world.begin();
  expect(await world.stub.getRun("0190a0a0-0000-7000-8000-000000000000")).toBe(null);
  expect(await world.stub.getBatch("0190a0a0-0000-7000-8000-000000000000")).toBe(null);
  expect(await world.stub.sweep(null)).toEqual({ idle: true });
  expect(await world.inside((_instance, state) => tablesOf(state))).toEqual([]);
});

// ---------------------------------------------------------------------------------------------- cost

async function filled(n: number, max: number | null, of: (i: number) => Partial<ItemSeed> = () => ({})): Promise<Play> {
  const play = await begun();
  await play.configure({ max_concurrency: 16 }, false, false);
  await play.play({ do: "open", max, threshold: null, request: null });
  for (let from = 0; from < n; from += 500) {
    const items = itemsOf(Math.min(500, n - from), (i) => of(from + i));
    await play.play({ do: "chunk", which: 0, items, kind: "next" });
  }
  return play;
}

test("a run of a keyless batch costs at most three rows", async () => {
  const play = await begun();
  await play.configure({ max_concurrency: 16 }, false, false);
  const meter = await metered(play);
  await play.play({ do: "open", max: null, threshold: null, request: null });
  for (let i = 0; i < 2; i++) await play.play({ do: "chunk", which: 0, items: itemsOf(500), kind: "next" });
  await play.play({ do: "seal", which: 0, expect: "right" });
  while (play.world.tickets.length > 0) await serve(play);
  await holdsInTheEnd(play);
  expect(play.reference.runs.length).toBe(1_000);
  expect(meter.written / 1_000).toBeLessThanOrEqual(3);
});

test("an exchange reads no more rows from a backlog of 20,000 than from one of 1,000", async () => {
  const cost = async (waiting: number): Promise<number> => {
    const play = await filled(waiting, null);
    const meter = await metered(play);
    expect(await exchanges(play, 41)).toBe(640);
    return meter.read;
  };
  const small = await cost(1_000);
  expect(await cost(20_000)).toBeLessThanOrEqual(small * 1.05);
});

test("an exchange reads no more rows when 4,000 lines are blocked than when 400 are", async () => {
  const cost = async (lines: number): Promise<number> => {
    const play = await filled(lines, 2, (i) => ({ key: `k${i}` }));
    await exchanges(play, 1);
    await play.play({ do: "jump", ms: 15_000 });
    const meter = await metered(play);
    await exchanges(play, 40);
    return meter.read;
  };
  const small = await cost(400);
  expect(await cost(4_000)).toBeLessThanOrEqual(small * 1.05);
});
