import type { CallOutcome } from "./call.ts";
import type { JobSpec } from "./job.ts";

/**
 * How many calls at once an endpoint bears, found out by calling it: additive increase, multiplicative decrease on 429, 503
 * and timeouts, between `min` and `max` (contract 4.9). It is what TCP does (RFC 5681), with the memory of CUBIC (RFC 9438):
 *
 * - *Fast start.* Until the first overload each good call adds one, so the limit doubles in a round (the limit's worth of calls).
 * - *Decrease.* An overload multiplies the limit by 1/2 in the fast start, which may have gone twice too far, else by 3/4.
 *   Calls granted before the last decrease belong to the same congestion and decrease nothing.
 * - *Increase.* A round adds one, or an eighth of the limit where that is more.
 * - *Memory.* The limit stays below the level that broke last, and tries that level only after `PROBE_CALLS · 2^n` good calls and
 *   `PROBE_MS · 2^n`, where n probes in a row have failed. So where a probe costs one refused call, refusals stay rare. A
 *   level that bears a whole round is forgotten as broken.
 *
 * The limit rises only while it is in use: calls that never filled it say nothing of the level above.
 */
export type AdaptiveRule = NonNullable<JobSpec["adaptive_concurrency"]>;

/** Plain data. Times are Unix ms of a clock that never runs backwards. */
export interface AdaptiveState {
  /** Calls at once, with a fraction. */
  limit: number;
  fast: boolean;
  /** The level that broke last; null: none is known. */
  broke: number | null;
  /** Probes of that level that failed in a row. */
  failedProbes: number;
  /** Good calls at the present level, once it stands right below `broke`, or at it. */
  good: number;
  decreasedAt: number;
  /** Since when the level that broke is being tried; null: it is not. */
  probingSince: number | null;
}

/** One call's end. */
export interface AdaptiveOutcome {
  /** `other` says nothing of the load. */
  kind: "good" | "overload" | "other";
  /** When the call was granted. */
  startedAt: number;
  now: number;
  /** Calls in flight as it ended, itself included; for a group of results, as they were before the group. */
  inFlight: number;
}

const FAST_DECREASE = 0.5;
const DECREASE = 0.75;
const STEP_SHARE = 0.125;
/** Good calls before the first probe. */
const PROBE_CALLS = 20;
const PROBE_MS = 250;
/** The waits of `PROBE_CALLS` and `PROBE_MS` double this often: to 160 calls, to 32 s. */
const MAX_CALLS_DOUBLINGS = 3;
const MAX_MS_DOUBLINGS = 7;

export const start = (rule: AdaptiveRule): AdaptiveState => ({
  limit: rule.min,
  fast: true,
  broke: null,
  failedProbes: 0,
  good: 0,
  decreasedAt: 0,
  probingSince: null,
});

/** Calls that may be in flight now: an integer from `min` to `max`, also after the rule was changed. */
export const presentLimit = (state: AdaptiveState, rule: AdaptiveRule): number =>
  Math.floor(clamp(state.limit, rule.min, rule.max));

/** What a call's outcome says of the load. A failure of another kind says nothing, but that the endpoint answered. */
export function loadSign(outcome: CallOutcome): AdaptiveOutcome["kind"] {
  if (outcome.kind === "timeout") return "overload";
  if (outcome.kind !== "response") return "other";
  if (outcome.http_status === 429 || outcome.http_status === 503) return "overload";
  return outcome.http_status < 500 ? "good" : "other";
}

export function onOutcome(state: AdaptiveState, rule: AdaptiveRule, outcome: AdaptiveOutcome): AdaptiveState {
  if (outcome.kind === "other") return state;
  const current = { ...state, limit: clamp(state.limit, rule.min, rule.max) };
  return outcome.kind === "overload" ? onOverload(current, rule, outcome) : onGood(current, rule, outcome);
}

function onOverload(state: AdaptiveState, rule: AdaptiveRule, { startedAt, now }: AdaptiveOutcome): AdaptiveState {
  if (startedAt <= state.decreasedAt) return state;
  const level = Math.floor(state.limit);
  return {
    limit: Math.max(rule.min, level * (state.fast ? FAST_DECREASE : DECREASE)),
    fast: false,
    broke: level,
    failedProbes: state.broke !== null && level >= state.broke ? state.failedProbes + 1 : 0,
    good: 0,
    decreasedAt: now,
    probingSince: null,
  };
}

function onGood(state: AdaptiveState, rule: AdaptiveRule, outcome: AdaptiveOutcome): AdaptiveState {
  const { limit, broke } = state;
  if (state.fast) {
    // A group of results may double the limit, not more: that is as far as they were tried.
    return outcome.inFlight * 2 > limit ? raised(state, rule, 1) : state;
  }
  if (outcome.inFlight < Math.floor(limit)) return state;
  const step = Math.max(1, limit * STEP_SHARE) / limit;
  if (broke === null) return raised(state, rule, step);
  if (state.probingSince !== null) return onProbed(state, state.probingSince, outcome);
  const below = Math.max(rule.min, broke - 1);
  if (limit + step < below) return raised(state, rule, step);
  return onPlateau({ ...state, limit: Math.max(limit, below), good: state.good + 1 }, broke, outcome.now);
}

/** Right below the level that broke. */
function onPlateau(state: AdaptiveState, broke: number, now: number): AdaptiveState {
  const calls = PROBE_CALLS * 2 ** Math.min(state.failedProbes, MAX_CALLS_DOUBLINGS);
  const waitMs = PROBE_MS * 2 ** Math.min(state.failedProbes, MAX_MS_DOUBLINGS);
  if (state.good < calls || now < state.decreasedAt + waitMs) return state;
  return { ...state, limit: Math.max(state.limit, broke), good: 0, probingSince: now };
}

/** The level that broke is being tried: a round of calls that began since then clears it. */
function onProbed(state: AdaptiveState, since: number, { startedAt }: AdaptiveOutcome): AdaptiveState {
  if (startedAt < since) return state;
  if (state.good + 1 < state.limit) return { ...state, good: state.good + 1 };
  return { ...state, broke: null, failedProbes: 0, good: 0, probingSince: null };
}

const raised = (state: AdaptiveState, rule: AdaptiveRule, step: number): AdaptiveState => ({
  ...state,
  limit: Math.min(rule.max, state.limit + step),
});

const clamp = (value: number, min: number, max: number): number => Math.min(Math.max(value, min), max);
