import { parseLedgerId } from "./id.ts";

/**
 * Versions that tell whose they are. A watcher resumes by the number it saw last; one that belongs to another object must
 * not be taken for this one's. So a version is the ledger's count of commits, and below it 12 bits of its owner's id: it
 * still only rises, and two owners share a mark in one of 4,096 cases.
 */
const MARKS = 4096;
/** Any odd number that spreads neighbours. */
const SPREAD = 2_654_435_761;

const markOf = (seq: number, job: number): number => ((seq * 31 + Math.imul(job, SPREAD)) >>> 0) % MARKS;

/** The version of what the ledger's number `seq` of a job names, after commit `ver`. */
export const markedVersion = (ver: number, seq: number, job: number): number => ver * MARKS + markOf(seq, job);

/** The version that a `Last-Event-ID` names; null where it is none of this object's. */
export function versionOfEvent(lastEventId: string | undefined, id: string): number | null {
  const owner = parseLedgerId(id);
  if (owner === null || lastEventId === undefined || !/^\d{1,15}$/.test(lastEventId)) return null;
  const version = Number(lastEventId);
  return version % MARKS === markOf(owner.seq, owner.job) ? version : null;
}
