import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { AddressPolicy } from "../../src/domain/address.ts";
import { JOB_DEFAULTS, type JobChange, jobShape, READ_ONLY_FIELDS } from "../../src/domain/job-fields.ts";
import { fieldProblems, jobProblems } from "../../src/domain/job-rules.ts";
import { detailsOf, strictObject } from "../../src/domain/strict.ts";

/** Every field of the job model at its bounds, and one beyond (contract 2). */

const policy: AddressPolicy = { allowLoopback: false, allowHttp: false, ports: [443] };
const model = strictObject(
  Object.fromEntries(Object.entries(jobShape).map(([name, schema]) => [name, schema.optional()])),
  READ_ONLY_FIELDS,
);

/** Every path that is wrong about a change. */
function wrongPaths(change: Record<string, unknown>): string[] {
  const parsed = model.safeParse(change);
  if (!parsed.success) return detailsOf(parsed.error).map((d) => d.path);
  return fieldProblems(parsed.data as JobChange, { address: policy, isMapped: (name) => name === "billing" }).map(
    (d) => d.path,
  );
}

const x = (length: number): string => "x".repeat(length);
const map = (entries: number, key = (i: number) => `k${i}`, value = "v"): Record<string, string> =>
  Object.fromEntries(Array.from({ length: entries }, (_, i) => [key(i), value]));
const list = <T>(length: number, value: (i: number) => T): T[] => Array.from({ length }, (_, i) => value(i));
const limit = (name: string, max: unknown = 1, window_secs: unknown = 1) => ({ name, max, window_secs });
const url = (length: number): string => "https://example.com/".padEnd(length, "a");
const depth = (levels: number): unknown => (levels === 0 ? true : { not: depth(levels - 1) });

