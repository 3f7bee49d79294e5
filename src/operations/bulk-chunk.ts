import { MAX_CHUNK_BYTES, MAX_CHUNK_ITEMS } from "../coordinator/protocol.ts";
import { isRefused, needsVersion, type RefusedItem, type TriggerItem, tooLongItem } from "../domain/item.ts";
import type { ItemSource } from "./item-source.ts";
import type { JobJudge } from "./job-judge.ts";

/**
 * Characters of details that the refusals of a chunk may have together: they are kept in one row, beside much else. Beyond
 * it a refusal has its message only.
 */
const MAX_DETAIL_CHARS = 150_000;

/** Items that go to the coordinator in one call: raw, fingerprinted and judged. */
export class Chunk {
  readonly firstIndex: number;
  readonly hashes: string[] = [];
  readonly items: (TriggerItem | RefusedItem)[] = [];
  /** The revision of the job that the items were judged by. */
  revision: number;
  private readonly raw: (Uint8Array | null)[] = [];
  private readonly bounds: number[] = [];
  private cost = 0;
  private detailChars = 0;

  constructor(firstIndex: number, revision: number) {
    this.firstIndex = firstIndex;
    this.revision = revision;
  }

  /** Bytes of the body count, not of payloads alone: views hold on to what stands between items. */
  hasRoomFor(source: ItemSource): boolean {
    const { length } = this.hashes;
    return length === 0 || (length < MAX_CHUNK_ITEMS && this.cost + source.cost <= MAX_CHUNK_BYTES);
  }

  get next(): number {
    return this.firstIndex + this.hashes.length;
  }

  /**
   * @param judge null where only the fingerprint is wanted.
   * @param now Unix milliseconds.
   * @returns a promise where a version has to be looked up first, else nothing: most items wait for nothing.
   */
  add(source: ItemSource, hash: string, judge: JobJudge | null, now: number): Promise<void> | undefined {
    const at = this.next;
    this.hashes.push(hash);
    this.cost += source.cost;
    if (judge === null) return undefined;
    this.raw.push(source.tooLong ? null : source.bytes);
    this.bounds.push(source.from, source.to);
    if (source.tooLong) {
      this.items.push(tooLongItem(at));
      return undefined;
    }
    const verdict = judge.verdict(source.bytes, source.from, source.to, at, now);
    if (!needsVersion(verdict)) {
      this.items.push(this.bounded(verdict));
      return undefined;
    }
    const { bytes, from, to } = source;
    return judge.judged(bytes, from, to, at, now).then((item) => void this.items.push(this.bounded(item)));
  }

  /** Judges everything again, by a newer state of the job. */
  async rejudge(judge: JobJudge, now: number): Promise<void> {
    this.detailChars = 0;
    for (let i = 0; i < this.raw.length; i++) {
      const bytes = this.raw[i];
      if (!bytes) continue;
      const [from = 0, to = 0] = [this.bounds[2 * i], this.bounds[2 * i + 1]];
      this.items[i] = this.bounded(await judge.judged(bytes, from, to, this.firstIndex + i, now));
    }
    this.revision = judge.job.revision;
  }

  private bounded(item: TriggerItem | RefusedItem): TriggerItem | RefusedItem {
    if (!isRefused(item)) return item;
    this.detailChars += JSON.stringify(item.error.details).length;
    return this.detailChars > MAX_DETAIL_CHARS ? { error: { ...item.error, details: [] } } : item;
  }
}
