import { fingerprint, ItemsDigest } from "../domain/fingerprint.ts";
import { Chunk } from "./bulk-chunk.ts";
import type { ItemSource } from "./item-source.ts";
import type { JobJudge } from "./job-judge.ts";

/** The fingerprint of an item that was too long to be kept; no other item has it. */
const TOO_LONG = "too long";

export interface Reading {
  digest: ItemsDigest;
  /** There was an item beyond the limit; it and what follows was left unread. */
  overflown: boolean;
}

export interface ReadPlan {
  judge: JobJudge;
  /** Index of the first item. */
  from: number;
  /** Items to take at most. */
  limit: number;
  /** Takes a chunk. It is called for one at a time, while the next one is being read. */
  deliver: (chunk: Chunk) => Promise<void>;
  /** False once only fingerprints are wanted. */
  judging: () => boolean;
}

/** Reads a source to its end and hands it over chunk by chunk, one of them under way while the next is read. */
export async function readChunks(source: ItemSource, plan: ReadPlan): Promise<Reading> {
  const reading: Reading = { digest: new ItemsDigest(), overflown: false };
  let underWay: Promise<void> = Promise.resolve();
  const send = async (chunk: Chunk): Promise<void> => {
    await underWay;
    underWay = plan.deliver(chunk);
    // Whoever awaits it next hears of its failure; until then it must not count as unheard.
    underWay.catch(() => undefined);
  };
  let chunk = new Chunk(plan.from, plan.judge.job.revision);
  try {
    do {
      while (source.next()) {
        if (reading.digest.count === plan.limit) {
          reading.overflown = true;
          break;
        }
        if (!chunk.hasRoomFor(source)) {
          await send(chunk);
          chunk = new Chunk(chunk.next, plan.judge.job.revision);
        }
        const waiting = take(source, chunk, reading.digest, plan);
        if (waiting) await waiting;
      }
    } while (!reading.overflown && (await source.more()));
    if (chunk.hashes.length > 0) await send(chunk);
    await underWay;
    return reading;
  } finally {
    await underWay.catch(() => undefined);
  }
}

function take(source: ItemSource, chunk: Chunk, digest: ItemsDigest, plan: ReadPlan): Promise<void> | undefined {
  const hash = source.tooLong ? TOO_LONG : fingerprint(source.bytes, source.from, source.to);
  digest.add(hash);
  return chunk.add(source, hash, plan.judging() ? plan.judge : null, Date.now());
}