/** Field, values that hold, values that do not. */
const BOUNDS: [keyof typeof jobShape, unknown[], unknown[]][] = [
  ["group_id", [null, "019c2f6e-7d80-7a3b-9c55-0000000002a1"], ["g", 1]],
  ["environment_id", [null, "019c2f6e-7d80-7a3b-9c55-0000000002a1"], ["e", {}]],
  ["name", [x(1), x(255), "Zoë 🚀"], ["", x(256), null, 1, "a\0b", "\ud800"]],
  ["slug", ["a", "0-9", x(128)], ["", x(129), "A", "a_b", "a b", "ä", "019c2f6e-7d80-7a3b-9c55-0000000002a1", null, 1]],
  ["description", [null, "", x(2000)], [x(2001), 1]],
  [
    "tags",
    [{}, map(20), { [x(64)]: x(256) }, { a: "" }],
    [map(21), { [x(65)]: "v" }, { a: x(257) }, { "": "v" }, { "a:b": "v" }, { a: 1 }, null, []],
  ],
  ["cron", [null, "0 9 * * 1-5"], ["* * * * * *", "0 0 31 2 *", "", 5]],
  ["timezone", ["UTC", "Asia/Tokyo"], ["", "Mars/Base", "+02:00", null]],
  ["cron_overlap_policy", ["allow", "skip", "cancel_running"], ["queue", null]],
  [
    "payload_schema",
    [
      null,
      true,
      {},
      depth(31),
      { type: "object", properties: { a: { pattern: "^a+$" } } },
      { $ref: "#/$defs/a", $defs: { a: {} } },
    ],
    [
      depth(33),
      "x",
      1,
      [],
      { type: "strin" },
      { $ref: "https://example.com/s.json" },
      { $ref: "#/$defs/none" },
      { pattern: "(?=a)" },
      { pattern: "(" },
    ],
  ],
  [
    "endpoint_url",
    [url(2048), "https://example.com"],
    [
      url(2049),
      "",
      "http://example.com",
      "https://10.0.0.1",
      "https://u@example.com",
      "https://example.com:444",
      "ftp://example.com",
      null,
      1,
    ],
  ],
  ["fallback_endpoint_url", [null, url(2048)], [url(2049), "https://localhost", "x"]],
  ["webhook_url", [null, url(2048)], [url(2049), "https://[::1]", "x"]],
  ["endpoint_method", ["POST", "PUT", "PATCH"], ["GET", "post", null]],
  [
    "endpoint_headers",
    [{}, { "X-Api-Key": "k" }, { "X-Api-Key": null }, map(32), { [x(128)]: x(4096) }, { Authorization: "Bearer é\t" }],
    [
      map(33),
      { [x(129)]: "v" },
      { "": "v" },
      { "a b": "v" },
      { "a:b": "v" },
      { "X-A": x(4097) },
      { "X-A": "a\r\nb" },
      { "X-A": "a\nb" },
      { "X-A": "a\0" },
      { "X-A": "€" },
      { "X-A": 1 },
      { Host: "h" },
      { "Content-Length": "1" },
      { connection: "close" },
      { "Transfer-Encoding": "chunked" },
      { TE: "x" },
      { "keep-alive": "1" },
      { Upgrade: "h2c" },
      { "Proxy-Authorization": "x" },
      { Trailer: "x" },
      { "CF-Connecting-IP": "1.1.1.1" },
      { "cf-x": "y" },
      { "X-Strait-Signature": "v1" },
      { "x-strait-foo": "v1" },
      { "X-Run-Id": "r" },
      { "Idempotency-Key": "k" },
      { traceparent: "t" },
      { TraceState: "t" },
      { "Webhook-Signature": "s" },
      { "Content-Type": "text/plain" },
      { "X-A": "1", "x-a": "2" },
      null,
      [],
    ],
  ],
  [
    "endpoint_signing_secret",
    [null, x(8), x(512), "whsec_MfKQ9r8GKYo="],
    ["", x(7), x(513), 1, "whsec_no base64", "whsec_AAAA"],
  ],
  [
    "webhook_secret",
    [null, x(8), x(512), "whsec_MfKQ9r8GKYo="],
    ["", x(7), x(513), 1, "whsec_no base64", "whsec_AAAA"],
  ],
  [
    "success_statuses",
    [null, ["2xx", 409], [100, 599], list(100, (i) => 200 + i)],
    [[], [99], [600], ["6xx"], ["2XX"], ["20x"], ["409"], [200.5], list(101, (i) => 200 + i), "2xx"],
  ],
  ["retry_statuses", [null, [], ["5xx", 409]], [[99], [600], ["0xx"], [null]]],
  ["max_attempts", [1, 100], [0, 101, 1.5, "3", null]],
  ["timeout_secs", [1, 780], [0, 781, 1.5, null]],
  ["retry_strategy", ["exponential", "linear", "fixed"], ["random", null]],
  [
    "retry_delays_secs",
    [null, [0], [86400], list(100, () => 1), [0.5]],
    [[], list(101, () => 1), [-1], [86401], ["1"]],
  ],
  ["retry_base_secs", [0, 0.05, 86400], [-1, 86401, "1", null]],
  ["retry_max_secs", [0, 86400], [-1, 86401, null]],
  ["retry_jitter", [0, 0.2, 1], [-0.1, 1.1, null]],
  ["on_lost", ["retry", "crash"], ["", null]],
  ["max_concurrency", [null, 1, 1_000_000], [0, 1_000_001, 1.5]],
  ["max_concurrency_per_key", [null, 1, 1_000_000], [0, 1_000_001, 1.5]],
  [
    "concurrency_key_from",
    [null, "payload.tenant_id", "a", `p.${x(254)}`],
    ["", ".", "a.", ".a", "a..b", `p.${x(255)}`, 1],
  ],
  ["rate_limit_max", [null, 1, 1_000_000], [0, 1_000_001, 1.5]],
  ["rate_limit_window_secs", [null, 1, 86400], [0, 86401, 1.5]],
  [
    "rate_limit_keys",
    [[], list(16, (i) => limit(`n${i}`)), [limit(x(64), 1_000_000, 86400)]],
    [
      list(17, (i) => limit(`n${i}`)),
      [limit(x(65))],
      [limit("")],
      [limit("a:b")],
      [limit("a", 0)],
      [limit("a", 1, 0)],
      [limit("a", 1, 86401)],
      [{ name: "a", max: 1 }],
      [{ ...limit("a"), windw: 1 }],
      null,
    ],
  ],
  ["hold_on_retry_after", [true, false], ["true", null, 1]],
  ["adaptive_concurrency", [null, { min: 1, max: 1 }], [{ min: 0, max: 1 }, { min: 1 }, { min: 1, max: 2, mox: 3 }, 5]],
  [
    "circuit_breaker",
    [null, { failures: 1, window_secs: 1, open_secs: 86400 }],
    [
      { failures: 0, window_secs: 1, open_secs: 1 },
      { failures: 1, window_secs: 1 },
    ],
  ],
  ["dedup_window_secs", [null, 0, 2_592_000], [-1, 2_592_001, 1.5]],
  ["execution_window_cron", [null, "0 9-17 * * 1-5", "*/5 * * * *"], ["9-17", "0 0 30 2 *", "* * * * 8"]],
  ["run_ttl_secs", [null, 1, 2_592_000], [0, 2_592_001]],
  ["default_run_metadata", [{}, map(20)], [map(21), { a: 1 }, null, { "": "v" }]],
  ["enabled", [true, false], [null, "yes"]],
  ["on_complete_trigger_workflow", [null, "onboarding"], ["On Boarding", "", 1]],
  ["on_complete_payload_mapping", [null, { user_id: "result.user.id" }], [{ a: "" }, { a: 1 }, []]],
  ["version_policy", ["pin", "latest", "minor"], ["major", null]],
  ["backwards_compatible", [true, false], [null]],
];

