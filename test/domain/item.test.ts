import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parseInstant } from "../../src/domain/instant.ts";
import {
  ItemJudge,
  isRefused,
  needsVersion,
  type TriggerItem,
  tooLongItem,
  type Verdict,
} from "../../src/domain/item.ts";
import { type ItemRules, keyDefault, keyPath } from "../../src/domain/item-rules.ts";

const NOW = Date.UTC(2026, 10, 23, 9);
const DAY = 86_400_000;
const encode = (text: string): Uint8Array => new TextEncoder().encode(text);

const RULES: ItemRules = {
  limits: new Set(["api", "mail"]),
  keyRequired: false,
  keyPath: null,
  keyDefault: null,
  dedup: false,
  check: null,
  metadataNames: [],
  versions: new Map(),
  hashPayload: (payload) => `hash of ${payload}`,
};

function judge(item: unknown, rules: Partial<ItemRules> = {}, index: number | null = null): Verdict {
  const bytes = encode(typeof item === "string" ? item : JSON.stringify(item));
  return new ItemJudge({ ...RULES, ...rules }).judge(bytes, 0, bytes.length, index, NOW);
}

function valid(item: unknown, rules: Partial<ItemRules> = {}): TriggerItem {
  const verdict = judge(item, rules);
  if (isRefused(verdict) || needsVersion(verdict)) throw new Error(JSON.stringify(verdict));
  return verdict;
}

/** `path: message` of everything that is wrong. */
function problems(item: unknown, rules: Partial<ItemRules> = {}, index: number | null = null): string[] {
  const verdict = judge(item, rules, index);
  return isRefused(verdict) ? verdict.error.details.map((d) => `${d.path}: ${d.message}`) : [];
}

const codeOf = (item: unknown): string | null => {
  const verdict = judge(item);
  return isRefused(verdict) ? verdict.error.code : null;
};

const text = (length: number): string => "x".repeat(length);
const entries = (count: number, value: unknown = "v"): Record<string, unknown> =>
  Object.fromEntries(Array.from({ length: count }, (_, i) => [`k${i}`, value]));

describe("an item", () => {
  test("its payload stays as sent, byte for byte, wherever it stands", () => {
    const field = fc.constantFrom('"priority": 3', '"tags":{"a":"b"}', '"idempotency_key":"\\u0061"', '"version":null');
    fc.assert(
      fc.property(
        fc.json({ maxDepth: 4 }),
        fc.constantFrom("", " ", "\n\t"),
        fc.option(field),
        fc.option(field),
        (json, space, before, after) => {
          fc.pre(before === null || after === null || before.slice(0, 5) !== after.slice(0, 5));
          const members = [before, `"payload"${space}:${space}${json}`, after].filter((m) => m !== null);
          const item = valid(`{${space}${members.join(`${space},${space}`)}${space}}`);
          expect(item.payload).toBe(json.trim());
        },
      ),
    );
  });

  test.each([
    '{"n":12345678901234567890,"e":1.0e+2,"z":-0}',
    '{"b":1,"a":2,"b":3}',
    '{ "spaced" : [ 1 , 2 ] }',
    '"\\ud800 \\u00e9 é 😀 \\/"',
    "null",
    "0",
  ])("payload %s survives", (payload) => {
    expect(valid(`{"payload":${payload}}`).payload).toBe(payload);
  });

  test("without a payload has an empty one; fields at their default are left out", () => {
    expect(valid({})).toEqual({ payload: "{}" });
    expect(valid({ priority: 0, tags: {}, metadata: null, scheduled_at: "2020-01-01T00:00:00Z" })).toEqual({
      payload: "{}",
    });
  });

  test("has every field that it says", () => {
    const item = {
      payload: { a: 1 },
      idempotency_key: "é",
      concurrency_key: "c",
      rate_limit_keys: ["api", "mail:eu:1"],
      priority: 10,
      scheduled_at: "2026-11-24T10:00:00.5+01:00",
      ttl_secs: 60,
      tags: { a: "b" },
      metadata: { m: "n" },
      max_attempts: 100,
      timeout_secs: 780,
    };
    expect(valid(item)).toEqual({
      ...item,
      payload: '{"a":1}',
      identity: "k:é",
      scheduled_at: NOW + DAY + 500,
    });
    const nulls = Object.fromEntries(Object.keys(item).map((key) => [key, null]));
    expect(valid(nulls)).toEqual({ payload: "null" });
  });

  test("judged after another one owes it nothing", () => {
    const one = new ItemJudge(RULES);
    const bad = encode('{"priority":99,"x":1,"payload":{"large":true},"tags":{"a":"b"}}');
    const good = encode("{}");
    const fresh = one.judge(good, 0, good.length, 0, NOW);
    expect(isRefused(one.judge(bad, 0, bad.length, 0, NOW))).toBe(true);
    expect(one.judge(good, 0, good.length, 0, NOW)).toEqual(fresh);
  });
});

