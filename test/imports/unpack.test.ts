import { gzipSync, zstdCompressSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { BrokenObject } from "../../src/domain/row-reader.ts";
import { type ByteReader, packingOf, unpack } from "../../src/imports/unpack.ts";

const concat = (...parts: Uint8Array[]): Uint8Array => new Uint8Array(Buffer.concat(parts));

function readerOf(bytes: Uint8Array, sizes: number[]): ByteReader {
  let at = 0;
  let turn = 0;
  return async () => {
    if (at >= bytes.length) return null;
    const part = bytes.slice(at, at + (sizes[turn++ % sizes.length] ?? 1));
    at += part.length;
    return part;
  };
}

/** What comes out, up to the end or the problem. */
async function unpacked(bytes: Uint8Array, sizes: number[]): Promise<{ bytes: Uint8Array; problem: string | null }> {
  const packing = packingOf(bytes);
  if (packing === "none") throw new Error("it is not packed");
  const { read } = unpack(readerOf(bytes, sizes), packing);
  const parts: Uint8Array[] = [];
  try {
    for (let part = await read(); part !== null; part = await read()) parts.push(part.slice());
    return { bytes: concat(...parts), problem: null };
  } catch (error) {
    if (!(error instanceof BrokenObject)) throw error;
    return { bytes: concat(...parts), problem: error.message };
  }
}

const contentArb = fc.oneof(
  fc.uint8Array({ maxLength: 3000 }),
  fc.tuple(fc.nat(255), fc.nat(100_000)).map(([byte, size]) => new Uint8Array(size).fill(byte)),
);
const sizesArb = fc.array(fc.integer({ min: 1, max: 5000 }), { minLength: 1, maxLength: 5 });
const RUNS = { numRuns: 40 };

const PACKERS = [
  { name: "gzip", pack: (bytes: Uint8Array): Uint8Array => gzipSync(bytes) },
  { name: "zstd", pack: (bytes: Uint8Array): Uint8Array => zstdCompressSync(bytes) },
];

describe.each(PACKERS)("$name", ({ pack }) => {
  test("of one or several members comes out whole, however it arrives", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(contentArb, { minLength: 1, maxLength: 4 }), sizesArb, async (members, sizes) => {
        const result = await unpacked(concat(...members.map(pack)), sizes);
        expect(result.problem).toBe(null);
        expect(Buffer.from(result.bytes).equals(Buffer.concat(members))).toBe(true);
      }),
      RUNS,
    );
  });

  test("cut anywhere is known to be cut, and what came before is right", async () => {
    await fc.assert(
      fc.asyncProperty(
        contentArb,
        contentArb,
        fc.double({ min: 0, max: 1, noNaN: true }),
        sizesArb,
        async (a, b, cut, sizes) => {
          const [first, second] = [pack(a), pack(b)];
          const at = Math.max(4, Math.floor(cut * (first.length + second.length)));
          if (at === first.length || at >= first.length + second.length) return;
          const whole = Buffer.concat([a, b]);
          const result = await unpacked(concat(first, second).subarray(0, at), sizes);
          // A member of which less than its own name has come looks like what may stand behind the last one.
          if (at > first.length + 4 || at < first.length) expect(result.problem).toMatch(/^is not sound/);
          expect(whole.subarray(0, result.bytes.length).equals(Buffer.from(result.bytes))).toBe(true);
        },
      ),
      RUNS,
    );
  });
});

test("a bomb is refused before it has been unpacked", async () => {
  for (const { pack } of PACKERS) {
    const member = pack(new Uint8Array(4 * 1024 * 1024));
    const bomb = concat(...Array.from({ length: 64 }, () => member));
    const result = await unpacked(bomb, [1024]);
    expect(result.problem).toBe("unpacks to more than 250 times its size");
    expect(result.bytes.length).toBeLessThanOrEqual(64 * 1024 * 1024);
  }
});
