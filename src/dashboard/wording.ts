import { count, plural } from "./format.ts";

/** What states and reasons are called. Each state has a mark too, so that nobody needs its colour. */

export type Tone = "good" | "bad" | "busy" | "idle" | "held";
export type Mark = "tick" | "cross" | "play" | "ring" | "half" | "pause" | "bar" | "clock";

export interface Look {
  label: string;
  tone: Tone;
  mark: Mark;
}

const LOOKS: Record<string, Look> = {
  completed: { label: "completed", tone: "good", mark: "tick" },
  succeeded: { label: "succeeded", tone: "good", mark: "tick" },
  done: { label: "done", tone: "good", mark: "tick" },
  delivered: { label: "delivered", tone: "good", mark: "tick" },
  failed: { label: "failed", tone: "bad", mark: "cross" },
  timed_out: { label: "timed out", tone: "bad", mark: "clock" },
  crashed: { label: "crashed", tone: "bad", mark: "cross" },
  dead: { label: "dead", tone: "bad", mark: "cross" },
  rejected: { label: "rejected", tone: "bad", mark: "cross" },
  failing: { label: "failing", tone: "bad", mark: "cross" },
  partially_failed: { label: "partially failed", tone: "bad", mark: "half" },
  done_with_errors: { label: "done with errors", tone: "bad", mark: "half" },
  expired: { label: "expired", tone: "bad", mark: "clock" },
  executing: { label: "executing", tone: "busy", mark: "play" },
  running: { label: "running", tone: "busy", mark: "play" },
  listing: { label: "listing", tone: "busy", mark: "play" },
  accepting: { label: "accepting", tone: "busy", mark: "play" },
  dequeued: { label: "handed over", tone: "busy", mark: "half" },
  queued: { label: "queued", tone: "idle", mark: "ring" },
  ready: { label: "ready", tone: "idle", mark: "ring" },
  pending: { label: "pending", tone: "idle", mark: "ring" },
  waiting: { label: "waiting", tone: "idle", mark: "clock" },
  sleeping: { label: "sleeping", tone: "idle", mark: "clock" },
  delayed: { label: "delayed", tone: "idle", mark: "clock" },
  paused: { label: "paused", tone: "held", mark: "pause" },
  held_back: { label: "held back", tone: "held", mark: "pause" },
  interrupted: { label: "interrupted", tone: "held", mark: "pause" },
  disabled: { label: "disabled", tone: "held", mark: "bar" },
  canceling: { label: "canceling", tone: "held", mark: "bar" },
  canceled: { label: "canceled", tone: "held", mark: "bar" },
  skipped: { label: "skipped", tone: "held", mark: "bar" },
  broken_off: { label: "broken off", tone: "held", mark: "half" },
  not_read: { label: "not read", tone: "held", mark: "bar" },
  duplicate: { label: "duplicate", tone: "held", mark: "half" },
};

export const lookOf = (status: string): Look =>
  LOOKS[status] ?? { label: status.replaceAll("_", " "), tone: "idle", mark: "ring" };

/** What of a job's limits the sentences name. */
export interface Limits {
  max_concurrency: number | null;
  max_concurrency_per_key: number | null;
  rate_limit_max: number | null;
  rate_limit_window_secs: number | null;
  rate_limit_keys: { name: string; max: number; window_secs: number }[] | null;
}

/** Why runs wait, as the end of "120 wait …". */
export function reasonInWords(reason: string, limits: Limits | null): string {
  if (reason.startsWith("rate_limit:")) {
    const name = reason.slice("rate_limit:".length);
    const limit = limits?.rate_limit_keys?.find((l) => l.name === name.split(":")[0]);
    return `for the rate limit ${name}${limit ? ` (${count(limit.max)} per ${limit.window_secs} s)` : ""}`;
  }
  switch (reason) {
    case "concurrency":
      return `for a free place${limits?.max_concurrency ? ` (${count(limits.max_concurrency)} at once)` : ""}`;
    case "key": {
      const most = limits?.max_concurrency_per_key;
      return `for their concurrency key${most ? ` (${count(most)} at once per key)` : ""}`;
    }
    case "rate_limit": {
      const { rate_limit_max: max = null, rate_limit_window_secs: window = null } = limits ?? {};
      return `for the rate limit${max === null ? "" : ` (${count(max)} per ${window} s)`}`;
    }
    case "window":
      return "for the execution window to open";
    case "schedule":
      return "for their scheduled time";
    case "retry":
      return "for their next attempt";
    case "paused":
      return "because the job is paused or disabled";
    case "batch":
      return "for their batch: its own limit, or a pause";
    case "hold":
      return "because the endpoint asked for a break (Retry-After)";
    case "breaker":
      return "because the circuit breaker is open";
    default:
      return `for ${reason.replaceAll("_", " ")}`;
  }
}

/** `[["concurrency", 120], …]`, the commonest first. */
export const reasonsByWeight = (waitingFor: Record<string, number>): [string, number][] =>
  Object.entries(waitingFor)
    .filter(([, n]) => n > 0)
    .sort(([, a], [, b]) => b - a);

/** "120 wait for a free place (10 at once)"; null where nothing is held back. */
export function holdingBack(waitingFor: Record<string, number>, limits: Limits | null): string | null {
  const reasons = reasonsByWeight(waitingFor);
  if (reasons.length === 0) return null;
  return reasons
    .map(([reason, n]) => `${count(n)} ${n === 1 ? "waits" : "wait"} ${reasonInWords(reason, limits)}`)
    .join(", ");
}

/** Tags and metadata. */
export const pairsInWords = (pairs: Record<string, string>): string =>
  Object.entries(pairs)
    .map(([name, value]) => `${name}: ${value}`)
    .join(", ") || "none";

/** What went wrong with a call, by its class. */
const CLASSES: Record<string, string> = {
  client: "the endpoint refused it",
  auth: "the endpoint refused the credentials",
  rate_limited: "the endpoint was asked too often",
  server: "the endpoint had an error",
  timeout: "no answer in time",
  connection: "no connection",
  blocked: "the address is not allowed",
  lost: "the consumer vanished",
};

export const errorInWords = (error: { class: string; message: string; http_status?: number | null }): string => {
  const meaning = CLASSES[error.class] ?? error.class.replaceAll("_", " ");
  return `${error.http_status ? `HTTP ${error.http_status}: ` : ""}${meaning}`;
};

export const itemsInWords = (b: { created_count: number; duplicate_count: number; rejected_count: number }): string =>
  [
    plural(b.created_count, "run"),
    b.duplicate_count > 0 ? plural(b.duplicate_count, "duplicate") : "",
    b.rejected_count > 0 ? `${count(b.rejected_count)} rejected` : "",
  ]
    .filter(Boolean)
    .join(", ");
