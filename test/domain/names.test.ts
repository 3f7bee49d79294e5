import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { timeOf, uuidV7 } from "../../src/domain/id.ts";
import type { JobSpec } from "../../src/domain/job.ts";
import { recentHealth } from "../../src/domain/job-health.ts";
import { editDistance, nearest } from "../../src/domain/nearest.ts";
import { beyond, covers, SCOPES } from "../../src/domain/scope.ts";
import { isSlug, numberedSlug, slugFrom } from "../../src/domain/slug.ts";
import { diffSpecs, sameValue } from "../../src/domain/version.ts";

describe("slugs", () => {
  test("one can be made from any name, and numbered", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme" }), fc.integer({ min: 1, max: 999 }), (name, n) => {
        expect(isSlug(slugFrom(name, "job"))).toBe(true);
        expect(isSlug(numberedSlug(slugFrom(name, "job"), n))).toBe(true);
      }),
    );
  });

  test.each([
    ["Süd & Nord", "sud-nord"],
    ["  --Hello,  World!-- ", "hello-world"],
    ["日本", "job"],
    ["019c2f6e-7d80-7a3b-9c55-0000000002a1", "job-019c2f6e-7d80-7a3b-9c55-0000000002a1"],
  ])("%s", (name, slug) => expect(slugFrom(name, "job")).toBe(slug));

  test("numbers make different slugs, even of the longest", () => {
    const longest = "a".repeat(128);
    expect(new Set([1, 2, 3, 40].map((n) => numberedSlug(longest, n))).size).toBe(4);
  });
});

describe("the nearest name", () => {
  const known = ["max_attempts", "max_concurrency", "name", "slug"];

  test.each([
    ["max_atempts", "max_attempts"],
    ["maxAttempts", "max_attempts"],
    ["nmae", "name"],
    ["zzz", null],
    ["", null],
    ["x".repeat(100_000), null],
  ])("%s", (name, near) => expect(nearest(name, known)).toBe(near));

  test("the distance is a metric", () => {
    const word = fc.string({ maxLength: 12 });
    fc.assert(
      fc.property(word, word, word, (a, b, c) => {
        expect(editDistance(a, a)).toBe(0);
        expect(editDistance(a, b)).toBe(editDistance(b, a));
        expect(editDistance(a, c)).toBeLessThanOrEqual(editDistance(a, b) + editDistance(b, c));
        expect(a === b).toBe(editDistance(a, b) === 0);
      }),
    );
  });
});

test("no set of scopes lets its holder hand on more than it covers", () => {
  fc.assert(
    fc.property(fc.subarray([...SCOPES]), fc.subarray([...SCOPES]), (held, wanted) => {
      const lacking = beyond(held, wanted);
      expect(lacking).toEqual(wanted.filter((s) => !covers(held, s)));
      if (held.includes("*")) expect(lacking).toEqual([]);
      else expect(wanted.filter((s) => !held.includes(s))).toEqual(lacking);
    }),
  );
});

test("an id tells when it was made", () => {
  const random = fc.uint8Array({ minLength: 10, maxLength: 10 });
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 2 ** 48 - 1 }), random, (at, bytes) => {
      expect(timeOf(uuidV7(at, bytes))).toBe(at);
    }),
  );
});

describe("equal values", () => {
  test("the order of names does not count, anything else does", () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const turned = (v: unknown): unknown =>
          typeof v !== "object" || v === null
            ? v
            : Array.isArray(v)
              ? v.map(turned)
              : Object.fromEntries(
                  Object.entries(v)
                    .reverse()
                    .map(([k, e]) => [k, turned(e)]),
                );
        expect(sameValue(value, turned(value))).toBe(true);
        expect(sameValue(value, [value])).toBe(false);
        expect(sameValue({ a: value }, { a: value, b: null })).toBe(false);
      }),
    );
  });
});

test("a difference names the fields, and shows no secret", () => {
  const from = {
    name: "a",
    tags: { x: "1" },
    endpoint_headers: { A: "s1", B: "s2" },
    webhook_secret: "s3",
    endpoint_signing_secret: null,
  };
  const to = {
    name: "b",
    tags: { x: "1" },
    endpoint_headers: { A: "s9", C: "s4" },
    webhook_secret: "s5",
    endpoint_signing_secret: "s6",
  };
  const changes = diffSpecs(from as unknown as JobSpec, to as unknown as JobSpec);
  expect(changes).toEqual([
    { field: "name", from: "a", to: "b" },
    { field: "endpoint_headers.A", from: "set", to: "set" },
    { field: "endpoint_headers.B", from: "set", to: null },
    { field: "endpoint_headers.C", from: null, to: "set" },
    { field: "webhook_secret", from: "set", to: "set" },
    { field: "endpoint_signing_secret", from: null, to: "set" },
  ]);
  expect(diffSpecs(to as unknown as JobSpec, to as unknown as JobSpec)).toEqual([]);
});

test("health counts, and takes the nearest rank", () => {
  const done = Array.from({ length: 100 }, (_, i) => ({
    status: "completed" as const,
    started_at: 0,
    finished_at: i + 1,
  }));
  const health = recentHealth([
    ...done,
    ...Array.from({ length: 25 }, () => ({ status: "failed" as const, started_at: null, finished_at: 5 })),
    { status: "queued" as const, started_at: null, finished_at: null },
  ]);
  expect(health.by_status).toMatchObject({ completed: 100, failed: 25, queued: 1, canceled: 0 });
  expect(health.success_rate).toBe(0.8);
  expect(health.duration_ms).toEqual({ p50: 50, p95: 95, p99: 99 });
  expect(recentHealth([])).toMatchObject({ success_rate: null, duration_ms: { p50: null, p95: null, p99: null } });
});