describe("bounds, at the edge and one beyond", () => {
  test.each<[string, unknown, unknown, string]>([
    ["idempotency_key", text(256), text(257), "is longer than 256 characters"],
    ["idempotency_key", "a", "", "must not be empty"],
    ["concurrency_key", text(256), text(257), "is longer than 256 characters"],
    ["priority", 10, 11, "must be an integer from 0 to 10"],
    ["priority", 0, -1, "must be an integer from 0 to 10"],
    ["priority", 2.0, 2.5, "must be an integer from 0 to 10"],
    ["ttl_secs", 1, 0, "must be an integer from 1 to 2592000"],
    ["ttl_secs", 2_592_000, 2_592_001, "must be an integer from 1 to 2592000"],
    ["max_attempts", 100, 101, "must be an integer from 1 to 100"],
    ["max_attempts", 1, 0, "must be an integer from 1 to 100"],
    ["timeout_secs", 780, 781, "must be an integer from 1 to 780"],
    ["timeout_secs", 1, "1", "must be an integer from 1 to 780"],
    [
      "rate_limit_keys",
      ["api", "api:1", "api:2", "mail"],
      ["api", "api:1", "api:2", "mail", "mail:1"],
      "lists more than 4 limits",
    ],
    ["rate_limit_keys", [`api:${text(256)}`], [`api:${text(257)}`], "names a partition longer than 256 characters"],
    ["rate_limit_keys", [], ["sms"], "names an unknown limit: sms"],
    ["rate_limit_keys", ["api"], ["api", "api"], "lists a limit twice"],
    ["rate_limit_keys", ["api:x"], ["api:"], "names no partition behind the colon: api"],
    ["rate_limit_keys", ["api"], "api", "must be a list of strings"],
    ["tags", entries(20), entries(21), "has more than 20 entries"],
    ["metadata", entries(20), entries(21), "has more than 20 entries"],
    ["metadata", {}, [], "must be an object of strings"],
    [
      "scheduled_at",
      new Date(NOW + 366 * DAY).toISOString(),
      new Date(NOW + 366 * DAY + 1).toISOString(),
      "is more than a year ahead",
    ],
  ])("%s: %j is taken, %j is not", (field, edge, beyond, message) => {
    expect(problems({ [field]: edge })).toEqual([]);
    expect(problems({ [field]: beyond })).toEqual([`${field}: ${message}`]);
  });

  test.each<[unknown, unknown, string]>([
    [{ [text(64)]: "v" }, { [text(65)]: "v" }, "its key must have 1 to 64 characters"],
    [{ a: text(256) }, { a: text(257) }, "is longer than 256 characters"],
    [{ a: "b:c" }, { "a:b": "c" }, "its key must not contain a colon"],
    [{ a: "1" }, { a: 1 }, "must be a string"],
  ])("tags %j are taken, %j are not", (edge, beyond, message) => {
    expect(problems({ tags: edge })).toEqual([]);
    const key = Object.keys(beyond as object)[0]?.slice(0, 64);
    expect(problems({ tags: beyond })).toEqual([`tags.${key}: ${message}`]);
  });

  test("a payload of 1 MiB is taken, one byte more is not", () => {
    const payload = (bytes: number): string => `{"payload":"${text(bytes - 2)}"}`;
    expect(valid(payload(1_048_576)).payload.length).toBe(1_048_576);
    expect(problems(payload(1_048_577))).toEqual(["payload: is larger than 1048576 bytes"]);
    expect(codeOf(payload(1_048_577))).toBe("payload_too_large");
    // Bytes are counted, not characters.
    expect(problems(`{"payload":"${"é".repeat(524_288)}"}`)).toEqual(["payload: is larger than 1048576 bytes"]);
  });

  test("64 levels are taken, 65 are not, and a million do no harm", () => {
    const nested = (levels: number): string => `{"payload":${"[".repeat(levels)}${"]".repeat(levels)}}`;
    expect(problems(nested(64))).toEqual([]);
    expect(problems(nested(65))).toEqual(["payload: is nested deeper than 64 levels"]);
    expect(problems(nested(500_000))).toEqual(["payload: is nested deeper than 64 levels"]);
  });

  test("64 KiB of other fields are taken, one byte more is not", () => {
    const frame = '{"payload":1}'.length - 1;
    expect(problems(`{"payload":1${" ".repeat(65_536 - frame)}}`)).toEqual([]);
    expect(problems(`{"payload":1${" ".repeat(65_536 - frame + 1)}}`)).toEqual([
      "body: has more than 65536 bytes beside its payload",
    ]);
  });
});

