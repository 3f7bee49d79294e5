import { loadSign, onOutcome as onLoad, start as startAdaptive } from "../domain/adaptive-concurrency.ts";
import { breakerVerdict, onLost, onStart, onOutcome as onVerdict } from "../domain/circuit-breaker.ts";
import { heldPartitions, holdAsked, holdUntil } from "../domain/hold.ts";
import { JOB_WINDOW } from "../domain/rate-limit-names.ts";
import type { Lane } from "./lane.ts";
import type { Held } from "./lease.ts";
import type { CallReport } from "./protocol.ts";

/**
 * What an outcome says of the endpoint's strength (contract 4.9): a pause it asked for, how many calls it bears, whether it
 * works at all. None of it uses an attempt of a waiting run.
 *
 * @param inFlight calls in flight before the group of reports that this one came with.
 */
export function learn(lane: Lane, held: Held, report: CallReport, inFlight: number, now: number): void {
  const { spec } = lane;
  const { outcome } = report;
  // The consumer cannot read the configuration: granting again at once would go round and round.
  if (outcome.kind === "given_back" && outcome.delay_ms) hold(lane, held, now + outcome.delay_ms, now);
  // The fallback is another endpoint: it says nothing of this one.
  if (report.fallback) {
    vanished(lane, held);
    return;
  }
  if (spec.hold_on_retry_after) {
    const asked = holdAsked(outcome);
    if (asked !== null) hold(lane, held, holdUntil(asked, now), now);
  }
  if (spec.adaptive_concurrency !== null) {
    const rule = spec.adaptive_concurrency;
    const state = lane.state.adaptive ?? startAdaptive(rule);
    const sign = loadSign(outcome);
    lane.state.adaptive = onLoad(state, rule, { kind: sign, startedAt: held.grantedAt, now, inFlight });
  }
  if (spec.circuit_breaker !== null) {
    const verdict = breakerVerdict(outcome, lane.version(held.version).spec);
    if (verdict === null) vanished(lane, held);
    else {
      const call = { ok: verdict === "ok", startedAt: held.grantedAt, now };
      lane.state.breaker = onVerdict(lane.state.breaker, spec.circuit_breaker, call);
    }
  }
}

/** A call was granted: behind an open breaker it is the probe. */
export function probe(lane: Lane, now: number): void {
  if (lane.spec.circuit_breaker !== null) lane.state.breaker = onStart(lane.state.breaker, now);
}

/** A call ended without a word from the endpoint. If it was the probe, another may go. */
export function vanished(lane: Lane, held: Held): void {
  lane.state.breaker = onLost(lane.state.breaker, held.grantedAt);
}

function hold(lane: Lane, held: Held, until: number, now: number): void {
  const keys = held.windows.filter((window) => window !== JOB_WINDOW);
  const scopes = heldPartitions(keys) ?? [JOB_WINDOW];
  for (const scope of scopes) lane.limits.holds.extend(scope, until, now);
}
