import type { Lane } from "./lane.ts";
import { type AcceptAnswer, type AcceptRequest, type ItemOutcome, isRejected } from "./protocol.ts";

/** A request without identities that was taken in: its mark, the first run that it made, and when. */
export type RecentRequest = [once: string, firstSeq: number, at: number];

/** More than are ever on their way at the instant at which an object is reset. */
const KEPT = 100;
/** Longer than all tries of one call; see `client.ts`. */
const KEPT_MS = 30_000;

/** What a request was answered that comes again because its answer was lost. */
export function answeredBefore(lane: Lane, request: AcceptRequest): AcceptAnswer | null {
  if (request.once === undefined) return null;
  const known = lane.state.recent.find(([once]) => once === request.once);
  if (!known) return null;
  let [, seq, at] = known;
  const outcomes = request.items.map((item): ItemOutcome => {
    if (isRejected(item)) return { o: "rejected", error: item.error };
    const run = lane.ledger.run1(seq);
    // What the ledger has no more was first of all queued: the answer is the one that was lost.
    return { o: "created", seq: seq++, at, status: run === null ? "queued" : lane.statusOf(run) };
  });
  return { kind: "accepted", outcomes, item_count: outcomes.length };
}

export function rememberRequest(lane: Lane, request: AcceptRequest, firstSeq: number, at: number): void {
  if (request.once === undefined) return;
  lane.state.recent.push([request.once, firstSeq, at]);
  if (lane.state.recent.length > KEPT) lane.state.recent.shift();
}

/** Those that may still come again. */
export const stillRecent = (recent: readonly RecentRequest[], now: number): RecentRequest[] =>
  recent.filter(([, , at]) => at > now - KEPT_MS);
