import { expect } from "vitest";
import type { JobSpec } from "../../src/domain/job.ts";
import type { Call } from "./consumer.ts";
import type { RefHeld } from "./nouns.ts";

/** No call begins later than this after its grant. */
const START_WITHIN_MS = 1_000;

const nameOf = (call: { seq: number; attempt: number; fallback: boolean }): string =>
  `${call.seq}/${call.attempt}/${call.fallback}`;

/** Call starts as the endpoint sees them, and what the limits in force allowed. */
export class Starts {
  private readonly drawn = new Map<string, string[]>();
  private readonly seen: { at: number; window: string }[] = [];
  private readonly rules: { from: number; spec: JobSpec }[] = [];

  configured(spec: JobSpec, now: number): void {
    this.rules.push({ from: now, spec });
  }

  granted({ run: { seq }, attempt, fallback, stamps }: RefHeld): void {
    this.drawn.set(
      nameOf({ seq, attempt, fallback }),
      stamps.map(({ window }) => window),
    );
  }

  /** Calls have begun: no window that holds one of them holds more than it may. */
  begun(calls: { call: Call; at: number }[]): void {
    for (const { call, at } of calls) {
      for (const window of this.drawn.get(nameOf(call)) ?? []) {
        this.seen.push({ at, window });
        const all = this.seen.filter((start) => start.window === window).map((start) => start.at);
        for (const end of all) this.check(window, end, all);
      }
    }
  }

  /** The window that ends with this start. */
  private check(window: string, end: number, all: number[]): void {
    const windowMs = Math.max(...this.rules.map(({ spec }) => rateOf(spec, window)?.windowMs ?? 0));
    const inForce = this.rules.filter(
      ({ from }, i) => from <= end && (this.rules[i + 1]?.from ?? end) >= end - windowMs - START_WITHIN_MS,
    );
    const max = Math.max(...inForce.map(({ spec }) => rateOf(spec, window)?.max ?? Number.POSITIVE_INFINITY));
    const starts = all.filter((at) => at > end - windowMs && at <= end);
    expect(starts.length, `${window}: starts at ${starts}`).toBeLessThanOrEqual(max);
  }
}

function rateOf(spec: JobSpec, window: string): { max: number; windowMs: number } | null {
  const named = spec.rate_limit_keys.find(({ name }) => name === window.split(":")[0]);
  if (named !== undefined) return { max: named.max, windowMs: named.window_secs * 1000 };
  const { rate_limit_max: max, rate_limit_window_secs: secs } = spec;
  return window === ":job" && max !== null && secs !== null ? { max, windowMs: secs * 1000 } : null;
}
