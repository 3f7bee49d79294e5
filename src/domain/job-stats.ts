import { emptyHistogram, type Histogram } from "./histogram.ts";
import type { TerminalStatus } from "./run.ts";

/** Upper bounds in seconds. From when a run might first go to when its first call began. */
export const WAIT_BOUNDS = [0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 1_800, 3_600, 21_600, 86_400] as const;
/** Upper bounds in seconds, of one attempt; a call has at most 780 s. */
export const DURATION_BOUNDS = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 780] as const;

/** What a job has done since it was made. Counts only grow. */
export interface JobStats {
  /** Calls begun, retries and fallbacks included. */
  started: number;
  finished: Record<TerminalStatus, number>;
  wait: Histogram;
  duration: Histogram;
}

export const newJobStats = (): JobStats => ({
  started: 0,
  finished: { completed: 0, failed: 0, timed_out: 0, crashed: 0, canceled: 0, expired: 0 },
  wait: emptyHistogram(WAIT_BOUNDS),
  duration: emptyHistogram(DURATION_BOUNDS),
});