describe("what is refused", () => {
  test("names every bad field, with its place in the batch", () => {
    expect(problems({ priority: "high", ttl_secs: 0, pirority: 1, payload: 1 }, {}, 3)).toEqual([
      "items[3].pirority: is not a known field; did you mean priority?",
      "items[3].priority: must be an integer from 0 to 10",
      "items[3].ttl_secs: must be an integer from 1 to 2592000",
    ]);
  });

  test.each([
    ["idempotency_key", 5],
    ["idempotency_key", "a\u0000b"],
    ["concurrency_key", "\ud800"],
    ["concurrency_key", {}],
    ["rate_limit_keys", ["api", 1]],
    ["tags", "a"],
    ["scheduled_at", 1],
    ["scheduled_at", "tomorrow"],
    ["version", 0],
    ["version", 1.5],
    ["version", { a: 1 }],
  ])("%s: %j", (field, value) => {
    expect(problems({ [field]: value }).length).toBe(1);
  });

  test("a field that stands twice, also under an escaped name", () => {
    expect(problems('{"payload":1,"payload":2}')).toEqual(["payload: stands twice"]);
    expect(problems('{"payload":1,"p\\u0061yload":2}')).toEqual(["payload: stands twice"]);
    expect(valid('{"p\\u0061yload":[2]}').payload).toBe("[2]");
  });

  test.each(["", "{", '{"payload":}', '{"a":1,}', "{}{}", '{"payload":"\t"}', "{'payload':1}"])(
    "malformed: %j",
    (item) => {
      expect(codeOf(item)).toBe("bad_request");
    },
  );

  test("invalid UTF-8 is malformed", () => {
    const bytes = Uint8Array.from([...encode('{"payload":"'), 0xff, ...encode('"}')]);
    const verdict = new ItemJudge(RULES).judge(bytes, 0, bytes.length, 2, NOW);
    expect(verdict).toMatchObject({
      error: { code: "bad_request", message: "items[2]: is not well-formed JSON: is not valid UTF-8" },
    });
  });

  test("what is no object, and what is too long", () => {
    for (const item of ["5", '"x"', "null", "[]", "[{}]"]) expect(problems(item)).toEqual(["body: must be an object"]);
    expect(tooLongItem(7).error).toMatchObject({ code: "payload_too_large", details: [{ path: "items[7]" }] });
  });

  test("a flood of unknown fields costs little and is counted", () => {
    const names = Array.from({ length: 2000 }, (_, i) => `"unknown_field_${i}":1`).join(",");
    const verdict = judge(`{${names}}`);
    if (!isRefused(verdict)) throw new Error("it was taken");
    expect(verdict.error.details.length).toBe(20);
    expect(verdict.error.message).toMatch(/and 1999 more/);
  });
});

