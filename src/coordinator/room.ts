import { isHeld } from "./batch.ts";
import type { Flow } from "./flow.ts";
import type { Lane } from "./lane.ts";
import type { Blocker } from "./scheduler.ts";

const BATCH = "batch:";

/** How many calls of a batch its own limit lets begin now. */
export function batchRoom(lane: Lane, seq: number | null): number {
  const batch = seq === null ? undefined : lane.batches.get(seq);
  if (batch === undefined) return Number.POSITIVE_INFINITY;
  if (isHeld(batch)) return 0;
  if (batch.max_concurrency === null) return Number.POSITIVE_INFINITY;
  return batch.max_concurrency - (lane.batchHeld.get(batch.seq) ?? 0);
}

/** What holds a flow back now, beside what holds back every run of the job. */
export function blockerOf(lane: Lane, flow: Flow, now: number): Blocker | null {
  if (batchRoom(lane, flow.batch) <= 0) return BATCH + flow.batch;
  return lane.limits.blockerOf(flow, now);
}

/** How many runs may go now, as far as the permits that they need are known, up to `enough`. */
export function readyRuns(lane: Lane, enough: number, now: number): number {
  return lane.scheduler.readyCount(enough, {
    blockerOf: (flow) => blockerOf(lane, flow, now),
    of: (flow) => Math.min(batchRoom(lane, flow.batch), lane.limits.roomFor(flow, now)),
    behind: (blocker) =>
      blocker.startsWith(BATCH)
        ? batchRoom(lane, Number(blocker.slice(BATCH.length)))
        : lane.limits.roomBehind(blocker, now),
  });
}
