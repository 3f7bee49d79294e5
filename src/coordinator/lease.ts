import type { Ledger, LedgerRun } from "./ledger.ts";

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

type HeldTuple = [number, number, 0 | 1, number, number, number | null, number | null, 0 | 1];

interface LeaseDoc {
  ticket: string;
  sequence: number;
  received: number;
  boot: string | null;
  held: HeldTuple[];
}

export function leaseDoc(lease: Lease): string {
  const held: HeldTuple[] = [];
  for (const h of lease.held.values()) {
    held.push([h.seq, h.attempt, h.fallback ? 1 : 0, h.version, h.sequence, h.batch, h.startedAt, h.canceled ? 1 : 0]);
  }
  const doc: LeaseDoc = {
    ticket: lease.ticket,
    sequence: lease.sequence,
    received: lease.receivedAt,
    boot: lease.boot,
    held,
  };
  return JSON.stringify(doc);
}

export function loadLeases(ledger: Ledger): Lease[] {
  return ledger.all("SELECT nonce, doc FROM leases").map((row) => {
    const nonce = row.nonce as string;
    const doc = JSON.parse(row.doc as string) as LeaseDoc;
    const held = new Map<number, Held>();
    for (const [seq, attempt, fallback, version, sequence, batch, startedAt, canceled] of doc.held) {
      held.set(seq, {
        seq,
        nonce,
        attempt,
        fallback: fallback === 1,
        version,
        sequence,
        batch,
        startedAt,
        canceled: canceled === 1,
      });
    }
    return { nonce, ticket: doc.ticket, sequence: doc.sequence, receivedAt: doc.received, boot: doc.boot, held };
  });
}
