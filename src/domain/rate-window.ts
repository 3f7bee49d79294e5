/** A window that was forgotten and made anew must not take an old stamp for one of its own. */
let nextId = 1;

/**
 * The starts of calls that one sliding window must still count (contract 4.4, design 3 "Rate windows").
 *
 * A start is known by its *bound*, the latest instant at which it can have happened: at the grant that is the grant's
 * `start_by`, later the instant that the consumer reports. With W the window's length, a stamp counts at `now` while
 * `bound + W > now`, so a start exactly W earlier no longer does.
 *
 * Why that is exact: let a half-open interval [t, t + W) hold several starts, and let the last *granted* of them be granted
 * at g. Then g ≤ its start < t + W, and every other start s of the interval has g − W < t ≤ s ≤ bound, so all of them were
 * counted at g. If a start is granted only while `used < max`, the interval holds at most max.
 *
 * There is no clock in here. `now` is the caller's and never runs backwards: what has left the window is forgotten for good.
 * So a limit that is made longer counts what it still knows.
 */
export class SlidingWindow {
  private readonly bounds = new SortedCounts();
  /** Bounds of the stamps that may still be shortened, by id, oldest first. */
  private readonly unsettled = new Map<number, number>();
  /** Bounds up to here are forgotten. */
  private horizon = Number.NEGATIVE_INFINITY;

  /** Counts a start that happens no later than `bound` (Unix ms). The stamp's id settles it; no other window has it. */
  add(bound: number): number {
    const id = nextId++;
    this.count(bound, 1);
    this.unsettled.set(id, bound);
    return id;
  }

  /** The start happened no later than `startedBy`. A stamp is settled once; an unknown or forgotten one is ignored. */
  settle(id: number, startedBy: number): void {
    const bound = this.take(id);
    if (bound !== null) this.count(Math.min(bound, startedBy), 1);
  }

  /** The call was never begun: it was given back, and the stamp counts no more. */
  withdraw(id: number): void {
    this.take(id);
  }

  /** How many starts may lie in a window of `windowMs` that ends at `now` or later. */
  used(now: number, windowMs: number): number {
    this.forget(now - windowMs);
    return this.bounds.size;
  }

  /** The earliest instant from `now` on at which fewer than `max` (at least 1) starts are counted, as bounds stand now. */
  roomAt(now: number, windowMs: number, max: number): number {
    const used = this.used(now, windowMs);
    return used < max ? now : this.bounds.at(used - max) + windowMs;
  }

  /**
   * The settled stamps, as `encodeStarts` writes them. Those unsettled are the leases' to keep: after a restart they are
   * added again.
   */
  snapshot(): number[] {
    const open = new Map<number, number>();
    for (const bound of this.unsettled.values()) open.set(bound, (open.get(bound) ?? 0) + 1);
    const encoder = new StartsEncoder();
    for (const [bound, count] of this.bounds.entries()) encoder.put(bound, count - (open.get(bound) ?? 0));
    return encoder.encoded;
  }

  /** Adds settled stamps, beside those that are here. A window may be restored from any number of pieces. */
  restore(encoded: readonly number[]): void {
    let bound = 0;
    for (let i = 0; i + 1 < encoded.length; i += 2) {
      bound += encoded[i] ?? 0;
      this.count(bound, encoded[i + 1] ?? 0);
    }
  }

  private count(bound: number, times: number): void {
    if (bound > this.horizon) this.bounds.add(bound, times);
  }

  /** Takes an unsettled stamp out and answers its bound; null where it is unknown, settled or forgotten. */
  private take(id: number): number | null {
    const bound = this.unsettled.get(id);
    this.unsettled.delete(id);
    if (bound === undefined || bound <= this.horizon) return null;
    this.bounds.remove(bound);
    return bound;
  }

  private forget(horizon: number): void {
    if (horizon <= this.horizon) return;
    this.horizon = horizon;
    this.bounds.removeUpTo(horizon);
    // A stamp behind a later one waits for it: no longer than a grant's `start_by` differs from another's.
    for (const [id, bound] of this.unsettled) {
      if (bound > horizon) break;
      this.unsettled.delete(id);
    }
  }
}

/**
 * Bounds of settled starts in little space: `[bound, count, step, count, step, count, …]`, ascending, equal milliseconds
 * merged, each step the distance from the bound before.
 */
export function encodeStarts(bounds: readonly number[]): number[] {
  const encoder = new StartsEncoder();
  for (const bound of Float64Array.from(bounds).sort()) encoder.put(bound, 1);
  return encoder.encoded;
}

class StartsEncoder {
  readonly encoded: number[] = [];
  private last = 0;

