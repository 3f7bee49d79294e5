import type { JobSpec } from "./job.ts";

/** The part of a job that says how long to wait between attempts (contract 4.7). */
export type RetryRules = Pick<
  JobSpec,
  "retry_strategy" | "retry_base_secs" | "retry_max_secs" | "retry_delays_secs" | "retry_jitter"
>;

/** The delay before jitter, in seconds, after attempt `attempt` (from 1) has ended. */
function plainDelaySecs(rules: RetryRules, attempt: number): number {
  const { retry_base_secs: base, retry_max_secs: max } = rules;
  switch (rules.retry_strategy) {
    case "exponential":
      // 2^99 is far inside a double's range; the cap brings it back.
      return Math.min(base * 2 ** (attempt - 1), max);
    case "linear":
      return Math.min(base * attempt, max);
    case "fixed":
      return Math.min(base, max);
    case "custom": {
      const delays = rules.retry_delays_secs ?? [];
      return delays[Math.min(attempt, delays.length) - 1] ?? base;
    }
  }
}

/**
 * How long to wait after attempt `attempt` (from 1) has ended, in whole milliseconds. `random` in [0, 1) spreads it evenly
 * over ±`retry_jitter` of itself.
 */
export function retryDelayMs(rules: RetryRules, attempt: number, random: number): number {
  const spread = 1 + rules.retry_jitter * (2 * random - 1);
  return Math.max(0, Math.round(plainDelaySecs(rules, attempt) * 1000 * spread));
}
