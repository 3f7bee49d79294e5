import fc from "fast-check";
import { expect, test } from "vitest";
import { parseCron } from "../../src/domain/cron.ts";
import { type CronClock, clockAfter, clockOnChange, cronDue } from "../../src/domain/cron-clock.ts";
import { isOpen } from "../../src/domain/execution-window.ts";
import { nextFirings } from "../../src/domain/firings.ts";

const MINUTE = 60_000;
const START = Date.UTC(2026, 2, 28, 20, 30);

const schedule = (cron: string | null, window: string | null = null, timezone = "Europe/Berlin") => ({
  cron,
  timezone,
  execution_window_cron: window,
});

const isOpenAt = (window: string | null, timezone: string, at: number): boolean => {
  const cron = window === null ? null : parseCron(window);
  if (typeof cron === "string") throw new Error(cron);
  return cron === null || isOpen(cron, timezone, at);
};

test("whoever looks only when the clock says so decides what one who looks every minute would", () => {
  const outage = fc.array(fc.record({ from: fc.nat(2000), minutes: fc.integer({ min: 1, max: 300 }) }), {
    maxLength: 4,
  });
  fc.assert(
    fc.property(
      fc.constantFrom("* * * * *", "*/7 * * * *", "30 2 * * *", "0 */3 * * *", "15 8,20 * * 6,0"),
      fc.constantFrom(null, "* 9-17 * * *", "0 22-23 * * *", "*/10 3 * * *"),
      outage,
      (cron, window, outages) => {
        const spec = schedule(cron, window);
        let clock: CronClock = clockAfter(spec, START);
        let decided = START;
        let next = nextFirings(cron, spec.timezone, decided, 1)[0] ?? 0;
        for (let i = 1; i <= 2000; i++) {
          if (outages.some(({ from, minutes }) => i >= from && i < from + minutes)) continue;
          const now = START + i * MINUTE;
          const expects = next <= now && isOpenAt(window, spec.timezone, now);
          const isLooked = clock.next_cron_at !== null && clock.next_cron_at <= now;
          const due = isLooked ? cronDue(spec, clock, now) : null;
          expect(due?.kind === "fires").toBe(expects);
          if (due?.kind === "fires") {
            // Nothing fires between it and now.
            expect(due.minute).toBeGreaterThan(decided);
            expect(nextFirings(cron, spec.timezone, due.minute, 1)[0]).toBeGreaterThan(now);
            decided = now;
            next = nextFirings(cron, spec.timezone, decided, 1)[0] ?? 0;
            clock = clockAfter(spec, now);
          } else if (due !== null) clock = due.clock;
        }
      },
    ),
    { numRuns: 15 },
  );
}, 60_000);

test("a change of the schedule begins anew, any other leaves what is owed", () => {
  const before = schedule("0 * * * *");
  const clock = clockAfter(before, START);
  const now = START + 5 * 60 * MINUTE;
  expect(clockOnChange(before, clock, before, now)).toEqual(clock);
  const windowed = schedule("0 * * * *", "0 9-17 * * *");
  expect(clockOnChange(before, clock, windowed, now).cron_since).toBe(clock.cron_since);
  for (const other of [schedule("30 * * * *"), schedule("0 * * * *", null, "Asia/Kolkata")]) {
    expect(clockOnChange(before, clock, other, now).cron_since).toBeGreaterThan(now);
  }
  expect(clockOnChange(before, clock, schedule(null), now)).toEqual({ cron_since: null, next_cron_at: null });
  expect(clockOnChange(schedule(null), { cron_since: null, next_cron_at: null }, before, now).cron_since).toBe(
    START + 5.5 * 60 * MINUTE,
  );
});

test("a clock that owes nothing is only wound up", () => {
  const now = START + MINUTE;
  expect(cronDue(schedule("0 0 1 1 *"), { cron_since: now, next_cron_at: now }, now).kind).toBe("waits");
  expect(cronDue(schedule(null), { cron_since: null, next_cron_at: null }, now)).toEqual({
    kind: "waits",
    clock: { cron_since: null, next_cron_at: null },
  });
});
