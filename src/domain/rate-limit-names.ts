import type { JobSpec } from "./job.ts";
import type { WaitingFor } from "./run.ts";

/** The window of the job's own rate limit. No named limit's window is called so: their names hold no colon and are not empty. */
export const JOB_WINDOW = ":job";

/** A sliding window that a run draws a start from. */
export interface RateLimitWindow {
  /** Which window of the job's: `JOB_WINDOW`, `name`, or `name:partition`. */
  window: string;
  max: number;
  windowMs: number;
  /** What a run that finds it full waits for. It names the limit, not the partition: there may be a million of those. */
  waitingFor: Extract<WaitingFor, "rate_limit" | `rate_limit:${string}`>;
}

/** `"name:partition"` or `"name"` taken apart; a partition may hold colons itself. */
export function splitLimitName(text: string): { name: string; partition: string | null } {
  const colon = text.indexOf(":");
  if (colon === -1) return { name: text, partition: null };
  return { name: text.slice(0, colon), partition: text.slice(colon + 1) };
}

/**
 * The windows that each start of a run draws from, the job's own first (contract 4.4). `keys` are the run's
 * `rate_limit_keys`; null: every named limit applies. A limit that the job no longer has is left out.
 */
export function rateLimitWindows(
  spec: Pick<JobSpec, "rate_limit_max" | "rate_limit_window_secs" | "rate_limit_keys">,
  keys: readonly string[] | null,
): RateLimitWindow[] {
  const windows: RateLimitWindow[] = [];
  const { rate_limit_max: max, rate_limit_window_secs: secs } = spec;
  if (max !== null && secs !== null) {
    windows.push({ window: JOB_WINDOW, max, windowMs: secs * 1000, waitingFor: "rate_limit" });
  }
  for (const key of keys ?? spec.rate_limit_keys.map((limit) => limit.name)) {
    const { name } = splitLimitName(key);
    const limit = spec.rate_limit_keys.find((named) => named.name === name);
    if (limit === undefined) continue;
    windows.push({
      window: key,
      max: limit.max,
      windowMs: limit.window_secs * 1000,
      waitingFor: `rate_limit:${name}`,
    });
  }
  return windows;
}

type Rates = Parameters<typeof rateLimitWindows>[0];

/** The limit that a window of the job's obeys now; null: none any more. */
export function limitOf(spec: Rates, window: string): RateLimitWindow | null {
  const keys = window === JOB_WINDOW ? [] : [window];
  return rateLimitWindows(spec, keys).find((limit) => limit.window === window) ?? null;
}

/** Whether a window may have room by the new rates that it had not by the old ones. */
export function isEased(before: Rates, after: Rates, window: string): boolean {
  const [old, now] = [limitOf(before, window), limitOf(after, window)];
  if (old === null || now === null) return old !== now;
  return now.max > old.max || now.windowMs < old.windowMs;
}
