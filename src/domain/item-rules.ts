import type { JobSpec } from "./job.ts";
import type { PayloadCheck } from "./payload-schema.ts";

/** What an item may name as its version, and what its payload must fit. */
export interface VersionRules {
  version: number;
  check: PayloadCheck | null;
  /** Of its `default_run_metadata`. */
  metadataNames: readonly string[];
}

/** What of a job items are judged by. */
export interface ItemRules {
  /** Names of the job's rate limits. */
  limits: ReadonlySet<string>;
  /** `max_concurrency_per_key` is set, so an item without a key is refused. */
  keyRequired: boolean;
  /** `concurrency_key_from`, taken apart; its first name is `payload`, `metadata` or `tags`. */
  keyPath: readonly string[] | null;
  /** What the job itself has there: its tags and default metadata are its runs' too. */
  keyDefault: string | null;
  /** `dedup_window_secs` is set, so an item without a key is known by its payload. */
  dedup: boolean;
  /** The current version's. */
  check: PayloadCheck | null;
  metadataNames: readonly string[];
  /** By what an item may write in `version`; null: there is no such version. Grows as versions are looked up. */
  versions: ReadonlyMap<string, VersionRules | null>;
  /** SHA-256 of the canonical payload, 64 hex digits. */
  hashPayload: (payload: string) => string;
}

/** `concurrency_key_from` as names; a path that starts with no known root is taken from the payload. */
export function keyPath(from: string): string[] {
  const names = from.split(".");
  return ["payload", "metadata", "tags"].includes(names[0] ?? "") ? names : ["payload", ...names];
}

/** What stands at the path in every run of the job that does not say otherwise. */
export function keyDefault(
  path: readonly string[],
  job: Pick<JobSpec, "tags" | "default_run_metadata">,
): string | null {
  const [root, name, ...rest] = path;
  const map = root === "metadata" ? job.default_run_metadata : root === "tags" ? job.tags : {};
  return name !== undefined && rest.length === 0 && Object.hasOwn(map, name) ? (map[name] ?? null) : null;
}
