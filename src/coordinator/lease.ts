import type { Ledger, LedgerRun } from "./ledger.ts";
import type { Stamp } from "./limits.ts";

/** A permit in use: one call that a consumer was asked to make. */
export interface Held {
  seq: number;
  nonce: string;
  attempt: number;
  fallback: boolean;
  version: number;
  /** The exchange that granted it: the same request gets the same answer. */
  sequence: number;
  batch: number | null;
  /** Null until the consumer says that the call has begun. */
  startedAt: number | null;
  /** The run is terminal already; the permit lasts until the call is aborted. */
  canceled: boolean;
  key: string | null;
  grantedAt: number;
  /** The latest instant at which its call may begin. */
  startBy: number;
  /** The rate windows it drew from, and the stamps there that are not settled yet. */
  windows: string[];
  stamps: Stamp[];
  /** The run as it was granted, so that its report need not read it again. Absent after a restart, and for big payloads. */
  run?: LedgerRun;
}

/** Runs handed to one consumer invocation until it falls silent. */
export interface Lease {
  nonce: string;
  ticket: string;
  /** The last exchange that was answered. */
  sequence: number;
  receivedAt: number;
  boot: string | null;
  held: Map<number, Held>;
}

type HeldTuple = [
  seq: number,
  attempt: number,
  fallback: 0 | 1,
  version: number,
  sequence: number,
  batch: number | null,
  startedAt: number | null,
  canceled: 0 | 1,
  grantedAt: number,
  startBy: number,
  key?: string | null,
  windows?: string[],
];

interface LeaseDoc {
  ticket: string;
  sequence: number;
  received: number;
  boot: string | null;
  held: HeldTuple[];
}

/** A permit for a run that is only now being looked at. */
export const newHeld = (
  seq: number,
  nonce: string,
  sequence: number,
  batch: number | null,
  key: string | null,
  grantedAt: number,
): Held => ({
  seq,
  nonce,
  attempt: 0,
  fallback: false,
  version: 0,
  sequence,
  batch,
  startedAt: null,
  canceled: false,
  key,
  grantedAt,
  startBy: grantedAt,
  windows: [],
  stamps: [],
});

function tupleOf(h: Held): HeldTuple {
  const tuple: HeldTuple = [
    h.seq,
    h.attempt,
    h.fallback ? 1 : 0,
    h.version,
    h.sequence,
    h.batch,
    h.startedAt,
    h.canceled ? 1 : 0,
    h.grantedAt,
    h.startBy,
  ];
  if (h.key !== null || h.windows.length > 0) tuple.push(h.key, h.windows);
  return tuple;
}

export function leaseDoc(lease: Lease): string {
  const held = [...lease.held.values()].map(tupleOf);
  const doc: LeaseDoc = {
    ticket: lease.ticket,
    sequence: lease.sequence,
    received: lease.receivedAt,
    boot: lease.boot,
    held,
  };
  return JSON.stringify(doc);
}

/** In the order in which they were heard of last. */
export function loadLeases(ledger: Ledger): Lease[] {
  const leases = ledger.all("SELECT nonce, doc FROM leases").map((row): Lease => {
    const nonce = row.nonce as string;
    const doc = JSON.parse(row.doc as string) as LeaseDoc;
    const held = new Map<number, Held>();
    for (const tuple of doc.held) {
      const [seq, attempt, fallback, version, sequence, batch, startedAt, canceled, grantedAt, startBy, key, windows] =
        tuple;
      held.set(seq, {
        ...newHeld(seq, nonce, sequence, batch, key ?? null, grantedAt),
        attempt,
        fallback: fallback === 1,
        version,
        startedAt,
        canceled: canceled === 1,
        startBy,
        windows: windows ?? [],
      });
    }
    return { nonce, ticket: doc.ticket, sequence: doc.sequence, receivedAt: doc.received, boot: doc.boot, held };
  });
  return leases.sort((a, b) => a.receivedAt - b.receivedAt);
}
