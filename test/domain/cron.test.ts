import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { isTimeZone, parseCron } from "../../src/domain/cron.ts";
import { nextFirings } from "../../src/domain/firings.ts";

const GOOD = [
  ...["* * * * *", "*/5 * * * *", "0 9-17 * * 1-5", "0 0 1 1 *", "59 23 31 12 6", "0 9 ? * MON-FRI", "0 0 29 2 *"],
  ...[
    "0 0 ? JAN,dec sun",
    "5/15 * * * *",
    "0-30/10 * * * *",
    "  0   9  * * 1 ",
    "0 0 31 2 1",
    "0 0 30,31 2-4 *",
    "0 0 * * ?",
  ],
];

const BAD = [
  ...[
    "",
    "* * * *",
    "* * * * * *",
    "@daily",
    "60 * * * *",
    "* 24 * * *",
    "* * 0 * *",
    "* * 32 * *",
    "* * * 0 *",
    "* * * 13 *",
  ],
  ...[
    "* * * * 7",
    "-1 * * * *",
    "*/0 * * * *",
    "5-1 * * * *",
    "a * * * *",
    "1.5 * * * *",
    "1,,2 * * * *",
    "1- * * * *",
  ],
  ...[
    "* * L * *",
    "* * * * 1#2",
    "* * 15W * *",
    "H * * * *",
    "? * * * *",
    "* * * FOO *",
    "1-2-3 * * * *",
    "*/x * * * *",
  ],
];

/** Days that no chosen month has. */
const NEVER = ["0 0 31 2 *", "0 0 30 2 *", "0 9 31 4,6,9,11 *", "* * 30,31 2 ?", "0 0 31 FEB-FEB *"];

