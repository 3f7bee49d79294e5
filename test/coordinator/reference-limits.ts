import type { CallReport } from "../../src/coordinator/protocol.ts";
import {
  type AdaptiveState,
  loadSign,
  onOutcome as onLoad,
  presentLimit,
  start,
} from "../../src/domain/adaptive-concurrency.ts";
import {
  BREAKER_CLOSED,
  type BreakerState,
  breakerVerdict,
  earliestStart,
  onLost,
  onStart,
  onOutcome as onVerdict,
} from "../../src/domain/circuit-breaker.ts";
import type { JobSpec } from "../../src/domain/job.ts";
import type { WaitingFor } from "../../src/domain/run.ts";
import type { RefHeld } from "./nouns.ts";

const MINUTE_MS = 60_000;
/** The window of the job's own rate. */
const JOB = ":job";

interface Rate {
  window: string;
  max: number;
  windowMs: number;
  reason: WaitingFor;
}

/** A start that windows count, until `bound` and the window's length are over. */
export interface Start {
  window: string;
  bound: number;
  isSettled: boolean;
}

export interface Reason {
  waitingFor: WaitingFor | null;
  earliest: number | null;
}

/** Rate windows, holds, breaker, adaptive limit and execution window as a list of starts and a few instants. */
export class ReferenceLimits {
  private starts: Start[] = [];
  private readonly holds = new Map<string, number>();
  private breaker: BreakerState = BREAKER_CLOSED;
  private adaptive: AdaptiveState | null = null;
  private heedsRetryAfter = false;

  /** What the endpoint said counts no more once the job does not heed it. */
  configure(spec: JobSpec): void {
    if (this.heedsRetryAfter && !spec.hold_on_retry_after) this.holds.clear();
    this.heedsRetryAfter = spec.hold_on_retry_after;
    if (spec.adaptive_concurrency === null) this.adaptive = null;
    if (spec.circuit_breaker === null) this.breaker = BREAKER_CLOSED;
  }

  /** A closed breaker's failures are forgotten with the object's memory. */
  restarted(): void {
    if (this.breaker.kind === "closed") this.breaker = { ...this.breaker, failures: [] };
  }

  // ------------------------------------------------------------------ what holds back

  private rates(spec: JobSpec, limits: string[] | null): Rate[] {
    const rates: Rate[] = [];
    const { rate_limit_max: max, rate_limit_window_secs: secs } = spec;
    if (max !== null && secs !== null) rates.push({ window: JOB, max, windowMs: secs * 1000, reason: "rate_limit" });
    for (const window of limits ?? spec.rate_limit_keys.map(({ name }) => name)) {
      const limit = spec.rate_limit_keys.find(({ name }) => name === window.split(":")[0]);
      if (limit === undefined) continue;
      const reason = `rate_limit:${limit.name}` as const;
      rates.push({ window, max: limit.max, windowMs: limit.window_secs * 1000, reason });
    }
    return rates;
  }

  /** When the window has room for one more start: it is tried at every instant at which one is over. */
  private roomAt({ window, windowMs, max }: Rate, now: number): number {
    const ends = this.starts.filter((s) => s.window === window).map((s) => s.bound + windowMs);
    const hasRoom = (at: number): boolean => ends.filter((end) => end > at).length < max;
    return Math.min(...[now, ...ends.filter((end) => end > now)].filter(hasRoom));
  }

  private holdOf(window: string): number {
    return this.holds.get(window) ?? 0;
  }

  /** What holds back every run of a job that may start. */
  gate(spec: JobSpec, now: number): Reason | null {
    const opening = openingFrom(spec, now);
    if (opening !== now) return { waitingFor: "window", earliest: opening };
    if (this.holdOf(JOB) > now) return { waitingFor: "hold", earliest: this.holdOf(JOB) };
    const probe = earliestStart(this.breaker, now);
    if (probe === null || probe > now) return { waitingFor: "breaker", earliest: probe };
    const own = this.rates(spec, []).find(({ window }) => window === JOB);
    const free = own === undefined ? now : this.roomAt(own, now);
    return free > now ? { waitingFor: "rate_limit", earliest: free } : null;
  }

  /** Nothing of the job starts before then, as far as is known. */
  heldUntil(now: number): number {
    return Math.max(now, this.holdOf(JOB), earliestStart(this.breaker, now) ?? now);
  }

