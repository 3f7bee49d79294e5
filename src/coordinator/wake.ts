import { gate } from "./gate.ts";
import type { Lane } from "./lane.ts";
import type { Lease } from "./lease.ts";
import { LEASE_MS } from "./protocol.ts";
import { statsDueAt } from "./stats.ts";

/** How long a change may wait for company before it leaves for D1: lists are at most a second behind. */
export const FLUSH_AFTER_MS = 700;
/** With a boot id (`npm run dev`) a restart must be noticed at once: the alarm that fires at the start notices it. */
const BOOT_CHECK_MS = 1_000;

/** What the lane's memory knows beside its ledger. */
export interface WakeFacts {
  /** Not before this: D1 refused. */
  flushNotBefore: number;
  /** When unanswered tickets are to be rung again; null: none is out. */
  ringAt: number | null;
}

const earliest = (times: (number | null)[]): number | null =>
  times.reduce<number | null>((min, t) => (t === null ? min : min === null ? t : Math.min(min, t)), null);

/** When the lane must be woken though nobody asks; null: never. */
export function nextWake(lane: Lane, now: number, facts: WakeFacts): number | null {
  if (lane.sweeps.size > 0 || lane.scheduler.isReopening) return now;
  const oldestLease: Lease | undefined = lane.leases.values().next().value;
  const isBootWatched = lane.settings.bootId !== null && (lane.held.size > 0 || lane.state.counts.queued > 0);
  return earliest([
    flushAt(lane, now, facts.flushNotBefore),
    statsAt(lane, now, facts.flushNotBefore),
    facts.ringAt,
    lane.state.counts.queued > 0 ? (gate(lane, now)?.until ?? null) : null,
    lane.limits.nextRefill(),
    lane.ledger.firstDue(),
    lane.ledger.firstExpiry(),
    oldestLease === undefined ? null : oldestLease.receivedAt + LEASE_MS,
    lane.openBatches.next(),
    isBootWatched ? now + BOOT_CHECK_MS : null,
  ]);
}

function flushAt(lane: Lane, now: number, notBefore: number): number | null {
  const oldest = oldestUnsentAt(lane);
  return oldest === null ? null : Math.max(oldest + FLUSH_AFTER_MS, notBefore, now);
}

/** Never at once: what changes now may change again in a moment. */
function statsAt(lane: Lane, now: number, notBefore: number): number | null {
  const due = statsDueAt(lane);
  return due === null ? null : Math.max(due, notBefore, now + FLUSH_AFTER_MS);
}

/** When the oldest change was made that D1 does not have; null: it has them all. */
export function oldestUnsentAt(lane: Lane): number | null {
  const created = lane.state.projectedSeq < lane.state.nextSeq - 1 ? oldestUnprojectedAt(lane) : null;
  return earliest([lane.outboxTimes.oldest, created]);
}

/** Numbers that belong to batches, or to runs that have ended meanwhile, have nothing to send. */
function oldestUnprojectedAt(lane: Lane): number | null {
  return lane.ledger.firstRunAt(lane.state.projectedSeq + 1);
}