describe("every field", () => {
  test("is in the table", () => {
    expect(BOUNDS.map(([field]) => field).sort()).toEqual(Object.keys(jobShape).sort());
  });

  test.each(BOUNDS)("%s", (field, good, bad) => {
    for (const value of good) expect(wrongPaths({ [field]: value }), JSON.stringify(value)).toEqual([]);
    for (const value of bad) {
      const wrong = wrongPaths({ [field]: value });
      expect(wrong.length, JSON.stringify(value)?.slice(0, 80)).toBeGreaterThan(0);
      for (const path of wrong) expect(path.startsWith(field)).toBe(true);
    }
  });

  test("has a default that is within its bounds, or is required", () => {
    expect(wrongPaths({ ...JOB_DEFAULTS })).toEqual([]);
    const without = Object.keys(jobShape).filter((field) => !(field in JOB_DEFAULTS));
    expect(without).toEqual(["name", "slug", "endpoint_url"]);
  });

  test("that is wrong is named, however many are", () => {
    fc.assert(
      fc.property(
        fc.subarray(
          BOUNDS.filter(
            ([f]) =>
              !["cron", "timezone", "group_id", "environment_id", "payload_schema", "execution_window_cron"].includes(
                f,
              ),
          ),
          { minLength: 1 },
        ),
        (some) => {
          // The wrong type is what every field refuses by itself.
          const change = Object.fromEntries(some.map(([field]) => [field, { wrong: true }]));
          const fields = new Set(wrongPaths(change).map((path) => path.split(/[.[]/)[0]));
          for (const [field] of some) expect(fields).toContain(field);
        },
      ),
      { numRuns: 50 },
    );
  });
});

test("a prototype cannot be smuggled in", () => {
  for (const field of ["tags", "default_run_metadata", "endpoint_headers", "on_complete_payload_mapping"]) {
    const change = JSON.parse(`{"${field}":{"__proto__":"x"}}`);
    const wrong = wrongPaths(change);
    const parsed = strictObject({ f: jobShape[field as "tags"] }).safeParse({ f: change[field] });
    expect(wrong.length > 0 || (parsed.success && Object.keys(parsed.data.f).length === 0), field).toBe(true);
  }
});

test("an unknown field is named with the nearest known one, a read-only one as such", () => {
  const parsed = model.safeParse({ max_atempts: 1, version: 2, zzzzzz: 3 });
  if (parsed.success) throw new Error("must fail");
  const message = (path: string) => detailsOf(parsed.error).find((d) => d.path === path)?.message;
  expect(message("max_atempts")).toContain("max_attempts");
  expect(message("version")).toContain("cannot be set");
  expect(message("zzzzzz")).toBe("is not a known field");
});

describe("a job as a whole", () => {
  const base = {
    ...structuredClone(JOB_DEFAULTS),
    name: "n",
    slug: "n",
    endpoint_url: "https://example.com",
    rate_limit_keys: [] as ReturnType<typeof limit>[],
  };
  const wrong = (change: object) =>
    jobProblems({ ...base, ...change } as Parameters<typeof jobProblems>[0]).map((d) => d.path);

  test.each([
    [{}, []],
    [{ retry_strategy: "custom" }, ["retry_delays_secs"]],
    [{ retry_strategy: "custom", retry_delays_secs: [1] }, []],
    [{ rate_limit_max: 1 }, ["rate_limit_window_secs"]],
    [{ rate_limit_window_secs: 1 }, ["rate_limit_max"]],
    [{ rate_limit_max: 1, rate_limit_window_secs: 1 }, []],
    [{ rate_limit_keys: [limit("a"), limit("b"), limit("a")] }, ["rate_limit_keys[2].name"]],
    [{ adaptive_concurrency: { min: 2, max: 1 } }, ["adaptive_concurrency.min"]],
    [{ adaptive_concurrency: { min: 2, max: 2 } }, []],
    [{ cron: "* * * * *", max_concurrency_per_key: 1 }, ["concurrency_key_from"]],
    [{ cron: "* * * * *", max_concurrency_per_key: 1, concurrency_key_from: "payload.t" }, []],
    [{ max_concurrency_per_key: 1 }, []],
  ])("%j", (change, paths) => expect(wrong(change)).toEqual(paths));
});
