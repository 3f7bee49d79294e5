/**
 * Fingerprints of raw bytes: 64 bits from two lanes of MurmurHash3 (x86, 32 bits) with constants of their own, as 11
 * characters. They tell a repeated item from another one at some nanoseconds a byte. They are no defence: whoever can make
 * two items collide has only fooled the retry of a request of their own.
 */

const ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz-";
const CODES = Uint8Array.from(ALPHABET, (c) => c.charCodeAt(0));
const SEED_A = 0x9747b28c;
const SEED_B = 0x3c6ef372;

const finish = (hash: number, length: number): number => {
  let h = hash ^ length;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
};

const code = (value: number): number => CODES[value & 63] as number;

const text = (a: number, b: number): string =>
  String.fromCharCode(
    code(a),
    code(a >>> 6),
    code(a >>> 12),
    code(a >>> 18),
    code(a >>> 24),
    code((a >>> 30) | (b << 2)),
    code(b >>> 4),
    code(b >>> 10),
    code(b >>> 16),
    code(b >>> 22),
    code(b >>> 28),
  );

/** The fingerprint of `bytes[from, to)`. */
export function fingerprint(bytes: Uint8Array, from: number, to: number): string {
  let a = SEED_A;
  let b = SEED_B;
  let at = from;
  for (; at + 4 <= to; at += 4) {
    const word =
      (bytes[at] as number) |
      ((bytes[at + 1] as number) << 8) |
      ((bytes[at + 2] as number) << 16) |
      ((bytes[at + 3] as number) << 24);
    a = laneA(a, word);
    b = laneB(b, word);
  }
  let rest = 0;
  for (let shift = 0; at < to; at++, shift += 8) rest |= (bytes[at] as number) << shift;
  // The length goes into the end, so that a tail of zeros is not the same as none.
  return text(finish(laneA(a, rest), to - from), finish(laneB(b, rest), to - from));
}

function laneA(hash: number, word: number): number {
  let k = Math.imul(word, 0xcc9e2d51);
  k = (k << 15) | (k >>> 17);
  const h = hash ^ Math.imul(k, 0x1b873593);
  return (Math.imul((h << 13) | (h >>> 19), 5) + 0xe6546b64) | 0;
}

function laneB(hash: number, word: number): number {
  let k = Math.imul(word, 0x239b961b);
  k = (k << 17) | (k >>> 15);
  const h = hash ^ Math.imul(k, 0xab0e9789);
  return (Math.imul((h << 19) | (h >>> 13), 5) + 0x561ccd1b) | 0;
}

/** The fingerprint of a list of items, folded from theirs in order. */
export class ItemsDigest {
  private a = SEED_B;
  private b = SEED_A;
  count = 0;

  add(item: string): void {
    for (let i = 0; i < item.length; i += 2) {
      const word = item.charCodeAt(i) | ((item.charCodeAt(i + 1) | 0) << 16);
      this.a = laneA(this.a, word);
      this.b = laneB(this.b, word);
    }
    this.count++;
  }

  value(): string {
    return `${text(finish(this.a, this.count), finish(this.b, this.count))}:${this.count}`;
  }
}

/**
 * Remembers a million texts in some 16 MB, by 53 bits of each one's fingerprint: of a million texts, one is taken for
 * another with a probability of 1 in 18,000.
 */
export class TextSet {
  private slots = new Float64Array(1024);
  private count = 0;

  /** False where the text was there. */
  add(text: string): boolean {
    if (2 * this.count >= this.slots.length) this.grow();
    const added = insert(this.slots, numberOf(text));
    if (added) this.count++;
    return added;
  }

  has(text: string): boolean {
    const value = numberOf(text);
    return this.slots[slotOf(this.slots, value)] === value;
  }

  private grow(): void {
    const wider = new Float64Array(2 * this.slots.length);
    for (const value of this.slots) if (value !== 0) insert(wider, value);
    this.slots = wider;
  }
}

/** 1..2^53: zero means an empty slot. */
function numberOf(text: string): number {
  let a = SEED_A;
  let b = SEED_B;
  for (let i = 0; i < text.length; i++) {
    a = laneA(a, text.charCodeAt(i));
    b = laneB(b, text.charCodeAt(i));
  }
  return (finish(a, text.length) >>> 0) * 2 ** 21 + (finish(b, text.length) >>> 11) + 1;
}

/** Where the value is, or the empty slot where it belongs. */
function slotOf(slots: Float64Array, value: number): number {
  let at = value % slots.length;
  while (slots[at] !== 0 && slots[at] !== value) at = (at + 1) % slots.length;
  return at;
}

function insert(slots: Float64Array, value: number): boolean {
  const at = slotOf(slots, value);
  if (slots[at] === value) return false;
  slots[at] = value;
  return true;
}