  /** Bounds come in ascending order. */
  put(bound: number, count: number): void {
    if (count <= 0) return;
    const merged = this.encoded.length > 0 && bound === this.last;
    if (merged) this.encoded.push((this.encoded.pop() ?? 0) + count);
    else this.encoded.push(bound - this.last, count);
    this.last = bound;
  }
}

/** Ascending distinct values, each with how often it is there; never empty while it stands in a list. */
interface Chunk {
  values: number[];
  counts: number[];
  total: number;
}

const CHUNK = 64;

/**
 * A multiset of numbers in ascending order, in chunks of at most `CHUNK` distinct values: finding a place costs two binary
 * searches, changing it moves one chunk at most. So a change costs O(log n), and memory is two numbers a distinct value.
 */
class SortedCounts {
  size = 0;
  private readonly chunks: Chunk[] = [];

  add(value: number, count: number): void {
    this.size += count;
    const c = Math.max(0, this.chunkOf(value));
    const chunk = this.chunks[c];
    if (chunk === undefined) {
      this.chunks.push({ values: [value], counts: [count], total: count });
      return;
    }
    chunk.total += count;
    const i = upperBound(chunk.values, value, itself);
    if (chunk.values[i - 1] === value) {
      chunk.counts[i - 1] = (chunk.counts[i - 1] ?? 0) + count;
      return;
    }
    chunk.values.splice(i, 0, value);
    chunk.counts.splice(i, 0, count);
    if (chunk.values.length > CHUNK) this.chunks.splice(c + 1, 0, splitOff(chunk, i));
  }

  /** Which chunk a value belongs to, nearly always the last one; -1: before the first. */
  private chunkOf(value: number): number {
    const last = this.chunks[this.chunks.length - 1];
    if (last !== undefined && firstOf(last) <= value) return this.chunks.length - 1;
    return upperBound(this.chunks, value, firstOf) - 1;
  }

  /** Takes one of a value that is there. */
  remove(value: number): void {
    const c = this.chunkOf(value);
    const chunk = this.chunks[c];
    const i = chunk === undefined ? -1 : upperBound(chunk.values, value, itself) - 1;
    if (chunk === undefined || chunk.values[i] !== value) throw new Error(`no such start: ${value}`);
    const left = (chunk.counts[i] ?? 0) - 1;
    this.size -= 1;
    chunk.total -= 1;
    chunk.counts[i] = left;
    if (left > 0) return;
    chunk.values.splice(i, 1);
    chunk.counts.splice(i, 1);
    if (chunk.values.length === 0) this.chunks.splice(c, 1);
  }

  /** Takes every value up to `limit`, that included. */
  removeUpTo(limit: number): void {
    // A chunk before one that begins within the limit lies within it as a whole.
    while (this.chunks[1] !== undefined && firstOf(this.chunks[1]) <= limit)
      this.size -= this.chunks.shift()?.total ?? 0;
    const chunk = this.chunks[0];
    if (chunk === undefined || firstOf(chunk) > limit) return;
    const gone = upperBound(chunk.values, limit, itself);
    chunk.values.splice(0, gone);
    for (const count of chunk.counts.splice(0, gone)) {
      this.size -= count;
      chunk.total -= count;
    }
    if (chunk.values.length === 0) this.chunks.shift();
  }

  /** The value at `index` (from 0, below `size`) in ascending order, repeated ones counted. */
  at(index: number): number {
    let rest = index;
    for (const chunk of this.chunks) {
      if (rest >= chunk.total) {
        rest -= chunk.total;
        continue;
      }
      for (const [i, count] of chunk.counts.entries()) {
        if (rest < count) return chunk.values[i] ?? Number.NaN;
        rest -= count;
      }
    }
    throw new Error(`no start at ${index} of ${this.size}`);
  }

  *entries(): Generator<[value: number, count: number]> {
    for (const chunk of this.chunks) {
      for (const [i, value] of chunk.values.entries()) yield [value, chunk.counts[i] ?? 0];
    }
  }
}

const firstOf = (chunk: Chunk): number => chunk.values[0] ?? Number.NaN;
const itself = (value: number): number => value;

/** How many elements of an ascending list are at most `value`. */
function upperBound<T>(list: readonly T[], value: number, numberOf: (element: T) => number): number {
  let low = 0;
  let high = list.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (numberOf(list[middle] as T) <= value) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Starts come in rising order, so a chunk that overflowed at its end stays full; else it is halved. */
function splitOff(chunk: Chunk, inserted: number): Chunk {
  const from = inserted === chunk.values.length - 1 ? inserted : CHUNK >> 1;
  const values = chunk.values.splice(from);
  const counts = chunk.counts.splice(from);
  const total = counts.reduce((sum, count) => sum + count, 0);
  chunk.total -= total;
  return { values, counts, total };
}
