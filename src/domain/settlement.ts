import type { CallOutcome } from "./call.ts";
import { assertNever } from "./error.ts";
import type { JobSpec } from "./job.ts";
import { type RetryRules, retryDelayMs } from "./retry.ts";
import type { ErrorClass, RunError } from "./run.ts";
import { judgeStatus, mayFallBack } from "./status-pattern.ts";

/** How often a run whose call was lost with its consumer is called again, without using an attempt. */
export const MAX_LOSSES = 3;

/** The part of a job version that decides what an outcome means. */
export type SettlementRules = RetryRules &
  Pick<JobSpec, "success_statuses" | "retry_statuses" | "fallback_endpoint_url" | "on_lost">;

/** Everything the decision rests on. Times are Unix milliseconds. */
export interface SettlementFacts {
  /** Of the version that was used. */
  rules: SettlementRules;
  /** From 1. */
  attempt: number;
  max_attempts: number;
  /** This was the fallback's call. */
  fallback: boolean;
  /** The job's environment gives it a fallback, whether the version has one or not. */
  environment_fallback?: boolean | undefined;
  /** How often this run's call was lost before. */
  lost: number;
  outcome: CallOutcome | { kind: "lost" };
  now: number;
  /** In [0, 1): jitter. */
  random: number;
}

/** What becomes of a run after a call. */
export type Settlement =
  | { kind: "completed"; result: string | null; result_truncated: boolean }
  | { kind: "failed" | "timed_out" | "crashed"; error: RunError }
  /** The next attempt, at that time. */
  | { kind: "retry"; at: number; error: RunError }
  /** The fallback is called at once, in the same attempt. */
  | { kind: "fallback"; error: RunError }
  /** The same call once more, at that time, at no attempt. */
  | { kind: "again"; at: number }
  | { kind: "aborted" };

/** What a failed call allows beside its error. */
interface Failure {
  error: RunError;
  terminal: "failed" | "timed_out";
  retried: boolean;
  fallsBack: boolean;
  floorMs: number;
}

function classOf(status: number): ErrorClass {
  if (status === 401 || status === 403) return "auth";
  if (status === 429) return "rate_limited";
  return status >= 500 ? "server" : "client";
}

function responseError(status: number, excerpt: string | undefined): RunError {
  const said = excerpt?.trim();
  return { class: classOf(status), message: said ? `HTTP ${status}: ${said}` : `HTTP ${status}`, http_status: status };
}

/** After the last attempt, or after an answer that is final, the run ends; else it waits for its next attempt. */
function settleFailure(facts: SettlementFacts, failure: Failure): Settlement {
  const { error } = failure;
  const hasFallback = facts.rules.fallback_endpoint_url !== null || facts.environment_fallback === true;
  if (failure.fallsBack && !facts.fallback && hasFallback) {
    return { kind: "fallback", error };
  }
  if (!failure.retried || facts.attempt >= facts.max_attempts) return { kind: failure.terminal, error };
  const delay = retryDelayMs(facts.rules, facts.attempt, facts.random);
  return { kind: "retry", at: facts.now + Math.max(delay, failure.floorMs), error };
}

function settleLoss(facts: SettlementFacts): Settlement {
  if (facts.rules.on_lost === "retry" && facts.lost < MAX_LOSSES) return { kind: "again", at: facts.now };
  const message =
    facts.rules.on_lost === "crash"
      ? "the consumer vanished during the call"
      : `consumers vanished during ${facts.lost + 1} calls`;
  return { kind: "crashed", error: { class: "lost", message, http_status: null } };
}

/** Decides what the outcome of one call means for its run (contract 4.7). */
export function settle(facts: SettlementFacts): Settlement {
  const { outcome } = facts;
  switch (outcome.kind) {
    case "response": {
      const status = outcome.http_status;
      const verdict = judgeStatus(facts.rules, status);
      if (verdict === "success") {
        return { kind: "completed", result: outcome.result, result_truncated: outcome.truncated };
      }
      return settleFailure(facts, {
        error: responseError(status, outcome.excerpt),
        terminal: "failed",
        retried: verdict === "retried",
        fallsBack: mayFallBack(status),
        floorMs: outcome.retry_after_ms ?? 0,
      });
    }
    case "timeout":
      return settleFailure(facts, {
        error: { class: "timeout", message: "no complete answer within timeout_secs", http_status: null },
        terminal: "timed_out",
        retried: true,
        fallsBack: true,
        floorMs: 0,
      });
    case "connection":
      return settleFailure(facts, {
        error: { class: "connection", message: outcome.message, http_status: null },
        terminal: "failed",
        retried: true,
        fallsBack: true,
        floorMs: 0,
      });
    case "blocked":
      return { kind: "failed", error: { class: "blocked", message: outcome.message, http_status: null } };
    case "lost":
      return settleLoss(facts);
    case "given_back":
      return { kind: "again", at: facts.now + (outcome.delay_ms ?? 0) };
    case "aborted":
      return { kind: "aborted" };
    default:
      return assertNever(outcome);
  }
}
