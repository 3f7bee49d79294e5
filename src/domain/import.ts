import type { TransformSpec } from "./transform.ts";

/** The import: the objects of a bucket become a batch operation of a job (contract 9). */

export const IMPORT_STATUSES = [
  "ready",
  "listing",
  "running",
  "paused",
  "done",
  "done_with_errors",
  "failed",
  "canceled",
] as const;
export type ImportStatus = (typeof IMPORT_STATUSES)[number];
export type ImportEnd = "done" | "done_with_errors" | "failed" | "canceled";

export const isEnded = (status: ImportStatus): status is ImportEnd =>
  status === "done" || status === "done_with_errors" || status === "failed" || status === "canceled";

export const DELIVERIES = ["row", "partition", "file"] as const;
export type ImportDelivery = (typeof DELIVERIES)[number];

export const ON_ERROR = ["abort", "skip_row", "skip_file"] as const;
export type OnError = (typeof ON_ERROR)[number];

export interface ImportSettings {
  max_rows_per_partition: number;
  max_minutes_per_partition: number;
  max_active_partitions: number;
  input_concurrency: number;
  /** Bytes. */
  input_aggregation: number;
  /** 0: all of them. */
  max_files: number;
  dry_run: boolean;
}

export const DEFAULT_SETTINGS: ImportSettings = {
  max_rows_per_partition: 1000,
  max_minutes_per_partition: 15,
  max_active_partitions: 576,
  input_concurrency: 1,
  input_aggregation: 1_536_000_000,
  max_files: 0,
  dry_run: false,
};

/** Those that may be changed of an import that has begun. What it has planned already depends on the others. */
export const AMENDABLE_SETTINGS = [
  "max_rows_per_partition",
  "max_minutes_per_partition",
  "max_active_partitions",
  "input_concurrency",
] as const;
export type AmendableSetting = (typeof AMENDABLE_SETTINGS)[number];

/** The values in force, where a wish is beyond what this Worker can do. */
export const effectiveSettings = (given: ImportSettings): ImportSettings => ({
  ...given,
  max_rows_per_partition: Math.min(given.max_rows_per_partition, 100_000),
  max_active_partitions: Math.min(given.max_active_partitions, 10_000),
  input_concurrency: Math.min(given.input_concurrency, 32),
  input_aggregation: Math.min(Math.max(given.input_aggregation, 16 * 1024), 2 ** 36),
});

export interface ImportSource {
  url: string;
  /** Null: Amazon's own, of the region. */
  endpoint: string | null;
  region: string;
  credential_id: string | null;
}

/** What an import was asked for; it never changes. */
export interface ImportSpec {
  id: string;
  project_id: string;
  job_id: string;
  /** As it was given: id or slug. */
  job: string;
  name: string | null;
  source: ImportSource;
  regex_filter: string | null;
  /** Its name, and the transform as it was then. */
  transform: string | null;
  transform_spec: TransformSpec | null;
  delivery: ImportDelivery;
  cron: string | null;
  /** As given, defaults filled in. */
  settings: ImportSettings;
  on_error: OnError;
  tolerated_failure_percent: number;
  tolerated_failure_min_rows: number;
  force: boolean;
  /** The import whose cron has made this one. */
  repeat_of: string | null;
  created_by: string;
  /** Unix milliseconds. */
  created_at: number;
  traceparent: string | null;
}

export const TASK_STATES = ["READY", "RUNNING", "DONE", "ERROR", "CANCELED"] as const;
export type TaskState = (typeof TASK_STATES)[number];
export type TaskCounts = Partial<Record<TaskState, number>>;

export interface FileCounts {
  total: number;
  done: number;
  failed: number;
  skipped: number;
}

export interface RowCounts {
  read: number;
  delivered: number;
  rejected: number;
}

/** An import as the world sees it. Times are Unix milliseconds. */
export interface ImportRecord {
  spec: ImportSpec;
  batch_id: string | null;
  /** All of them: an import of more than a million items goes on in a further batch, and so does a retry. */
  batch_ids: string[];
  status: ImportStatus;
  percent_complete: number;
  files: FileCounts;
  rows: RowCounts;
  bytes: { total: number; done: number };
  tasks: { LIST: TaskCounts; INDEX: TaskCounts };
  errors: string[];
  warnings: string[];
  /** JSON texts, of a dry run. */
  sample: string[];
  effective_settings: ImportSettings;
  started_at: number | null;
  finished_at: number | null;
  /** Counts every change. */
  ver: number;
}

/** While listing goes on, what is known of the whole is little: progress stays below this. */
const LISTING_SHARE = 0.1;
/** Below 1 until every task has settled. */
const NEARLY = 0.999;

/**
 * Progress by bytes, from 0 to 1. It never falls, and is 1 only at the end.
 *
 * @param before what was shown last.
 */
export function progress(
  before: number,
  facts: { isListed: boolean; isSettled: boolean; end: ImportEnd | null; bytes: { total: number; done: number } },
): number {
  if (facts.isSettled && (facts.end === "done" || facts.end === "done_with_errors")) return 1;
  const { total, done } = facts.bytes;
  const share = total === 0 ? 0 : Math.min(done / total, 1);
  return Math.max(before, facts.isListed ? Math.min(share, NEARLY) : share * LISTING_SHARE);
}

/** Why an import must stop because of what it has rejected; null where it need not. */
export function intolerable(
  spec: Pick<ImportSpec, "tolerated_failure_percent" | "tolerated_failure_min_rows">,
  rows: Pick<RowCounts, "read" | "rejected">,
): string | null {
  const { tolerated_failure_percent: percent, tolerated_failure_min_rows: sample } = spec;
  if (rows.rejected === 0 || rows.read < sample || rows.rejected * 100 <= percent * rows.read) return null;
  return `${rows.rejected} of ${rows.read} rows were rejected, more than the tolerated ${percent} %`;
}

/** One row that was not delivered. */
export interface Reject {
  file: string;
  /** From 1. Null where only the whole object can tell, and it has not been read to its end. */
  line: number | null;
  byte_offset: number;
  reason: string;
  raw: string;
}

export const FILE_STATUSES = ["pending", "running", "done", "failed", "skipped"] as const;
export type FileStatus = (typeof FILE_STATUSES)[number];

export interface ImportFile {
  /** Place in the listing. */
  number: number;
  key: string;
  etag: string;
  size: number;
  status: FileStatus;
  rows: number;
  rejects: number;
  error: string | null;
}
