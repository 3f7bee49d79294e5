import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Cron, parseCron } from "../../src/domain/cron.ts";
import { isOpen, nextOpening, openUntil } from "../../src/domain/execution-window.ts";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

const windowOf = (text: string): Cron => {
  const cron = parseCron(text);
  if (typeof cron === "string") throw new Error(`${text}: ${cron}`);
  return cron;
};

// ------------------------------------------------------------------------------------------ the oracle: every minute, read by Intl

interface Reading {
  minute: number;
  hour: number;
  day: number;
  month: number;
  weekday: number;
}

const WEEKDAYS = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];

function reader(timeZone: string): (at: number) => Reading {
  const format = new Intl.DateTimeFormat("en-GB", {
    ...{ timeZone, weekday: "short", year: "numeric", month: "2-digit", day: "2-digit" },
    ...{ hour: "2-digit", minute: "2-digit", hourCycle: "h23" },
  });
  return (at) => {
    // "Sun, 25/10/2026, 02:30"
    const [, weekday = "", day, month, hour, minute] =
      /^(\w{3}), (\d\d)\/(\d\d)\/\d{4}, (\d\d):(\d\d)$/.exec(format.format(at)) ?? [];
    const numbers = { minute: Number(minute), hour: Number(hour), day: Number(day), month: Number(month) };
    return { ...numbers, weekday: WEEKDAYS.indexOf(weekday) };
  };
}

/** Contract 4.5, word by word, on the text of the fields. */
function oracle(cron: string): (reading: Reading) => boolean {
  const window = windowOf(cron);
  const [minuteText, , dayText, , weekdayText] = cron.split(" ");
  const wholeHour = ["0", "0-0", "*"].includes(minuteText ?? "");
  const alternatives = dayText !== "*" && weekdayText !== "*";
  return (reading) => {
    const matches = (field: keyof Cron) => window[field]?.has(reading[field]) ?? true;
    const date = alternatives ? matches("day") || matches("weekday") : matches("day") && matches("weekday");
    return (wholeHour || matches("minute")) && matches("hour") && matches("month") && date;
  };
}

/** Some days of a zone, minute by minute. */
class Span {
  private readonly readings: Reading[];
  readonly zone: string;
  readonly from: number;
  readonly minutes: number;

  constructor(zone: string, from: string, days: number) {
    this.zone = zone;
    this.from = Date.parse(from);
    this.minutes = days * 1440;
    const read = reader(zone);
    this.readings = Array.from({ length: this.minutes }, (_, i) => read(this.from + i * MINUTE));
  }

  /** What a failing property shows of it. */
  [fc.toStringMethod](): string {
    return `${this.zone} from ${new Date(this.from).toISOString()}`;
  }

  open(cron: string): boolean[] {
    return this.readings.map(oracle(cron));
  }
}

const SPANS = [
  new Span("Europe/Berlin", "2026-03-27T12:00:00Z", 4),
  new Span("Europe/Berlin", "2026-10-23T12:00:00Z", 4),
  new Span("America/New_York", "2026-03-06T12:00:00Z", 4),
  new Span("America/New_York", "2026-10-30T12:00:00Z", 4),
  // Half an hour, and its two changes.
  new Span("Australia/Lord_Howe", "2026-04-03T00:00:00Z", 3),
  new Span("Australia/Lord_Howe", "2026-10-02T00:00:00Z", 3),
  // A whole day skipped at the date line.
  new Span("Pacific/Apia", "2011-12-28T12:00:00Z", 4),
  new Span("Pacific/Apia", "2012-03-30T12:00:00Z", 3),
  // Clocks go back at midnight, so the day before comes again.
  new Span("America/Havana", "2026-10-31T00:00:00Z", 3),
  new Span("Asia/Kolkata", "2026-12-30T12:00:00Z", 3),
  new Span("UTC", "2028-02-27T12:00:00Z", 4),
];

const field = (min: number, max: number) =>
  fc.oneof(
    { weight: 2, arbitrary: fc.constant("*") },
    { weight: 1, arbitrary: fc.integer({ min, max }).map(String) },
    {
      weight: 2,
      arbitrary: fc
        .tuple(fc.integer({ min, max }), fc.integer({ min, max }))
        .map(([a, b]) => `${Math.min(a, b)}-${Math.max(a, b)}`),
    },
    { weight: 1, arbitrary: fc.integer({ min: 1, max: 20 }).map((step) => `*/${step}`) },
  );

/** Mostly about the small hours, where clocks change. */
const hourField = fc.oneof(field(0, 23), field(0, 4), fc.constantFrom("2", "1-2", "0", "23", "0,23"));
const minuteField = fc.oneof(fc.constantFrom("0", "*"), field(0, 59), fc.constantFrom("30", "0,30", "15-45"));
const anyCron = fc
  .tuple(minuteField, hourField, field(1, 31), fc.oneof(fc.constant("*"), field(1, 12)), field(0, 6))
  .map((fields) => fields.join(" "))
  .filter((cron) => typeof parseCron(cron) === "object");

const anySpan = fc.constantFrom(...SPANS);

