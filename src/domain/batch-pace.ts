import type { Counts } from "./batch.ts";

/** How fast a batch goes, and when it will be done if it goes on like this. */

/** What is known of a batch at one instant. Times in Unix milliseconds. */
export interface PaceFacts {
  counts: Counts;
  created: number;
  startedAt: number | null;
  finishedAt: number | null;
  /** Paused, or being canceled: nothing more starts. */
  isHeld: boolean;
}

export interface Pace {
  /** Runs ended by their calls, a second, since the first one started; to a tenth. Null before one has ended. */
  throughput_per_sec: number | null;
  /** Unix milliseconds. Null where nothing is left, or where nothing can be said. */
  eta_at: number | null;
}

/** The last instant that RFC 3339 can write. */
const LAST_INSTANT = Date.UTC(9999, 11, 31, 23, 59, 59, 999);

/** Runs that were canceled or expired went nowhere, however many at once: they say nothing of the pace. */
const called = (c: Counts): number => c.completed + c.failed + c.timed_out + c.crashed;

export function paceOf({ counts, created, startedAt, finishedAt, isHeld }: PaceFacts, now: number): Pace {
  const elapsedMs = startedAt === null ? 0 : (finishedAt ?? now) - startedAt;
  const done = called(counts);
  if (done === 0 || elapsedMs <= 0) return { throughput_per_sec: null, eta_at: null };
  const left = created - done - counts.canceled - counts.expired;
  const etaAt = Math.round(now + (left * elapsedMs) / done);
  const isKnown = finishedAt === null && !isHeld && left > 0 && etaAt <= LAST_INSTANT;
  return { throughput_per_sec: Math.round((done * 10_000) / elapsedMs) / 10, eta_at: isKnown ? etaAt : null };
}
