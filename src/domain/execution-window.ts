import type { Cron } from "./cron.ts";
import { constantUntil, offsetAt, STRETCH } from "./wall-clock.ts";

/**
 * The execution window (contract 4.5), judged on the wall clock of a zone: an hour that a time change skips never opens, one
 * that it repeats opens twice. All times are Unix ms; the zone is known to be right.
 *
 * Between two time changes the wall clock is the instant plus a constant, so everything below goes from one such stretch to
 * the next and reckons inside it; `wall` is a wall clock's reading as if it were UTC.
 */

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
/** No wall clock is further from UTC. */
const MAX_OFFSET = DAY;
/** What can open at all opens within eight years: 29 February, over a century without one. */
const HORIZON = 30 * 366 * DAY;
const OPEN_AHEAD = HOUR;

/** Whether something may start at `at`. */
export const isOpen = (window: Cron, timezone: string, at: number): boolean =>
  openEnd(window, at + offsetAt(timezone, at)) !== null;

/**
 * Null where the window is closed at `at`; else an instant up to which it stays open (that excluded): where it closes, but
 * looked ahead no further than an hour. Until then nobody need ask again.
 */
export function openUntil(window: Cron, timezone: string, at: number): number | null {
  let until = at;
  while (until < at + OPEN_AHEAD) {
    const offset = offsetAt(timezone, until);
    const end = openEnd(window, until + offset);
    if (end === null) break;
    until = constantUntil(timezone, until, Math.min(end - offset, at + OPEN_AHEAD));
  }
  return until > at ? until : null;
}

/** The first instant from `after` on at which the window is open; null: not within 30 years. */
export function nextOpening(window: Cron, timezone: string, after: number): number | null {
  const limit = after + HORIZON;
  let at = after;
  while (at < limit) {
    const offset = offsetAt(timezone, at);
    // A clock set back over midnight returns to the day before.
    const day = nextOpenDay(window, floorTo(at + offset, DAY) - DAY, limit);
    if (day === null) return null;
    if (day - MAX_OFFSET > at) {
      at = day - MAX_OFFSET;
      continue;
    }
    const end = constantUntil(timezone, at, at + STRETCH);
    const opening = nextOpenWall(window, at + offset, end + offset);
    if (opening !== null) return opening - offset;
    at = end;
  }
  return null;
}

/** Where the hour or minute of the wall clock that holds `wall` ends, if the window is open in it; else null. */
function openEnd(window: Cron, wall: number): number | null {
  const minute = Math.floor(wall / MINUTE) % 60;
  const hour = Math.floor(wall / HOUR) % 24;
  if (!holds(window.hour, hour) || !opensOn(window, wall)) return null;
  if (opensWholeHours(window)) return floorTo(wall, HOUR) + HOUR;
  return holds(window.minute, minute) ? floorTo(wall, MINUTE) + MINUTE : null;
}

/** The first reading in [from, to) at which the window is open. */
function nextOpenWall(window: Cron, from: number, to: number): number | null {
  let wall = from;
  while (wall < to) {
    if (openEnd(window, wall) !== null) return wall;
    const shut = !opensOn(window, wall) ? DAY : !holds(window.hour, Math.floor(wall / HOUR) % 24) ? HOUR : MINUTE;
    wall = floorTo(wall, shut) + shut;
  }
  return null;
}

/** The first day from `from` on, as its midnight's reading, on which the window can be open. */
function nextOpenDay(window: Cron, from: number, limit: number): number | null {
  for (let day = from; day < limit + DAY; day += DAY) if (opensOn(window, day)) return day;
  return null;
}

/** A minute field of `0` or `*`. */
const opensWholeHours = ({ minute }: Cron): boolean => minute === null || (minute.size === 1 && minute.has(0));

/** Day-of-month and weekday are alternatives unless one is `*`. */
function opensOn({ day, month, weekday }: Cron, wall: number): boolean {
  const date = new Date(wall);
  if (!holds(month, date.getUTCMonth() + 1)) return false;
  const onDay = day?.has(date.getUTCDate());
  const onWeekday = weekday?.has(date.getUTCDay());
  if (onDay === undefined || onWeekday === undefined) return onDay ?? onWeekday ?? true;
  return onDay || onWeekday;
}

const holds = (field: Set<number> | null, value: number): boolean => field === null || field.has(value);

const floorTo = (value: number, unit: number): number => Math.floor(value / unit) * unit;
