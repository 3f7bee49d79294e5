/** The run: one item's execution (contract 3). */

export const RUN_STATUSES = [
  "delayed",
  "queued",
  "dequeued",
  "executing",
  "completed",
  "failed",
  "timed_out",
  "crashed",
  "canceled",
  "expired",
] as const;
export type RunStatus = (typeof RUN_STATUSES)[number];

export type TerminalStatus = "completed" | "failed" | "timed_out" | "crashed" | "canceled" | "expired";

/** What may follow what. A terminal status has no successor. */
const RUN_TRANSITIONS: Record<RunStatus, readonly RunStatus[]> = {
  delayed: ["queued", "canceled", "expired"],
  queued: ["dequeued", "canceled", "expired"],
  dequeued: ["executing", "queued", "canceled"],
  executing: ["completed", "failed", "timed_out", "crashed", "delayed", "canceled"],
  completed: [],
  failed: [],
  timed_out: [],
  crashed: [],
  canceled: [],
  expired: [],
};

export const isTerminal = (status: RunStatus): status is TerminalStatus => RUN_TRANSITIONS[status].length === 0;

/** The dead letters: `GET /v1/runs/dlq`. */
export const DEAD_STATUSES: readonly RunStatus[] = ["failed", "timed_out", "crashed"];

export type ErrorClass = "client" | "auth" | "rate_limited" | "server" | "timeout" | "connection" | "blocked" | "lost";

export interface RunError {
  class: ErrorClass;
  message: string;
  http_status: number | null;
}

export type TriggeredBy = "api" | "bulk" | "cron" | "import" | "workflow" | "replay" | "rpc";

/** `rate_limit:<name>` for a named limit. */
export type WaitingFor =
  | "concurrency"
  | "key"
  | "rate_limit"
  | `rate_limit:${string}`
  | "window"
  | "schedule"
  | "retry"
  | "paused"
  | "batch"
  | "hold"
  | "breaker";

/** One try of a run: a primary call and perhaps a fallback call. Times are Unix milliseconds. */
export interface AttemptRecord {
  number: number;
  started_at: number | null;
  finished_at: number | null;
  http_status: number | null;
  error: RunError | null;
  used_fallback: boolean;
  job_version: number;
}

/**
 * A run as the world sees it, wherever it is kept. Times are Unix milliseconds; the wire turns them into RFC 3339.
 * `payload` and `result` are raw JSON text, never parsed on their way, so that every byte and every digit survives.
 */
export interface RunRecord {
  id: string;
  project_id: string;
  job_id: string;
  job_version: number;
  job_version_id: string;
  batch_id: string | null;
  batch_index: number | null;
  status: RunStatus;
  waiting_for: WaitingFor | null;
  earliest_start_at: number | null;
  attempt: number;
  max_attempts: number;
  /** Raw JSON; null where `payload_ref` names the R2 object that holds it. */
  payload: string | null;
  payload_ref: string | null;
  result: string | null;
  result_ref: string | null;
  result_truncated: boolean;
  error: RunError | null;
  metadata: Record<string, string>;
  tags: Record<string, string>;
  priority: number;
  concurrency_key: string | null;
  rate_limit_keys: string[] | null;
  idempotency_key: string | null;
  triggered_by: TriggeredBy;
  created_by: string;
  scheduled_at: number | null;
  next_attempt_at: number | null;
  created_at: number;
  started_at: number | null;
  finished_at: number | null;
  expires_at: number | null;
  replayed_run_id: string | null;
  used_fallback: boolean;
  attempts: AttemptRecord[];
}

/** Fields of a run that mostly stand as here. */
export const RUN_DOC_DEFAULTS = {
  waiting_for: null,
  earliest_start_at: null,
  payload_ref: null,
  result: null,
  result_ref: null,
  result_truncated: false,
  error: null,
  metadata: {},
  priority: 0,
  rate_limit_keys: null,
  idempotency_key: null,
  scheduled_at: null,
  next_attempt_at: null,
  started_at: null,
  finished_at: null,
  expires_at: null,
  replayed_run_id: null,
  used_fallback: false,
} as const satisfies Partial<RunRecord>;

/** Payloads and results beyond this many UTF-8 bytes go to R2; the row keeps the object's key. */
export const INLINE_BODY_BYTES = 32 * 1024;
/** A payload as sent, and a result as answered, in UTF-8 bytes. */
export const MAX_BODY_BYTES = 1024 * 1024;
