import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { fingerprint, ItemsDigest, TextSet } from "../../src/domain/fingerprint.ts";
import {
  cutElements,
  cutObject,
  isCutOff,
  isMalformed,
  ObjectCursor,
  parsed,
  textOf,
  valueAt,
} from "../../src/domain/json-cut.ts";
import { BAD, Scan, scanValue, skipSpace } from "../../src/domain/json-scan.ts";
import { LineCutter } from "../../src/domain/ndjson.ts";

const encode = (text: string): Uint8Array => new TextEncoder().encode(text);
const json = fc.json({ maxDepth: 5, stringUnit: "grapheme" });
/** JSON as people send it: indented, escaped, with numbers that no double holds. */
const document = fc.tuple(json, fc.constantFrom(undefined, 1, "\t"), fc.boolean()).map(([text, indent, escaped]) => {
  const spaced = JSON.stringify(JSON.parse(text), null, indent) as string;
  return escaped
    ? spaced.replace(/[^\x20-\x7e\s]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`)
    : spaced;
});

/** Whether the scanner takes the whole of some bytes for one JSON value. */
function accepts(bytes: Uint8Array): boolean {
  const scan = new Scan();
  const behind = scanValue(bytes, 0, bytes.length, scan);
  return behind !== BAD && skipSpace(bytes, behind, bytes.length) === bytes.length;
}

function isJson(bytes: Uint8Array): boolean {
  try {
    JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes));
    return true;
  } catch {
    return false;
  }
}

describe("the scanner", () => {
  test("takes what a strict parser takes, and nothing else, whatever bytes are changed", () => {
    const alphabet = [
      ...encode('{}[]",:\\/ue0129.-+E \n\ttrufalsn'),
      0x00,
      0x1f,
      0x7f,
      0x80,
      0xc3,
      0xa9,
      0xed,
      0xf0,
      0xff,
    ];
    fc.assert(
      fc.property(
        document,
        fc.array(fc.tuple(fc.nat(), fc.constantFrom(...alphabet), fc.constantFrom("replace", "insert", "remove")), {
          maxLength: 3,
        }),
        (text, changes) => {
          let bytes = [...encode(text)];
          for (const [where, byte, how] of changes) {
            const at = where % (bytes.length + 1);
            bytes = bytes.toSpliced(at, how === "insert" ? 0 : 1, ...(how === "remove" ? [] : [byte]));
          }
          const changed = Uint8Array.from(bytes);
          expect(accepts(changed)).toBe(isJson(changed));
        },
      ),
      { numRuns: 3000 },
    );
  });

  test.each([
    ...[
      "01",
      "-",
      "1.",
      ".5",
      "1e",
      "1e+",
      "+1",
      "0x1",
      "NaN",
      "Infinity",
      "-0",
      "1E5",
      "123456789012345678901234567890",
    ],
    ...['"\\x"', '"\\u12g4"', '"\\ud800"', '"\t"', "'a'", "[1,]", "{,}", '{"a":1,}', "{1:2}", "[1 2]", "tru", "nullx"],
    ...["", " ", "\ufeff1", "\u00a01", "[}", "{]", "//", "1 1"],
  ])("judges %j as JSON.parse does", (text) => {
    expect(accepts(encode(text))).toBe(isJson(encode(text)));
  });

  test("every UTF-8 sequence of up to three bytes is judged as the platform's decoder does", () => {
    const wrong: number[][] = [];
    for (const a of [
      0x7f, 0x80, 0xbf, 0xc0, 0xc1, 0xc2, 0xdf, 0xe0, 0xe1, 0xec, 0xed, 0xee, 0xef, 0xf0, 0xf4, 0xf5, 0xff,
    ]) {
      for (let b = 0x20; b <= 0xff; b++) {
        for (const rest of [[], [0x41], [0x80], [0xbf], [0xc0], [0x80, 0x80], [0xbf, 0xbf], [0x80, 0x41]]) {
          const bytes = Uint8Array.from([0x22, a, b, ...rest, 0x22]);
          if (accepts(bytes) !== isJson(bytes)) wrong.push([...bytes]);
        }
      }
    }
    expect(wrong).toEqual([]);
  });

  test("counts levels, and needs no stack for a million of them", () => {
    const scan = new Scan();
    const depthOf = (text: string): number => {
      const bytes = encode(text);
      expect(scanValue(bytes, 0, bytes.length, scan)).not.toBe(BAD);
      return scan.depth;
    };
    expect(depthOf("1")).toBe(0);
    expect(depthOf("[[],[[]]]")).toBe(3);
    expect(depthOf('{"a":{"b":[1]},"c":[]}')).toBe(3);
    expect(depthOf("[".repeat(1_000_000) + "]".repeat(1_000_000))).toBe(1_000_000);
  });
});

describe("cutting", () => {
  test("members are where their text is: each parses to what the whole has", () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string({ unit: "grapheme" }), fc.jsonValue(), { maxKeys: 12 }), (object) => {
        const text = JSON.stringify(object, null, 1);
        const bytes = encode(text);
        const cut = cutObject(bytes);
        if (cut === null || isMalformed(cut)) throw new Error(text);
        const back = Object.fromEntries([...cut.members].map(([k, m]) => [k, parsed(bytes, m.from, m.to)]));
        expect(back).toEqual(JSON.parse(text));
      }),
    );
  });

  test("elements are cut byte for byte", () => {
    fc.assert(
      fc.property(fc.array(document, { maxLength: 8 }), fc.constantFrom("", " ", "\n\t"), (texts, space) => {
        const bytes = encode(`[${space}${texts.join(`${space},${space}`)}${space}]`);
        const { bounds, count } = cutElements(bytes, 0, bytes.length, 1000);
        expect(count).toBe(texts.length);
        const cut = texts.map((_, i) => textOf(bytes, bounds[2 * i] ?? 0, bounds[2 * i + 1] ?? 0));
        expect(cut).toEqual(texts.map((text) => text.trim()));
      }),
    );
  });

  test("beyond the limit elements are only counted", () => {
    const bytes = encode(`[${Array.from({ length: 300 }, (_, i) => i).join(",")}]`);
    const { bounds, count } = cutElements(bytes, 0, bytes.length, 100);
    expect(count).toBe(300);
    expect(textOf(bytes, bounds[198] ?? 0, bounds[199] ?? 0)).toBe("99");
    expect(bounds.length).toBeLessThanOrEqual(200);
  });

  test("a body that is cut off at any byte is malformed, and is known as cut off", () => {
    const text =
      ' {"options":{"é":[true,false,null]},"items":[{"payload":{"a":"x\\u00e9\\n😀","n":-12.5e+3}},{"payload":[]}],"z":""} ';
    const bytes = encode(text);
    const whole = text.trimEnd().length;
    const end = encode(text.slice(0, whole)).length;
    for (let length = 0; length < end; length++) {
      const cut = cutObject(bytes.slice(0, length));
      expect(isMalformed(cut), `at byte ${length}`).toBe(true);
      if (length > 0) expect(isCutOff(bytes.slice(0, length), 0, length), `at byte ${length}`).toBe(true);
    }
    expect(isMalformed(cutObject(bytes))).toBe(false);
    expect(isCutOff(bytes, 0, bytes.length)).toBe(false);
    expect(isCutOff(encode('{"a" 1}'), 0, 7)).toBe(false);
  });

  test("repeated keys are listed, text behind the end is malformed, other values are no object", () => {
    const repeated = cutObject(encode('{"a":1,"b":2,"\\u0061":3}'));
    expect(repeated).toMatchObject({ repeated: ["a"] });
    expect(cutObject(encode("{} {}"))).toMatchObject({ problem: "has more text behind its end", at: 3 });
    expect(cutObject(encode("[1]"))).toBe(null);
    expect(cutObject(encode("\ufeff{}"))).toMatchObject({ repeated: [] });
  });

  test("a path leads to what it leads to in the parsed value", () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 4 }), fc.array(fc.nat(), { maxLength: 4 }), (value, turns) => {
        const path: string[] = [];
        let here: unknown = value;
        for (const turn of turns) {
          if (typeof here !== "object" || here === null) break;
          const keys = Object.keys(here);
          const key = keys[turn % (keys.length + 1)] ?? "missing";
          path.push(key);
          here = (here as Record<string, unknown>)[key];
        }
        const bytes = encode(JSON.stringify(value));
        const found = valueAt(bytes, 0, bytes.length, path);
        expect(found && parsed(bytes, found.from, found.to)).toEqual(
          here === undefined ? null : JSON.parse(JSON.stringify(here)),
        );
      }),
    );
  });

  test("a cursor tells the end of an object from a problem in it", () => {
    const walk = (text: string): { keys: string[]; failed: boolean } => {
      const bytes = encode(text);
      const cursor = new ObjectCursor();
      const keys: string[] = [];
      cursor.open(bytes, 0, bytes.length);
      while (cursor.next()) keys.push(cursor.key());
      return { keys, failed: cursor.failed };
    };
    expect(walk('{ "a" : 1 , "\\"b" :[] }')).toEqual({ keys: ["a", '"b'], failed: false });
    for (const text of ['{"a":1,}', '{"a":1 "b":2}', '{"a":1', "{", '{"a":}', '{"a"}']) {
      expect(walk(text).failed, text).toBe(true);
    }
  });
});

describe("lines", () => {
  const MAX = 40;
  interface Line {
    text: string;
    tooLong: boolean;
  }

  function cutLines(bytes: Uint8Array, sizes: readonly number[]): Line[] {
    const cutter = new LineCutter(MAX);
    const lines: Line[] = [];
    let cost = 0;
    const take = (): void => {
      cost += cutter.cost;
      lines.push({ text: textOf(cutter.bytes, cutter.from, cutter.to), tooLong: cutter.tooLong });
    };
    for (let at = 0, i = 0; at < bytes.length; i++) {
      const size = sizes[i % sizes.length] ?? 1;
      cutter.feed(bytes.slice(at, at + size));
      while (cutter.next()) take();
      at += size;
    }
    if (cutter.end()) take();
    expect(cutter.end()).toBe(false);
    expect(cost).toBeLessThanOrEqual(bytes.length);
    return lines;
  }

  test("are those of the text, wherever the stream is divided", () => {
    const line = fc.oneof(
      fc.string({ unit: "grapheme", maxLength: 12 }),
      fc.constantFrom("", "  ", "\r", "\t", '{"a":1}\r', "x".repeat(MAX), "x".repeat(MAX + 1), "x".repeat(3 * MAX)),
    );
    fc.assert(
      fc.property(
        fc.array(line, { maxLength: 12 }),
        fc.boolean(),
        fc.boolean(),
        fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1, maxLength: 5 }),
        (parts, mark, newline, sizes) => {
          const text = `${mark ? "\ufeff" : ""}${parts.join("\n")}${newline ? "\n" : ""}`;
          const expected = text.split("\n").flatMap((raw, i): Line[] => {
            if (encode(raw).length > MAX) return [{ text: "", tooLong: true }];
            const trimmed = (i === 0 ? raw.replace(/^\ufeff/, "") : raw).replace(/^[ \t\r]+|[ \t\r]+$/g, "");
            return trimmed === "" ? [] : [{ text: trimmed, tooLong: false }];
          });
          expect(cutLines(encode(text), sizes)).toEqual(expected);
        },
      ),
      { numRuns: 2000 },
    );
  });
});

describe("fingerprints", () => {
  test("are of the bytes, wherever they stand, and differ where the bytes differ", () => {
    const bytes = fc.uint8Array({ maxLength: 40 });
    fc.assert(
      fc.property(bytes, bytes, bytes, (a, b, before) => {
        const moved = Uint8Array.from([...before, ...a, 7]);
        expect(fingerprint(moved, before.length, before.length + a.length)).toBe(fingerprint(a, 0, a.length));
        const same = a.length === b.length && a.every((byte, i) => byte === b[i]);
        expect(fingerprint(a, 0, a.length) === fingerprint(b, 0, b.length)).toBe(same);
      }),
    );
  });

  test("tell all bytes, all lengths of zeros and all flips of one or two bits apart", () => {
    const seen = new Set<string>();
    let made = 0;
    const add = (bytes: Uint8Array): void => {
      made++;
      seen.add(fingerprint(bytes, 0, bytes.length));
    };
    for (let length = 0; length < 64; length++) add(new Uint8Array(length));
    for (let i = 0; i < 160; i++) {
      for (let j = i; j < 160; j++) {
        const bytes = new Uint8Array(20);
        bytes[i >> 3] = 1 << (i & 7);
        bytes[j >> 3] = (bytes[j >> 3] ?? 0) | (1 << (j & 7));
        add(bytes);
      }
    }
    expect(seen.size).toBe(made);
  });

  test("of lists depend on every item, its place and the count", () => {
    const digest = (items: string[]): string => {
      const of = new ItemsDigest();
      for (const item of items) of.add(item);
      return of.value();
    };
    const lists = [[], ["a"], ["b"], ["a", "b"], ["b", "a"], ["a", "b", "b"], ["ab"], ["a", "a"]];
    expect(new Set(lists.map(digest)).size).toBe(lists.length);
    expect(digest(["a", "b"])).toBe(digest(["a", "b"]));
  });

  test("a set of texts knows what was added, through growth", () => {
    const set = new TextSet();
    for (let i = 0; i < 5000; i++) expect(set.add(`k:${i}`)).toBe(true);
    for (let i = 0; i < 5000; i++) expect(set.add(`k:${i}`)).toBe(false);
    expect(set.has("k:4999")).toBe(true);
    expect(set.has("k:5000")).toBe(false);
  });
});
