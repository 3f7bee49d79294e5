import type { StatusPattern } from "./job.ts";

/**
 * What an HTTP status means for a run. `retried` and `refused` both may be followed by the fallback, see `mayFallBack`.
 */
export type StatusVerdict = "success" | "retried" | "refused";

/** The job's overrides of contract 4.7; null stands for the default. */
export interface StatusRules {
  success_statuses?: readonly StatusPattern[] | null;
  retry_statuses?: readonly StatusPattern[] | null;
}

const EXACT = 3;
const CLASS = 2;
const DEFAULT = 1;
const NONE = 0;

/** How closely a list names a status: by number, by class (`"4xx"`), or not at all. */
function closeness(patterns: readonly StatusPattern[], status: number): number {
  let best = NONE;
  for (const pattern of patterns) {
    if (typeof pattern === "number" || /^\d{3}$/.test(pattern)) {
      if (Number(pattern) === status) return EXACT;
    } else if (pattern.charAt(0) === String(Math.floor(status / 100)) && /^[1-5]xx$/i.test(pattern)) {
      best = CLASS;
    }
  }
  return best;
}

const isDefaultSuccess = (status: number): boolean => status >= 200 && status < 300;

const isDefaultRetry = (status: number): boolean => status === 408 || status === 425 || status === 429 || status >= 500;

const standing = (
  patterns: readonly StatusPattern[] | null | undefined,
  byDefault: (status: number) => boolean,
  status: number,
): number => (patterns ? closeness(patterns, status) : byDefault(status) ? DEFAULT : NONE);

/**
 * An override replaces its default as a whole. Where a status stands in both lists the closer naming wins (a number before
 * a class before a default), and success on a tie: so `retry_statuses: [202]` polls an endpoint that answers 202 "not yet".
 */
export function judgeStatus(rules: StatusRules, status: number): StatusVerdict {
  const success = standing(rules.success_statuses, isDefaultSuccess, status);
  const retry = standing(rules.retry_statuses, isDefaultRetry, status);
  if (success > NONE && success >= retry) return "success";
  return retry > NONE ? "retried" : "refused";
}

export const isSuccess = (rules: StatusRules, status: number): boolean => judgeStatus(rules, status) === "success";

/** The statuses after which a fallback endpoint is asked. */
export const mayFallBack = (status: number): boolean => status === 429 || status >= 500;
