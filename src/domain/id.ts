import { toHex } from "./hex.ts";

/**
 * Ids that lead to their coordinator without a lookup.
 *
 * A run's or batch's id is a UUIDv7 (RFC 9562) whose 74 free bits hold, high to low: 36 bits of the ledger's sequence
 * number, 6 bits of the lane, 32 bits of the job's number. Within a millisecond ids sort by sequence number, so
 * `(created_at, id)` order is `id` order. Nothing in it is secret; a forged id resolves to a run that is not there.
 */
export interface LedgerId {
  /** Unix milliseconds, 48 bits. */
  at: number;
  /** 36 bits; unique within the job's lane. */
  seq: number;
  /** 6 bits; 0 today. */
  lane: number;
  /** The job's number, 32 bits. */
  job: number;
}

const TWO_24 = 2 ** 24;
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const UUID_V7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

export const isUuid = (text: string): boolean => UUID.test(text);

/** `at`, `seq`, `lane`, `job` → `tttttttt-tttt-7sss-vsss-sssLjjjjjjjj` shaped as a UUIDv7. */
export function ledgerId({ at, seq, lane, job }: LedgerId): string {
  const time = at.toString(16).padStart(12, "0");
  const seqHigh = Math.floor(seq / TWO_24); // 12 bits
  const seqLow = seq % TWO_24; // 24 bits
  // The 62 low bits: seqLow(24) lane(6) job(32).
  const top30 = seqLow * 64 + lane; // 30 bits
  const head = 0x8000 | Math.floor(top30 / 2 ** 16); // variant 10 + 14 bits
  const tail = top30 % 2 ** 16;
  return `${time.slice(0, 8)}-${time.slice(8)}-7${seqHigh.toString(16).padStart(3, "0")}-${head
    .toString(16)
    .padStart(4, "0")}-${tail.toString(16).padStart(4, "0")}${job.toString(16).padStart(8, "0")}`;
}

/** The parts of an id, or null where the text is no UUIDv7. */
export function parseLedgerId(id: string): LedgerId | null {
  if (!UUID_V7.test(id)) return null;
  const at = Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16);
  const seqHigh = Number.parseInt(id.slice(15, 18), 16);
  const head = Number.parseInt(id.slice(19, 23), 16) & 0x3fff;
  const tail = Number.parseInt(id.slice(24, 28), 16);
  const top30 = head * 2 ** 16 + tail;
  const seqLow = Math.floor(top30 / 64);
  return {
    at,
    seq: seqHigh * TWO_24 + seqLow,
    lane: top30 % 64,
    job: Number.parseInt(id.slice(28), 16),
  };
}

/** A UUIDv7 for what belongs to no ledger (projects, jobs, keys): `random` gives 10 bytes. */
export function uuidV7(at: number, random: Uint8Array): string {
  const hex = toHex(random.subarray(0, 10));
  const time = at.toString(16).padStart(12, "0");
  const variant = (0x8 | (Number.parseInt(hex.slice(3, 4), 16) & 0x3)).toString(16);
  return `${time.slice(0, 8)}-${time.slice(8)}-7${hex.slice(0, 3)}-${variant}${hex.slice(4, 7)}-${hex.slice(7, 19)}`;
}

/** When a UUIDv7 was made, in Unix milliseconds. */
export const timeOf = (id: string): number => Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16);

/** The smallest id that can have been made at `at`: a bound for `created_after` filters. */
export const firstIdAt = (at: number): string => ledgerId({ at, seq: 0, lane: 0, job: 0 });

/** The name of the Durable Object that owns a job's lane. */
export const laneName = (jobId: string, lane: number): string => `${jobId}:${lane}`;