describe("five fields", () => {
  test.each(GOOD)("%s", (cron) => expect(typeof parseCron(cron)).toBe("object"));
  test.each(BAD)("not: %j", (cron) => expect(typeof parseCron(cron)).toBe("string"));
  test.each(NEVER)("never: %s", (cron) => expect(parseCron(cron)).toMatch(/never/));

  test.each([
    ["* * * * * *", /exactly 5 fields: minute hour day-of-month month day-of-week/],
    ["", /exactly 5 fields/],
    ["0 0 L * *", /day field.*"L".*1 to 31.*L, W, # and @names are not supported/],
    ["0 0 * * 5#2", /weekday field.*"5#2".*0 \(Sunday\) to 6.*not supported/],
    ["0 0 * * 7", /weekday field.*0 \(Sunday\) to 6/],
  ])("%j is told what is supported", (cron, message) => expect(parseCron(cron)).toMatch(message));

  test("is at most 256 characters", () => expect(typeof parseCron(`${"0,".repeat(130)}0 * * * *`)).toBe("string"));

  test("has the values that it names", () => {
    const cron = parseCron("1-9/4,30 */12 ? mar 0,sat");
    if (typeof cron === "string") throw new Error(cron);
    expect([...(cron.minute ?? [])]).toEqual([1, 5, 9, 30]);
    expect([...(cron.hour ?? [])]).toEqual([0, 12]);
    expect(cron.day).toBeNull();
    expect([...(cron.month ?? [])]).toEqual([3]);
    expect([...(cron.weekday ?? [])]).toEqual([0, 6]);
  });
});

const field = (min: number, max: number) =>
  fc.oneof(
    fc.constant("*"),
    fc.integer({ min, max }).map(String),
    fc.tuple(fc.integer({ min, max }), fc.integer({ min, max })).map(([a, b]) => `${Math.min(a, b)}-${Math.max(a, b)}`),
    fc.integer({ min: 1, max: 20 }).map((step) => `*/${step}`),
  );

test("what is accepted matches again and again, and only where its fields say so", () => {
  const start = Date.UTC(2026, 0, 1);
  fc.assert(
    fc.property(fc.tuple(field(0, 59), field(0, 23), field(1, 31), field(1, 12), field(0, 6)), (fields) => {
      const text = fields.join(" ");
      const cron = parseCron(text);
      if (typeof cron === "string") return;
      const times = nextFirings(text, "UTC", start, 3);
      expect(times).toHaveLength(3);
      for (const [i, time] of times.entries()) {
        const at = new Date(time);
        expect(time).toBeGreaterThan(i === 0 ? start : (times[i - 1] ?? 0));
        expect(cron.minute?.has(at.getUTCMinutes()) ?? true).toBe(true);
        expect(cron.hour?.has(at.getUTCHours()) ?? true).toBe(true);
        expect(cron.month?.has(at.getUTCMonth() + 1) ?? true).toBe(true);
      }
    }),
    { numRuns: 200 },
  );
});

test("lists that overlap, and steps beyond their field, fire as their values say: never at another minute", () => {
  const part = (min: number, max: number, names: string[]) => {
    const value = fc
      .integer({ min, max })
      .chain((v) => fc.constantFrom(String(v), `0${v}`.slice(-2), names[v - min] ?? String(v)));
    const range = fc.oneof(
      fc.constant("*"),
      value,
      fc.tuple(value, value).map(([a, b]) => `${a}-${b}`),
    );
    return fc.tuple(range, fc.option(fc.integer({ min: 1, max: 99 }))).map(([r, s]) => (s === null ? r : `${r}/${s}`));
  };
  const list = (min: number, max: number, names: string[] = []) =>
    fc.array(part(min, max, names), { minLength: 1, maxLength: 3 }).map((parts) => parts.join());
  const months = ["JAN", "feb", "Mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
  const days = ["sun", "MON", "tue", "wed", "thu", "fri", "sat"];
  const texts = fc
    .tuple(list(0, 59), list(0, 23), list(1, 31), list(1, 12, months), list(0, 6, days))
    .map((f) => f.join(" "));
  fc.assert(
    fc.property(texts, fc.integer({ min: 0, max: 365 }), (text, day) => {
      const cron = parseCron(text);
      if (typeof cron === "string") return;
      const matches = (time: number): boolean => {
        const at = new Date(time);
        const [onDay, onWeekday] = [cron.day?.has(at.getUTCDate()), cron.weekday?.has(at.getUTCDay())];
        return (
          (cron.minute?.has(at.getUTCMinutes()) ?? true) &&
          (cron.hour?.has(at.getUTCHours()) ?? true) &&
          (cron.month?.has(at.getUTCMonth() + 1) ?? true) &&
          (onDay === undefined || onWeekday === undefined ? (onDay ?? onWeekday ?? true) : onDay || onWeekday)
        );
      };
      const start = Date.UTC(2026, 0, 1 + day);
      const minutes = Array.from({ length: 3 * 1_440 }, (_, i) => start + (i + 1) * 60_000)
        .filter(matches)
        .slice(0, 5);
      expect(nextFirings(text, "UTC", start, 5).slice(0, minutes.length)).toEqual(minutes);
    }),
    {
      examples: [
        ["1-5,3 * * * *", 0],
        ["0,0 0 *,5 * 1", 0],
        ["*/99 5/70 * * */9", 0],
      ],
      numRuns: 300,
    },
  );
});

test("the 29th of February fires, over a century without one too", () => {
  const times = nextFirings("0 0 29 2 *", "UTC", Date.UTC(2096, 2, 1), 2);
  expect(times.map((t) => new Date(t).toISOString().slice(0, 10))).toEqual(["2104-02-29", "2108-02-29"]);
});

test("times are those of the zone", () => {
  const times = nextFirings("0 9 * * *", "Europe/Berlin", Date.UTC(2026, 2, 28, 12), 2);
  expect(times.map((t) => new Date(t).toISOString())).toEqual(["2026-03-29T07:00:00.000Z", "2026-03-30T07:00:00.000Z"]);
});

test.each(["UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires", "Etc/GMT+5", "Asia/Kolkata"])("zone %s", (zone) =>
  expect(isTimeZone(zone)).toBe(true),
);
test.each(["", "Berlin", "Europe/Nowhere", "+01:00", "UTC+1", "Europe/Berlin ", "../etc", "x".repeat(300)])(
  "no zone: %j",
  (zone) => expect(isTimeZone(zone)).toBe(false),
);
