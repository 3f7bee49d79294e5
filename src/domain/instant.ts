const RFC3339 =
  /^(\d{4})-(\d{2})-(\d{2})[Tt ](\d{2}):(\d{2}):(\d{2})(?:\.(\d{1,9})\d*)?(?:[Zz]|([+-])(\d{2}):(\d{2}))$/;

/**
 * Unix milliseconds of an RFC 3339 time, or null where the text is none. Fractions beyond a millisecond
 * are cut off; years before 100 are refused.
 */
export function parseInstant(text: string): number | null {
  const match = RFC3339.exec(text);
  if (!match) return null;
  const [, year, month, day, hour, minute, second, fraction = "", sign, offsetHour = "0", offsetMinute = "0"] = match;
  const fields = [year, month, day, hour, minute, second].map(Number);
  const [y = 0, m = 0, d = 0, h = 0, min = 0, s = 0] = fields;
  const offset = (Number(offsetHour) * 60 + Number(offsetMinute)) * (sign === "-" ? -1 : 1);
  const ms = Number(fraction.padEnd(3, "0").slice(0, 3));
  const local = Date.UTC(y, m - 1, d, h, min, s, ms);
  const back = new Date(local);
  // Date.UTC carries over what does not exist (February 30th, 24:00) and moves the years 0 to 99.
  const exact =
    back.getUTCFullYear() === y &&
    back.getUTCMonth() === m - 1 &&
    back.getUTCDate() === d &&
    back.getUTCHours() === h &&
    back.getUTCMinutes() === min &&
    back.getUTCSeconds() === s;
  if (!exact || Number(offsetHour) > 23 || Number(offsetMinute) > 59) return null;
  return local - offset * 60_000;
}
