import type { JobVersion } from "../domain/job.ts";
import type { Lane } from "./lane.ts";
import type { ConfigureAnswer, JobConfig } from "./protocol.ts";
import { seal } from "./seal.ts";
import { startSweep } from "./sweep.ts";

/** The newest revision is in force from here on; an older one changes nothing. */
export function configure(lane: Lane, config: JobConfig, between: JobVersion[], now: number): ConfigureAnswer {
  const before = lane.config;
  if (before !== null && before.revision >= config.revision) return { kind: "configured", revision: before.revision };
  for (const version of between) lane.ledger.saveVersion(version);
  // Runs that wait may have to follow the line of versions, so it has no holes.
  const missing = before === null ? null : firstMissing(lane, before.current.version, config.current.version);
  if (missing !== null) return { kind: "versions_missing", from: missing };
  lane.ledger.saveConfig(config);
  lane.ledger.saveVersion(config.current);
  lane.reconfigure(config);
  if (config.deleted && before?.deleted !== true) end(lane, config.revision, now);
  return { kind: "configured", revision: config.revision };
}

/** What waits of a deleted job is canceled, and nothing more comes: its open batches can end. */
function end(lane: Lane, revision: number, now: number): void {
  for (const batch of lane.batches.values()) if (!batch.sealed) seal(lane, batch, now);
  startSweep(lane, `deleted:${revision}`, null, now);
}

/** The first version between two that was never told; null: none. */
function firstMissing(lane: Lane, after: number, before: number): number | null {
  let expected = after + 1;
  const kept = "SELECT version FROM versions WHERE version > ? AND version < ? ORDER BY version";
  for (const { version } of lane.ledger.all(kept, after, before)) if (version === expected) expected += 1;
  return expected < before ? expected : null;
}
