import type { AdaptiveState } from "../domain/adaptive-concurrency.ts";
import { BREAKER_CLOSED, type BreakerState } from "../domain/circuit-breaker.ts";
import { type JobStats, newJobStats } from "../domain/job-stats.ts";
import { type RecentRequest, stillRecent } from "./recent-requests.ts";
import type { StatsTold } from "./stats.ts";

/** What a run that is not terminal may be. */
export type Live = "delayed" | "queued" | "dequeued" | "executing";

/** The lane's counters; one row. */
export interface LaneState {
  nextSeq: number;
  nextFlow: number;
  /** Counts commits: the projection's guard. */
  ver: number;
  /** Every run up to this number that still lives has a row in D1. */
  projectedSeq: number;
  /** The ledger's clock never runs backwards. */
  clock: number;
  /** The sweeper watches this lane. */
  busyTold: boolean;
  counts: Record<Live, number>;
  /** Of `delayed`, those that wait for their next attempt. */
  retrying: number;
  adaptive: AdaptiveState | null;
  breaker: BreakerState;
  /** The latest minute of the job's cron that was decided; 0: none. */
  cronMinute: number;
  /** Requests whose answers may have been lost on the way. */
  recent: RecentRequest[];
  stats: JobStats;
  /** What D1 was last told of them. */
  statsTold: StatsTold;
}

export const EMPTY_LANE: LaneState = {
  nextSeq: 1,
  nextFlow: 1,
  ver: 0,
  projectedSeq: 0,
  clock: 0,
  busyTold: false,
  counts: { delayed: 0, queued: 0, dequeued: 0, executing: 0 },
  retrying: 0,
  adaptive: null,
  breaker: BREAKER_CLOSED,
  cronMinute: 0,
  recent: [],
  stats: newJobStats(),
  statsTold: { at: 0, mark: "0,0,0,0,0,0" },
};

/** A closed breaker's failures are not worth a write each: an eviction may forget them. */
export function stateText(state: LaneState): string {
  const breaker = state.breaker.kind === "closed" ? { ...state.breaker, failures: [] } : state.breaker;
  return JSON.stringify({ ...state, breaker, recent: stillRecent(state.recent, state.clock) });
}
