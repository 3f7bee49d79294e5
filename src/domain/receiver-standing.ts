import { isGone, isTaken, type SendOutcome } from "./webhook.ts";

/**
 * How a receiver of webhooks stands: one that fails call after call is left alone for a while, then called once, then left
 * alone for longer. Each webhook keeps its own pauses; a rest only comes on top. All times are Unix milliseconds.
 */
export interface Standing {
  /** Calls that have failed in a row. */
  failures: number;
  /** Nothing is called before. */
  rests_until: number;
}

export const FAILURES_BEFORE_REST = 10;
const SHORTEST_REST_MS = 5_000;
const LONGEST_REST_MS = 5 * 60_000;
/** A webhook's own tries last no longer than this: what a resting receiver has not been asked to take by then is dead. */
const DAY_OF_TRIES_MS = 26 * 3_600_000;

/** What one call more says of its receiver. One that began before the present rest says nothing new. */
export function standingAfter(standing: Standing, outcome: SendOutcome, begunAt: number, now: number): Standing {
  if (isTaken(outcome)) return { failures: 0, rests_until: 0 };
  const saysNothing = outcome.kind === "impossible" || outcome.kind === "not_prepared" || isGone(outcome);
  if (saysNothing || begunAt < standing.rests_until) return standing;
  const failures = standing.failures + 1;
  if (failures < FAILURES_BEFORE_REST) return { failures, rests_until: 0 };
  const rest = Math.min(SHORTEST_REST_MS * 2 ** (failures - FAILURES_BEFORE_REST), LONGEST_REST_MS);
  return { failures, rests_until: now + rest };
}

/** Calls that may be in flight at once, of a width that is healthy: of a receiver that has failed so often only a probe. */
export function widthAt({ failures, rests_until }: Standing, width: number, now: number): number {
  if (now < rests_until) return 0;
  return failures < FAILURES_BEFORE_REST ? width : 1;
}

/** Whether a webhook whose tries began at `begunAt` has waited in vain for its receiver to recover. */
export const isGivenUp = ({ failures }: Standing, begunAt: number, now: number): boolean =>
  failures >= FAILURES_BEFORE_REST && now - begunAt > DAY_OF_TRIES_MS;
