import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { holdsAtTheLane, holdsInTheEnd } from "./laws.ts";
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
  const seeds = items.map((item) => ({ ...PLAIN_ITEM, ...item }));
  await play.play({ do: "chunk", which: 0, items: seeds, kind: "next" });
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
