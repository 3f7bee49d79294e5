import type { RefBatch, RefRun } from "./nouns.ts";

const oldestOf = (runs: RefRun[]): RefRun => runs.reduce((a, b) => (b.seq < a.seq ? b : a));

/** The room in a batch with a limit of its own may be promised to another line, so its runs may be overtaken. */
export const isContended = (run: RefRun): boolean => run.batch !== null && run.batch.max !== null;

/** A line serves the flow (here: the batch) whose first run is oldest, and in it the returned runs first. */
export function firstOfLine(line: RefRun[]): RefRun[] {
  const flows = new Map<RefBatch | null, RefRun[]>();
  for (const run of line) flows.set(run.batch, [...(flows.get(run.batch) ?? []), run]);
  const sorted = [...flows.values()].sort((a, b) => oldestOf(a).seq - oldestOf(b).seq);
  const firsts: RefRun[] = [];
  for (const flow of sorted) {
    const heads = flow.filter((run) => run.head);
    const first = oldestOf(heads.length > 0 ? heads : flow);
    firsts.push(first);
    if (!isContended(first)) break;
  }
  return firsts;
}
