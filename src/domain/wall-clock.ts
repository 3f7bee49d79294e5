/**
 * Wall clocks of IANA zones: how far each is from UTC at an instant. All times are Unix ms; the zone is known to be right. A
 * wall clock's reading is a number too, as if it were UTC.
 */

const MINUTE = 60_000;
/** Within so long no zone changes its offset and changes it back. */
export const STRETCH = 12 * 60 * MINUTE;

/** The end of the stretch of one offset that begins at `at`, but no later than `until`, which is at most `STRETCH` away. */
export function constantUntil(timezone: string, at: number, until: number): number {
  const offset = offsetAt(timezone, at);
  if (offsetAt(timezone, until - 1) === offset) return until;
  let same = at;
  let other = until - 1;
  while (other - same > 1) {
    const middle = Math.floor((same + other) / 2);
    if (offsetAt(timezone, middle) === offset) same = middle;
    else other = middle;
  }
  return other;
}

/** What a zone was asked last, because it is mostly asked for the same minute. */
interface Zone {
  format: Intl.DateTimeFormat;
  minute: number;
  offset: number;
}

/** A formatter costs some hundred times what using it does. */
const zones = new Map<string, Zone>();
const MAX_ZONES = 64;

/** How far the zone's wall clock is ahead of UTC at `at`, in ms. Offsets change at whole minutes. */
export function offsetAt(timezone: string, at: number): number {
  const zone = zones.get(timezone) ?? newZone(timezone);
  const minute = Math.floor(at / MINUTE) * MINUTE;
  if (zone.minute === minute) return zone.offset;
  const read: Partial<Record<Intl.DateTimeFormatPartTypes, number>> = {};
  for (const { type, value } of zone.format.formatToParts(minute)) read[type] = Number(value);
  const { year = 0, month = 1, day = 1, hour = 0, minute: min = 0, second = 0 } = read;
  zone.minute = minute;
  zone.offset = Date.UTC(year, month - 1, day, hour, min, second) - minute;
  return zone.offset;
}

function newZone(timezone: string): Zone {
  const field = "2-digit";
  const format = new Intl.DateTimeFormat("en-US", {
    ...{ timeZone: timezone, calendar: "iso8601", numberingSystem: "latn", hourCycle: "h23", year: "numeric" },
    ...{ month: field, day: field, hour: field, minute: field, second: field },
  });
  const zone = { format, minute: Number.NaN, offset: 0 };
  if (zones.size >= MAX_ZONES) zones.clear();
  zones.set(timezone, zone);
  return zone;
}