describe("identity", () => {
  test("is the key, or with a window the payload's hash, or none; a key never looks like a hash", () => {
    expect(valid({ idempotency_key: "h:x" }, { dedup: true }).identity).toBe("k:h:x");
    expect(valid({ payload: 1 }, { dedup: true }).identity).toBe("h:hash of 1");
    expect(valid({}, { dedup: true }).identity).toBe("h:hash of {}");
    expect(valid({ payload: 1 }).identity).toBe(undefined);
  });
});

describe("the concurrency key", () => {
  const from = (path: string): Partial<ItemRules> => ({ keyPath: keyPath(path) });

  test.each<[string, unknown, string | undefined]>([
    ["payload.tenant.id", { payload: { tenant: { id: "t1" } } }, "t1"],
    ["tenant.id", { payload: { tenant: { id: "t1" } } }, "t1"],
    ["payload.ids.1", { payload: { ids: [1, 2] } }, "2"],
    ["payload.flag", { payload: { flag: true } }, "true"],
    ["payload", { payload: "whole" }, "whole"],
    ["metadata.t", { metadata: { t: "m" } }, "m"],
    ["tags.t", { tags: { t: "g" } }, "g"],
    ["payload.id", '{"payload":{"id":12345678901234567890}}', "12345678901234567890"],
    ["payload.id", '{"payload":{"id":1,"i\\u0064":"last"}}', "last"],
    ["payload.id", { payload: { id: "p" }, concurrency_key: "own" }, "own"],
    ["payload.id", { payload: { id: "p" }, concurrency_key: null }, "p"],
    ["payload.id", { payload: { id: null } }, undefined],
    ["payload.id", { payload: { id: {} } }, undefined],
    ["payload.id", { payload: { id: "" } }, undefined],
    ["payload.id", { payload: [1] }, undefined],
    ["payload.id", {}, undefined],
  ])("%s of %j is %s", (path, item, key) => {
    expect(valid(item, from(path)).concurrency_key).toBe(key);
    const required = problems(item, { ...from(path), keyRequired: true });
    expect(required.length).toBe(key === undefined ? 1 : 0);
  });

  test("is the job's own where the item says nothing", () => {
    const job = { tags: { team: "a" }, default_run_metadata: { t: "d" } };
    const rules = (path: string): Partial<ItemRules> => ({ ...from(path), keyDefault: keyDefault(keyPath(path), job) });
    expect(valid({}, rules("metadata.t")).concurrency_key).toBe("d");
    expect(valid({ metadata: { t: "own" } }, rules("metadata.t")).concurrency_key).toBe("own");
    expect(valid({}, rules("tags.team")).concurrency_key).toBe("a");
    for (const path of ["payload.t", "t", "metadata", "metadata.t.x", "metadata.toString"]) {
      expect(valid({}, rules(path)).concurrency_key).toBe(undefined);
    }
  });

  test("is required by max_concurrency_per_key, and bounded wherever it comes from", () => {
    expect(problems({}, { keyRequired: true })).toEqual([
      "concurrency_key: is required by the job's max_concurrency_per_key",
    ]);
    expect(problems({ payload: { id: text(257) } }, from("id"))).toEqual([
      "concurrency_key: taken from payload.id is longer than 256 characters",
    ]);
  });
});

