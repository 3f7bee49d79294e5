import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { latestMissed, nextFirings } from "../../src/domain/firings.ts";

const MINUTE = 60_000;
const YEAR_MINUTES = 366 * 24 * 60;
const START = Date.UTC(2026, 0, 1);

const iso = (times: number[]): string[] => times.map((t) => new Date(t).toISOString().slice(0, 16));

// ---------------------------------------------------------------------------------------------- the oracle

/** What a wall clock shows. */
interface Shown {
  minute: number;
  hour: number;
  day: number;
  month: number;
  weekday: number;
}

/** A cron, and by hand what it means. */
const CRONS: { cron: string; isHourly?: true; matches: (w: Shown) => boolean }[] = [
  { cron: "*/30 * * * *", isHourly: true, matches: (w) => w.minute % 30 === 0 },
  { cron: "30 2 * * *", matches: (w) => w.hour === 2 && w.minute === 30 },
  { cron: "0 */2 * * *", isHourly: true, matches: (w) => w.minute === 0 && w.hour % 2 === 0 },
  { cron: "*/10 1-3 * * *", matches: (w) => w.minute % 10 === 0 && w.hour >= 1 && w.hour <= 3 },
  { cron: "0 0 * * *", matches: (w) => w.minute === 0 && w.hour === 0 },
  {
    cron: "15,45 0 13 * FRI",
    matches: (w) => [15, 45].includes(w.minute) && w.hour === 0 && (w.day === 13 || w.weekday === 5),
  },
  {
    cron: "0 9 ? * mon-fri",
    matches: (w) => w.minute === 0 && w.hour === 9 && w.weekday >= 1 && w.weekday <= 5,
  },
  { cron: "59 23 31 * ?", matches: (w) => w.minute === 59 && w.hour === 23 && w.day === 31 },
  {
    cron: "5/20 0-23 * 3,4,OCT-NOV 0",
    isHourly: true,
    matches: (w) => w.minute % 20 === 5 && [3, 4, 10, 11].includes(w.month) && w.weekday === 0,
  },
  {
    cron: "* 0-4 1-7 4,9,10 6",
    matches: (w) => w.hour <= 4 && [4, 9, 10].includes(w.month) && (w.day <= 7 || w.weekday === 6),
  },
];
const ZONES = ["America/New_York", "Europe/Berlin", "America/Santiago", "Australia/Lord_Howe", "Asia/Kolkata"];

/** The zone's wall clock at every minute of a year, as minutes since 1970; `Intl` is asked every quarter of an hour. */
function wallClock(zone: string): Float64Array {
  const format = new Intl.DateTimeFormat("en-GB", { timeZone: zone, dateStyle: "short", timeStyle: "short" });
  const walls = new Float64Array(YEAR_MINUTES);
  for (let i = 0; i < YEAR_MINUTES; i += 15) {
    const [, day, month, year, hour, minute] =
      /(\d+)\/(\d+)\/(\d+), (\d+):(\d+)/.exec(format.format(START + i * MINUTE)) ?? [];
    const wall = Date.UTC(Number(year), Number(month) - 1, Number(day), Number(hour), Number(minute)) / MINUTE;
    for (let j = 0; j < 15; j++) walls[i + j] = wall + j;
  }
  return walls;
}

function shownAt(wall: number): Shown {
  const date = new Date(wall * MINUTE);
  return {
    minute: date.getUTCMinutes(),
    hour: date.getUTCHours(),
    day: date.getUTCDate(),
    month: date.getUTCMonth() + 1,
    weekday: date.getUTCDay(),
  };
}

/** Walks a year minute by minute, as the contract words it. */
function firingsOfYear(walls: Float64Array, { isHourly, matches }: (typeof CRONS)[number]): number[] {
  const found: number[] = [];
  let latest = (walls[0] ?? 0) - 1;
  walls.forEach((wall, i) => {
    let fires = matches(shownAt(wall)) && (isHourly || wall > latest);
    for (let skipped = latest + 1; skipped < wall && !isHourly; skipped++) fires ||= matches(shownAt(skipped));
    latest = Math.max(latest, wall);
    if (fires) found.push(START + i * MINUTE);
  });
  return found;
}

