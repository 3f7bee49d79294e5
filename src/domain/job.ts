/**
 * The job: an endpoint with limits (contract 2). Field names are the contract's own, in snake_case, because this document
 * is what is stored as a version, compared by `?diff=` and named in validation errors.
 */

export type CronOverlapPolicy = "allow" | "skip" | "cancel_running";
export type EndpointMethod = "POST" | "PUT" | "PATCH";
export type RetryStrategy = "exponential" | "linear" | "fixed" | "custom";
export type OnLost = "retry" | "crash";
export type VersionPolicy = "pin" | "latest" | "minor";

/** `"2xx"` or an exact status. */
export type StatusPattern = string | number;

export interface NamedRateLimit {
  name: string;
  max: number;
  window_secs: number;
}

/** A secret encrypted at rest: `v1.<key id>.<iv>.<ciphertext>` (see domain/secret). Never leaves the Worker. */
export type Sealed = string;

/** Everything a version keeps. Secrets stand in it sealed. */
export interface JobSpec {
  group_id: string | null;
  environment_id: string | null;
  name: string;
  slug: string;
  description: string | null;
  tags: Record<string, string>;
  cron: string | null;
  timezone: string;
  cron_overlap_policy: CronOverlapPolicy;
  payload_schema: unknown;
  endpoint_url: string;
  fallback_endpoint_url: string | null;
  endpoint_method: EndpointMethod;
  endpoint_headers: Record<string, Sealed>;
  endpoint_signing_secret: Sealed | null;
  success_statuses: StatusPattern[] | null;
  retry_statuses: StatusPattern[] | null;
  max_attempts: number;
  timeout_secs: number;
  retry_strategy: RetryStrategy;
  retry_delays_secs: number[] | null;
  retry_base_secs: number;
  retry_max_secs: number;
  retry_jitter: number;
  on_lost: OnLost;
  max_concurrency: number | null;
  max_concurrency_per_key: number | null;
  concurrency_key_from: string | null;
  rate_limit_max: number | null;
  rate_limit_window_secs: number | null;
  rate_limit_keys: NamedRateLimit[];
  hold_on_retry_after: boolean;
  adaptive_concurrency: { min: number; max: number } | null;
  circuit_breaker: { failures: number; window_secs: number; open_secs: number } | null;
  dedup_window_secs: number | null;
  execution_window_cron: string | null;
  run_ttl_secs: number | null;
  default_run_metadata: Record<string, string>;
  enabled: boolean;
  webhook_url: string | null;
  webhook_secret: Sealed | null;
  on_complete_trigger_workflow: string | null;
  on_complete_payload_mapping: Record<string, string> | null;
  version_policy: VersionPolicy;
  backwards_compatible: boolean;
}

/** One state of a job. `version` counts from 1; `version_id` is `ver_` + 10 of `[0-9a-z]`. */
export interface JobVersion {
  version: number;
  version_id: string;
  spec: JobSpec;
}

/** A job as D1 keeps it. Times are Unix milliseconds. */
export interface Job {
  id: string;
  /** Stands inside the ids of the job's runs and batches. Given once, never reused. */
  number: number;
  project_id: string;
  /** Counts every change that the coordinator must hear of: versions, pause, resume, delete. */
  revision: number;
  paused: boolean;
  current: JobVersion;
  created_by: string;
  updated_by: string;
  created_at: number;
  updated_at: number;
  deleted_at: number | null;
}