  /** The window that holds a run back longest. */
  full(spec: JobSpec, limits: string[] | null, now: number): Reason | null {
    let latest: Reason | null = null;
    for (const rate of this.rates(spec, limits)) {
      const at = Math.max(this.roomAt(rate, now), this.holdOf(rate.window));
      if (at <= now || (latest !== null && at <= (latest.earliest ?? 0))) continue;
      latest = { waitingFor: this.holdOf(rate.window) === at ? "hold" : rate.reason, earliest: at };
    }
    return latest;
  }

  maxConcurrency(spec: JobSpec): number {
    const max = Math.min(spec.max_concurrency ?? 50, 50);
    const rule = spec.adaptive_concurrency;
    return rule === null ? max : Math.min(max, presentLimit(this.adaptive ?? start(rule), rule));
  }

  // ------------------------------------------------------------------ starts

  draw(held: RefHeld, spec: JobSpec, now: number): void {
    const rates = this.rates(spec, held.run.limits);
    const within = Math.min(1_000, ...rates.map(({ windowMs }) => Math.floor(windowMs / 4)), openFor(spec, now));
    held.startBy = now + within;
    held.stamps = rates.map(({ window }) => ({ window, bound: held.startBy, isSettled: false }));
    this.starts.push(...held.stamps);
    if (spec.circuit_breaker !== null) this.breaker = onStart(this.breaker, now);
  }

  /** Null: it was never begun. */
  settle(held: RefHeld, startedAt: number | null): void {
    for (const stamp of held.stamps) {
      if (stamp.isSettled) continue;
      stamp.isSettled = true;
      stamp.bound = startedAt === null ? Number.NEGATIVE_INFINITY : Math.min(stamp.bound, startedAt);
    }
  }

  // ------------------------------------------------------------------ what outcomes teach

  vanished(held: RefHeld): void {
    this.breaker = onLost(this.breaker, held.grantedAt);
  }

  learn(held: RefHeld, spec: JobSpec, used: JobSpec, report: CallReport, inFlight: number, now: number): void {
    const { outcome } = report;
    if (outcome.kind === "given_back" && outcome.delay_ms) this.hold(held, now + outcome.delay_ms);
    if (report.fallback) {
      this.vanished(held);
      return;
    }
    const isAsked = outcome.kind === "response" && (outcome.http_status === 429 || outcome.http_status === 503);
    if (spec.hold_on_retry_after && isAsked && outcome.retry_after_ms !== null) {
      this.hold(held, now + outcome.retry_after_ms);
    }
    if (spec.adaptive_concurrency !== null) {
      const rule = spec.adaptive_concurrency;
      const sign = { kind: loadSign(outcome), startedAt: held.grantedAt, now, inFlight };
      this.adaptive = onLoad(this.adaptive ?? start(rule), rule, sign);
    }
    if (spec.circuit_breaker === null) return;
    const verdict = breakerVerdict(outcome, used);
    if (verdict === null) this.vanished(held);
    else {
      const call = { ok: verdict === "ok", startedAt: held.grantedAt, now };
      this.breaker = onVerdict(this.breaker, spec.circuit_breaker, call);
    }
  }

  private hold(held: RefHeld, until: number): void {
    const partitions = held.stamps.map(({ window }) => window).filter((window) => /^[^:]+:/.test(window));
    for (const scope of partitions.length > 0 ? partitions : [JOB]) {
      this.holds.set(scope, Math.max(this.holdOf(scope), until));
    }
  }
}

/** The minutes of an hour, in UTC, that a window of such a kind is open in. */
function isOpenAt(spec: JobSpec, at: number): boolean {
  if (spec.execution_window_cron === null) return true;
  if (spec.execution_window_cron !== "*/2 * * * *") throw new Error("the reference knows one window");
  const quarters = spec.timezone === "Asia/Kathmandu" ? 45 : 0;
  return (Math.floor(at / MINUTE_MS) + quarters) % 2 === 0;
}

export function openingFrom(spec: JobSpec, at: number): number {
  return isOpenAt(spec, at) ? at : (Math.floor(at / MINUTE_MS) + 1) * MINUTE_MS;
}

function openFor(spec: JobSpec, now: number): number {
  const next = (Math.floor(now / MINUTE_MS) + 1) * MINUTE_MS;
  return isOpenAt(spec, next) ? Number.POSITIVE_INFINITY : next - now;
}