describe.each(ZONES)("a year of minutes in %s", { timeout: 30_000 }, (zone) => {
  const walls = wallClock(zone);
  test.each(CRONS)("$cron", (cron) => {
    const expected = firingsOfYear(walls, cron);
    expect(expected.length).toBeGreaterThan(5);
    const found = nextFirings(cron.cron, zone, START - 1, expected.length);
    const wrong = expected.findIndex((at, i) => at !== found[i]);
    expect(wrong === -1 ? [] : iso(found.slice(wrong, wrong + 3))).toEqual(
      wrong === -1 ? [] : iso(expected.slice(wrong, wrong + 3)),
    );
    // And from anywhere else the same, forwards and backwards.
    const times = fc.integer({ min: 0, max: YEAR_MINUTES * MINUTE - 1 }).map((ms) => START + ms);
    fc.assert(
      fc.property(times, times, (a, b) => {
        const [since, now] = [Math.min(a, b), Math.max(a, b)];
        const after = expected.filter((t) => t > now).slice(0, 3);
        expect(nextFirings(cron.cron, zone, now, after.length)).toEqual(after);
        expect(latestMissed(cron.cron, zone, since, now)).toBe(
          expected.findLast((t) => t >= since && t <= now) ?? null,
        );
      }),
      { numRuns: 12 },
    );
  });
});

// ---------------------------------------------------------------------------------------------- time changes, by name

const CHANGES: [string, string, string, string, string[]][] = [
  ["a skipped hour", "30 2 * * *", "Europe/Berlin", "2026-03-28T12:00Z", ["2026-03-29T01:00", "2026-03-30T00:30"]],
  ["its first minute", "0 2 * * *", "Europe/Berlin", "2026-03-28T12:00Z", ["2026-03-29T01:00", "2026-03-30T00:00"]],
  [
    "with the hour after",
    "0 2,3 * * *",
    "Europe/Berlin",
    "2026-03-28T12:00Z",
    ["2026-03-29T01:00", "2026-03-30T00:00"],
  ],
  ["every minute of it", "* 2 * * *", "Europe/Berlin", "2026-03-29T00:00Z", ["2026-03-29T01:00", "2026-03-30T00:00"]],
  ["a repeated hour", "30 2 * * *", "Europe/Berlin", "2026-10-24T12:00Z", ["2026-10-25T00:30", "2026-10-26T01:30"]],
  ["asked inside it", "30 2 * * *", "Europe/Berlin", "2026-10-25T00:45Z", ["2026-10-26T01:30", "2026-10-27T01:30"]],
  [
    "every half hour",
    "*/30 * * * *",
    "Europe/Berlin",
    "2026-10-24T23:45Z",
    ["2026-10-25T00:00", "2026-10-25T00:30", "2026-10-25T01:00", "2026-10-25T01:30", "2026-10-25T02:00"],
  ],
  ["every hour", "0 * * * *", "Europe/Berlin", "2026-03-28T23:30Z", ["2026-03-29T00:00", "2026-03-29T01:00"]],
  [
    "a skipped midnight",
    "0 0 * * *",
    "America/Santiago",
    "2026-09-05T12:00Z",
    ["2026-09-06T04:00", "2026-09-07T03:00"],
  ],
  ["half an hour", "15 2 * * *", "Australia/Lord_Howe", "2026-10-03T00:00Z", ["2026-10-03T15:30", "2026-10-04T15:15"]],
  ["Ramadan", "30 2 * * *", "Africa/Casablanca", "2026-02-14T12:00Z", ["2026-02-15T01:30", "2026-02-16T02:30"]],
];
test.each(CHANGES)("%s: %s in %s", (_, cron, zone, after, expected) => {
  expect(iso(nextFirings(cron, zone, Date.parse(after), expected.length))).toEqual(expected);
});

test("a rare day is found over a century without it", () => {
  expect(iso(nextFirings("0 0 29 2 *", "Europe/Berlin", Date.UTC(2097, 0, 1), 1))).toEqual(["2104-02-28T23:00"]);
});

test("a year's outage is looked through in some steps", () => {
  const now = START + YEAR_MINUTES * MINUTE + 30_000;
  expect(latestMissed("* * * * *", "Europe/Berlin", START, now)).toBe(now - 30_000);
  expect(latestMissed("0 3 1 1 *", "UTC", START, now)).toBe(Date.UTC(2027, 0, 1, 3));
});
