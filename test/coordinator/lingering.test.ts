import { afterAll, beforeAll, expect, test, vi } from "vitest";
import type { ExchangeAnswer, ExchangeRequest } from "../../src/coordinator/protocol.ts";
import { holdsInTheEnd } from "./laws.ts";
import { Play } from "./play.ts";
import { type Knobs, PLAIN_ITEM } from "./steps.ts";
import { EPOCH } from "./world.ts";

/** A consumer that finds nothing may wait a moment for work, instead of a ticket's way through the queue. */

beforeAll(() => {
  vi.useFakeTimers({ toFake: ["Date"], now: EPOCH });
});
afterAll(() => {
  vi.useRealTimers();
});

let jobs = 500_000;

async function begun(knobs: Partial<Knobs> = {}): Promise<Play> {
  vi.setSystemTime(EPOCH);
  const play = new Play(++jobs, 16, false);
  await play.begin();
  await play.configure(knobs, false, false);
  return play;
}

const asking = (play: Play, nonce: string, patience_ms?: number): ExchangeRequest => ({
  ...{ ticket: `ticket-of-${nonce}`, nonce, sequence: 1, boot: null, sent_at: play.now, want: 4, plans: [] },
  ...{ results: [], started: [], leaving: false },
  ...(patience_ms === undefined ? {} : { patience_ms }),
});

const seqsOf = async (answer: Promise<ExchangeAnswer>): Promise<number[]> => {
  const granted = await answer;
  if (granted.kind !== "granted") throw new Error(granted.kind);
  return granted.calls.map((call) => call.seq);
};

test("work goes to the consumer that waits for it, and no ticket is sent", async () => {
  const play = await begun();
  const waiting = seqsOf(play.world.stub.exchange(asking(play, "patient", 60_000)));
  await play.intake.single([PLAIN_ITEM], 0);
  expect(await waiting).toEqual(play.reference.runs.map((run) => run.seq));
  expect(play.world.tickets).toEqual([]);
});

test("each run calls one of those that wait; more runs than they can take ring for more", async () => {
  const play = await begun({ max_concurrency: 40 });
  const first = seqsOf(play.world.stub.exchange(asking(play, "first", 60_000)));
  await play.play({ do: "open", max: null, threshold: null, request: null });
  const items = Array.from({ length: 40 }, () => PLAIN_ITEM);
  await play.play({ do: "chunk", which: 0, items, kind: "next" });
  expect((await first).length).toBe(4);
  expect(play.world.tickets.length).toBeGreaterThanOrEqual(2);
});

test("nothing comes: the answer is empty, and work that comes later rings", async () => {
  const play = await begun();
  expect(await seqsOf(play.world.stub.exchange(asking(play, "in-vain", 5)))).toEqual([]);
  await play.intake.single([PLAIN_ITEM], 0);
  expect(play.world.tickets.length).toBe(1);
  await holdsInTheEnd(play);
});

test("it never waits so long that a call could no longer begin in its window", async () => {
  const play = await begun({ rate_limit_max: 1, rate_limit_window_secs: 1 });
  // An hour's patience: an eighth of a second is what the window leaves of it.
  expect(await seqsOf(play.world.stub.exchange(asking(play, "cut-short", 3_600_000)))).toEqual([]);
});
