import type { RefRun } from "./nouns.ts";

const oldestOf = (runs: RefRun[]): RefRun => runs.reduce((a, b) => (b.seq < a.seq ? b : a));

const flowOf = (run: RefRun): string => JSON.stringify([run.batch?.seq ?? null, run.limits]);

/** A line serves the flow (runs of one batch and the same limits) whose first run is oldest, and in it what came back. */
export function firstOfLine(line: RefRun[]): RefRun {
  const mine = flowOf(oldestOf(line));
  const flow = line.filter((run) => flowOf(run) === mine);
  const heads = flow.filter((run) => run.head);
  return oldestOf(heads.length > 0 ? heads : flow);
}
