import fc from "fast-check";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { holdsAtTheLane, holdsInTheCopy, holdsInTheEnd } from "./laws.ts";
import { Play } from "./play.ts";
import { type Step, steps } from "./steps.ts";
import { EPOCH, env } from "./world.ts";

/**
 * `MODEL_RUNS=300` plays long. `MODEL_SEED` and `MODEL_PATH`, as a failure names them, play that one again, and with
 * `MODEL_SHRINK=1` look for the shortest of its kind, which takes minutes.
 */
const { MODEL_RUNS, MODEL_SEED, MODEL_PATH, MODEL_SHRINK } = env as unknown as Record<string, string | undefined>;
const RUNS = Number(MODEL_RUNS || 25);
const again = { ...(MODEL_SEED ? { seed: Number(MODEL_SEED), path: MODEL_PATH } : {}), endOnFailure: !MODEL_SHRINK };

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
  const play = new Play(++jobs, width, boots);
  await play.begin();
  for (const [i, step] of script.entries()) {
    try {
      await play.play(step);
      const copied = await holdsAtTheLane(play);
      if (["pass", "alarm", "sweep"].includes(step.do)) await holdsInTheCopy(play, copied);
    } catch (error) {
      throw new Error(`step ${i}, ${JSON.stringify(step)}: ${error instanceof Error ? error.message : error}`, {
        cause: error,
      });
    }
  }
  await holdsInTheEnd(play);
}

test.each([100, 6])("the laws hold whatever happens, at a pump width of %i", { timeout: 3_600_000 }, async (width) => {
  await fc.assert(
    fc.asyncProperty(steps, fc.boolean(), (script, boots) => playOut(script, width, boots)),
    { numRuns: RUNS, ...again },
  );
  expect(jobs).toBeGreaterThan(0);
});
