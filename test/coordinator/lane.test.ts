import fc from "fast-check";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { holdsAtTheLane, holdsInTheCopy, holdsInTheEnd } from "./laws.ts";
import { Play } from "./play.ts";
import { type Step, steps } from "./steps.ts";
import { EPOCH, env } from "./world.ts";

/** `MODEL_RUNS=300` plays long; `MODEL_SEED` and `MODEL_PATH` play one failure again. */
const { MODEL_RUNS, MODEL_SEED, MODEL_PATH } = env as unknown as Record<string, string | undefined>;
const RUNS = Number(MODEL_RUNS || 25);
const again = MODEL_SEED ? { seed: Number(MODEL_SEED), path: MODEL_PATH, endOnFailure: true } : {};

beforeAll(() => {
  vi.useFakeTimers({ toFake: ["Date"], now: EPOCH });
  // Refusals of D1 are part of the play.
  vi.spyOn(console, "error").mockImplementation(() => undefined);
});
afterAll(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
});

let jobs = 0;

async function playOut(script: Step[], width: number, boots: boolean): Promise<void> {
  vi.setSystemTime(EPOCH);
  const t0 = performance.now();
  const play = new Play(++jobs, width, boots);
  await play.begin();
  for (const step of script) {
    await play.play(step);
    const copied = await holdsAtTheLane(play);
    if (["pass", "alarm", "sweep"].includes(step.do)) await holdsInTheCopy(play, copied);
  }
  const middle = performance.now();
  await holdsInTheEnd(play);
  console.log(script.length, middle - t0, performance.now() - middle, play.now - EPOCH);
}

test.each([100, 6])("the laws hold whatever happens, at a pump width of %i", { timeout: 3_600_000 }, async (width) => {
  await fc.assert(
    fc.asyncProperty(steps, fc.boolean(), (script, boots) => playOut(script, width, boots)),
    { numRuns: RUNS, interruptAfterTimeLimit: 4 * RUNS * 1000, ...again },
  );
  expect(jobs).toBeGreaterThan(0);
});
