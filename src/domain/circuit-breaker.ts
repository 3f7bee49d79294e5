import type { CallOutcome } from "./call.ts";
import { assertNever } from "./error.ts";
import type { JobSpec } from "./job.ts";
import { isSuccess, type StatusRules } from "./status-pattern.ts";

/**
 * The circuit breaker (contract 4.9; the pattern is Nygard's, "Release It!", chapter 5): after `failures` in a row within
 * `window_secs` nothing starts for `open_secs`, then one call goes as a probe. Its success closes the breaker, its failure
 * opens it again. Times are Unix ms of a clock that never runs backwards; `startedAt` is when a call was granted.
 */
export type BreakerRule = NonNullable<JobSpec["circuit_breaker"]>;

export type BreakerState =
  /** `failures`: when the last failures in a row ended, ascending. Calls granted before `since` say nothing. */
  | { kind: "closed"; failures: readonly number[]; since: number }
  /** Nothing starts before `until`. */
  | { kind: "open"; until: number }
  /** `probing`: the probe is in flight. Calls granted before `since` are stragglers from before. */
  | { kind: "half_open"; probing: boolean; since: number };

export const BREAKER_CLOSED: BreakerState = { kind: "closed", failures: [], since: 0 };

/**
 * What an outcome says of the endpoint: a server error, 429, a timeout or a lost connection is a failure; any other answer
 * shows that it works, and so does one that the job calls a success. Null: it was not asked, or not to the end.
 */
export function breakerVerdict(outcome: CallOutcome, rules: StatusRules): "ok" | "failure" | null {
  switch (outcome.kind) {
    case "response": {
      const status = outcome.http_status;
      return (status >= 500 || status === 429) && !isSuccess(rules, status) ? "failure" : "ok";
    }
    case "timeout":
    case "connection":
      return "failure";
    case "blocked":
    case "aborted":
    case "given_back":
      return null;
    default:
      return assertNever(outcome);
  }
}

/** From when on a call may start, not before `now`; null: not before the probe has ended. */
export function earliestStart(state: BreakerState, now: number): number | null {
  if (state.kind === "open") return Math.max(state.until, now);
  return state.kind === "half_open" && state.probing ? null : now;
}

/** A call was granted at `now`, which `earliestStart` allowed. Behind an open breaker it is the probe. */
export function onStart(state: BreakerState, now: number): BreakerState {
  return state.kind === "closed" ? state : { kind: "half_open", probing: true, since: now };
}

/** A call that was granted at `startedAt` ended at `now`. */
export function onOutcome(
  state: BreakerState,
  rule: BreakerRule,
  { ok, startedAt, now }: { ok: boolean; startedAt: number; now: number },
): BreakerState {
  // What was in flight when it opened ends later, and neither closes it nor keeps it open.
  if (state.kind === "open" || startedAt < state.since) return state;
  if (state.kind === "half_open") return ok ? { kind: "closed", failures: [], since: state.since } : opened(rule, now);
  if (ok) return state.failures.length === 0 ? state : { ...state, failures: [] };
  const recent = state.failures.filter((at) => at > now - rule.window_secs * 1000);
  return recent.length + 1 >= rule.failures ? opened(rule, now) : { ...state, failures: [...recent, now] };
}

/** A call vanished with its consumer, was given back or aborted. If it was the probe, another may go. */
export function onLost(state: BreakerState, startedAt: number): BreakerState {
  return state.kind === "half_open" && startedAt >= state.since ? { ...state, probing: false } : state;
}

const opened = (rule: BreakerRule, now: number): BreakerState => ({ kind: "open", until: now + rule.open_secs * 1000 });