describe("default metadata", () => {
  test("and the item's own are together at most 20 entries, by the version that the item names", () => {
    const names = fc.uniqueArray(fc.constantFrom(..."abcdefghijklmnopqrstuvwxyz"), { maxLength: 20 });
    fc.assert(
      fc.property(names, names, names, fc.boolean(), (own, current, named, isNamed) => {
        const item = { metadata: Object.fromEntries(own.map((name) => [name, "v"])), ...(isNamed && { version: 7 }) };
        const versions = new Map([["7", { version: 7, check: null, metadataNames: named }]]);
        const together = new Set([...own, ...(isNamed ? named : current)]).size;
        const wrong = problems(item, { metadataNames: current, versions });
        const message = "metadata: has more than 20 entries with the job's default_run_metadata";
        // An item that brings none is never refused for it.
        expect(wrong).toEqual(together > 20 && own.length > 0 ? [message] : []);
      }),
    );
  });
});

describe("versions and schemas", () => {
  const check = (payload: unknown) => (payload === "bad" ? [{ path: "payload.x", message: "does not fit" }] : []);

  test("an unknown version is asked for, then used with its own schema", () => {
    expect(judge({ version: 7 })).toEqual({ needs: "7" });
    expect(judge({ version: "ver_0123456789" })).toEqual({ needs: "ver_0123456789" });
    const versions = new Map([
      ["7", { version: 7, check, metadataNames: [] }],
      ["8", null],
    ]);
    expect(valid({ version: 7 }, { versions })).toEqual({ payload: "{}", version: 7 });
    expect(problems({ version: 8 }, { versions })).toEqual([
      "version: must be a version number or a version_id of the job",
    ]);
    expect(problems({ version: 7, payload: "bad" }, { versions }, 1)).toEqual(["items[1].payload.x: does not fit"]);
    expect(
      problems(
        { version: 7, payload: "bad" },
        { versions: new Map([["7", { version: 7, check: null, metadataNames: [] }]]), check },
      ),
    ).toEqual([]);
  });

  test("the payload fits the schema, and a bad field is told before", () => {
    expect(problems({ payload: "bad" }, { check })).toEqual(["payload.x: does not fit"]);
    expect(problems({ payload: "good" }, { check })).toEqual([]);
    expect(problems({ payload: "bad", priority: 99 }, { check })).toEqual([
      "priority: must be an integer from 0 to 10",
    ]);
  });
});

describe("instants", () => {
  test("any time that the platform writes is read back", () => {
    fc.assert(
      fc.property(
        fc.date({ noInvalidDate: true, min: new Date("0101-01-01T00:00:00Z"), max: new Date("9999-12-31T23:59:59Z") }),
        fc.integer({ min: -1439, max: 1439 }),
        (date, offset) => {
          expect(parseInstant(date.toISOString())).toBe(date.getTime());
          const local = new Date(date.getTime() + offset * 60_000).toISOString();
          fc.pre(local.length === 24);
          const two = (n: number): string => String(Math.floor(n)).padStart(2, "0");
          const zone = `${offset < 0 ? "-" : "+"}${two(Math.abs(offset) / 60)}:${two(Math.abs(offset) % 60)}`;
          expect(parseInstant(local.replace("Z", zone))).toBe(date.getTime());
        },
      ),
    );
  });

  test.each([
    ...["2026-02-30T00:00:00Z", "2025-02-29T00:00:00Z", "2026-13-01T00:00:00Z", "2026-01-01T24:00:00Z"],
    ...["2026-01-01T00:60:00Z", "2026-01-01T00:00:60Z", "2026-01-01", "2026-01-01T00:00:00", "2026-1-1T00:00:00Z"],
    ...["2026-01-01T00:00:00+24:00", "2026-01-01T00:00:00+00:60", "Thu, 01 Jan 2026 00:00:00 GMT", "", "1767225600"],
  ])("%s is none", (time) => {
    expect(parseInstant(time)).toBe(null);
  });
});
