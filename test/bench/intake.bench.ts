/**
 * Microseconds an item that the pure part of the intake takes: cutting, fingerprinting, judging. Run it with
 * `node test/bench/intake.bench.ts`; it prints a table, best of several rounds.
 */
import { createHash } from "node:crypto";
import { canonicalJson } from "../../src/domain/canonical-json.ts";
import { fingerprint, ItemsDigest } from "../../src/domain/fingerprint.ts";
import { ItemJudge, isRefused, MAX_ITEM_BYTES, needsVersion } from "../../src/domain/item.ts";
import type { ItemRules } from "../../src/domain/item-rules.ts";
import { cutElements, cutObject, isMalformed } from "../../src/domain/json-cut.ts";
import { LineCutter } from "../../src/domain/ndjson.ts";
import { compileSchema } from "../../src/domain/payload-schema.ts";

const NOW = Date.UTC(2026, 10, 23);
const PART = 64 * 1024;

const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex");
const plain: ItemRules = {
  limits: new Set(),
  keyRequired: false,
  keyPath: null,
  keyDefault: null,
  dedup: false,
  check: null,
  metadataNames: [],
  versions: new Map(),
  hashPayload: (payload) => sha256(canonicalJson(payload)),
};

const items = (count: number): string[] =>
  Array.from({ length: count }, (_, i) =>
    JSON.stringify({
      idempotency_key: `order-${i}`,
      payload: { id: i, name: `customer ${i}`, amount: i / 7, tags: ["a", "b"] },
    }),
  );

function lines(bytes: Uint8Array, rules: ItemRules): number {
  const judge = new ItemJudge(rules);
  const digest = new ItemsDigest();
  const cutter = new LineCutter(MAX_ITEM_BYTES);
  let index = 0;
  for (let at = 0; at < bytes.length; at += PART) {
    cutter.feed(bytes.subarray(at, at + PART));
    while (cutter.next()) one(judge, digest, cutter.bytes, cutter.from, cutter.to, index++);
  }
  if (cutter.end()) one(judge, digest, cutter.bytes, cutter.from, cutter.to, index++);
  return index;
}

function body(bytes: Uint8Array, rules: ItemRules): number {
  const cut = cutObject(bytes);
  const span = cut === null || isMalformed(cut) ? undefined : cut.members.get("items");
  if (!span) throw new Error("the body has no items");
  const { bounds, count } = cutElements(bytes, span.from, span.to, 10_000);
  const judge = new ItemJudge(rules);
  const digest = new ItemsDigest();
  for (let i = 0; i < count; i++) one(judge, digest, bytes, bounds[2 * i] ?? 0, bounds[2 * i + 1] ?? 0, i);
  return count;
}

function one(judge: ItemJudge, digest: ItemsDigest, bytes: Uint8Array, from: number, to: number, index: number): void {
  digest.add(fingerprint(bytes, from, to));
  const verdict = judge.judge(bytes, from, to, index, NOW);
  if (needsVersion(verdict) || isRefused(verdict)) throw new Error(`item ${index} was refused`);
}

function best(work: () => number): number {
  let least = Number.POSITIVE_INFINITY;
  for (let round = 0; round < 12; round++) {
    const from = performance.now();
    const count = work();
    least = Math.min(least, ((performance.now() - from) * 1000) / count);
  }
  return least;
}

const texts = items(10_000);
const ndjson = new TextEncoder().encode(texts.join("\n"));
const json = new TextEncoder().encode(`{"items":[${texts.join(",")}]}`);
const schema = compileSchema({
  type: "object",
  required: ["id"],
  properties: { id: { type: "integer" }, name: { type: "string", pattern: "^customer" } },
});
const results = {
  "NDJSON, plain": best(() => lines(ndjson, plain)),
  "JSON, plain": best(() => body(json, plain)),
  "NDJSON, concurrency_key_from": best(() => lines(ndjson, { ...plain, keyPath: ["payload", "name"] })),
  "NDJSON, payload_schema": best(() => lines(ndjson, { ...plain, check: schema })),
  "canonical JSON and SHA-256 alone": best(() => {
    for (const text of texts) plain.hashPayload(text);
    return texts.length;
  }),
};
console.log(`items of ${Math.round(ndjson.length / texts.length)} bytes`);
console.table(Object.fromEntries(Object.entries(results).map(([k, us]) => [k, { "µs/item": Number(us.toFixed(2)) }])));
