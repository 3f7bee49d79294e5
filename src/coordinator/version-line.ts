import { resolveVersion } from "../domain/version-policy.ts";
import type { Lane } from "./lane.ts";
import type { Ledger, LedgerRun } from "./ledger.ts";
import type { JobConfig } from "./protocol.ts";

/** Where a job's line of backwards compatible versions breaks; each place is looked up once for a newest version. */
export class VersionLine {
  private newest = 0;
  private readonly breaks = new Map<number, number | null>();

  /** The first version after `own`, up to `newest`, that is not backwards compatible; null: there is none. */
  breakAfter(ledger: Ledger, own: number, newest: number): number | null {
    if (newest !== this.newest) {
      this.breaks.clear();
      this.newest = newest;
    }
    const known = this.breaks.get(own);
    if (known !== undefined) return known;
    const row = ledger.all(
      `SELECT version FROM versions WHERE version > ? AND version <= ? AND doc ->> '$.spec.backwards_compatible' = 0
       ORDER BY version LIMIT 1`,
      own,
      newest,
    )[0];
    const found = (row?.version as number | undefined) ?? null;
    this.breaks.set(own, found);
    return found;
  }
}

/** The version that a run's next call uses. A fallback belongs to the attempt of its primary. */
export function versionInUse(lane: Lane, run: LedgerRun): number {
  if (run.doc.pinned === true || run.doc.fallback === true) return run.version;
  const { current } = lane.config as JobConfig;
  return resolveVersion(current.spec.version_policy, run.doc.from ?? run.version, current.version, (own) =>
    lane.line.breakAfter(lane.ledger, own, current.version),
  );
}

/** A call has begun: the run shows its version, and remembers the one that it was triggered with. */
export function noteVersion(run: LedgerRun, used: number): void {
  if (run.version === used) return;
  run.doc.from ??= run.version;
  run.version = used;
}