describe("a window", () => {
  test("is open in the minutes that the wall clock shows it open", () => {
    fc.assert(
      fc.property(anyCron, anySpan, fc.nat(), (cron, span, offset) => {
        const window = windowOf(cron);
        span.open(cron).forEach((open, i) => {
          // Every minute near the changes is worth a look, but not in every run.
          if (i % 7 !== offset % 7) return;
          const at = span.from + i * MINUTE + (offset % MINUTE);
          if (isOpen(window, span.zone, at) !== open) throw new Error(`${new Date(at).toISOString()}: ${!open}`);
        });
      }),
      { numRuns: 60 },
    );
  });

  test("opens next at the first such minute", () => {
    fc.assert(
      fc.property(anyCron, anySpan, fc.array(fc.nat(), { minLength: 6, maxLength: 6 }), (cron, span, picks) => {
        const window = windowOf(cron);
        const open = span.open(cron);
        const end = span.from + span.minutes * MINUTE;
        for (const pick of picks) {
          const after = span.from + (pick % (span.minutes * MINUTE));
          const now = Math.floor((after - span.from) / MINUTE);
          const next = open.indexOf(true, now);
          const answer = nextOpening(window, span.zone, after);
          if (next !== -1) expect(answer).toBe(Math.max(after, span.from + next * MINUTE));
          else if (answer !== null) expect(answer).toBeGreaterThanOrEqual(end);
        }
      }),
      { numRuns: 150 },
    );
  });

  test("stays open until it says, and says so for an hour", () => {
    fc.assert(
      fc.property(anyCron, anySpan, fc.array(fc.nat(), { minLength: 6, maxLength: 6 }), (cron, span, picks) => {
        const window = windowOf(cron);
        const open = span.open(cron);
        for (const pick of picks) {
          const at = span.from + (pick % ((span.minutes - 61) * MINUTE));
          const now = Math.floor((at - span.from) / MINUTE);
          const closes =
            span.from + (open.indexOf(false, now) === -1 ? span.minutes : open.indexOf(false, now)) * MINUTE;
          expect(openUntil(window, span.zone, at)).toBe(open[now] ? Math.min(closes, at + HOUR) : null);
        }
      }),
      { numRuns: 150 },
    );
  });

  test("of the contract's example is 09:00 to 17:59 on weekdays", () => {
    const window = windowOf("0 9-17 * * 1-5");
    const friday = Date.parse("2026-11-27T17:59:59.999Z");
    expect(isOpen(window, "UTC", friday)).toBe(true);
    expect(nextOpening(window, "UTC", friday + 1)).toBe(Date.parse("2026-11-30T09:00:00.000Z"));
    expect(openUntil(window, "UTC", friday)).toBe(friday + 1);
  });

  test("in an hour that is skipped does not open, in one that is repeated opens twice", () => {
    const window = windowOf("0 2 * * *");
    const next = (after: string) =>
      new Date(nextOpening(window, "Europe/Berlin", Date.parse(after)) ?? 0).toISOString();
    expect(next("2026-03-28T02:00:00Z")).toBe("2026-03-30T00:00:00.000Z");
    expect(next("2026-10-24T12:00:00Z")).toBe("2026-10-25T00:00:00.000Z");
    // Set back from 00:01 on Sunday to 23:01 on Saturday.
    const sunday = Date.parse("2010-11-07T02:30:30Z");
    expect(nextOpening(windowOf("0 23 * * 6"), "America/St_Johns", sunday)).toBe(sunday + 30_000);
    const repeated = Array.from({ length: 240 }, (_, i) => Date.parse("2026-10-24T23:00:00Z") + i * MINUTE);
    expect(repeated.filter((at) => isOpen(window, "Europe/Berlin", at))).toHaveLength(120);
  });
});

describe("a window that opens once in years", () => {
  const leapDay = windowOf("30 12 29 2 *");

  test("is found across a century without a leap day", () => {
    const next = nextOpening(leapDay, "Asia/Kolkata", Date.parse("2096-03-01T00:00:00Z"));
    expect(new Date(next ?? 0).toISOString()).toBe("2104-02-29T07:00:00.000Z");
  });

  test("opens in every zone that this runtime knows, on that day's clock", () => {
    for (const zone of [
      "Pacific/Kiritimati",
      "Etc/GMT+12",
      "America/St_Johns",
      "Asia/Kathmandu",
      "Africa/Casablanca",
    ]) {
      const next = nextOpening(leapDay, zone, Date.parse("2026-03-01T00:00:00Z")) ?? 0;
      expect(reader(zone)(next)).toEqual({ minute: 30, hour: 12, day: 29, month: 2, weekday: 2 });
      expect(next % MINUTE).toBe(0);
      expect(Math.abs(next - Date.parse("2028-02-29T12:30:00Z"))).toBeLessThanOrEqual(DAY);
    }
  });

  test("is null where no such day comes within 30 years", () => {
    const never: Cron = { minute: null, hour: null, day: new Set([31]), month: new Set([2]), weekday: null };
    expect(nextOpening(never, "Europe/Berlin", Date.parse("2026-01-01T00:00:00Z"))).toBeNull();
  });
});
