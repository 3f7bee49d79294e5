import { CronExpressionParser } from "cron-parser";
import { hourlyPattern, plainCron } from "./cron.ts";
import { constantUntil, offsetAt } from "./wall-clock.ts";

/**
 * When a cron fires (contract 4.6). All times are Unix ms; the cron and the zone are known to be right.
 *
 * The fields are matched on a calendar without time changes, and each reading is then looked up in the zone. Where the clock
 * is set forward over a fixed hour, it fires at the first instant after; where it is set back, only the first time. A pattern
 * of hours (`*`, or a step over all of them) follows real time: what the clock skips is skipped, what it shows twice fires twice.
 */

const MINUTE = 60_000;
const DAY = 24 * 60 * MINUTE;

/** The first `count` firings after `after`, in order, each once. */
export function nextFirings(cron: string, timezone: string, after: number, count: number): number[] {
  const found: number[] = [];
  const all = firings(cron, timezone, after);
  while (found.length < count) {
    const firing = all.next().value;
    if (firing > after && firing !== found[found.length - 1]) found.push(firing);
  }
  return found;
}

/** The first firing after `after`. */
export const nextFiring = (cron: string, timezone: string, after: number): number =>
  nextFirings(cron, timezone, after, 1)[0] as number;

/** Of the firings in [since, now] the latest: the one that makes up for all that were missed. Null where there is none. */
export function latestMissed(cron: string, timezone: string, since: number, now: number): number | null {
  const next = (after: number) => nextFiring(cron, timezone, after);
  const start = since - 1;
  if (next(start) > now) return null;
  let early = Math.max(start, now - MINUTE);
  for (let back = MINUTE; next(early) > now; back *= 2) early = Math.max(start, now - back);
  // Something fires in (early, now]: halve it down to one minute, the finest that a cron can say.
  let late = now;
  while (late - early > MINUTE) {
    const middle = Math.floor((early + late) / 2);
    if (next(middle) > now) late = middle;
    else early = middle;
  }
  return lastBefore(next, early, now);
}

function lastBefore(next: (after: number) => number, from: number, now: number): number {
  let last = next(from);
  for (let later = next(last); later <= now; later = next(later)) last = later;
  return last;
}

/** The firings from around `after` on, without end. */
function* firings(cron: string, timezone: string, after: number): Generator<number, never> {
  const isHourly = hourlyPattern(cron);
  const offsets = [offsetAt(timezone, after - DAY), offsetAt(timezone, after), offsetAt(timezone, after + DAY)];
  const currentDate = after + Math.min(...offsets) - MINUTE;
  const readings = CronExpressionParser.parse(plainCron(cron), { currentDate, tz: "UTC" });
  /** The second time that the clock shows what it has shown before; they come later than all of the first ones. */
  const again: number[] = [];
  for (;;) {
    const reading = readings.next().getTime();
    const [first, second] = instantsOf(timezone, reading);
    if (first === undefined) {
      if (!isHourly) yield afterGap(timezone, reading);
      continue;
    }
    while (again[0] !== undefined && again[0] < first) yield again.shift() as number;
    yield first;
    if (second !== undefined && isHourly) again.push(second);
  }
}

/** When the zone's clock shows `reading`: once, twice, or, where it is set forward, never. */
function instantsOf(timezone: string, reading: number): number[] {
  const [before, after] = offsetsAround(timezone, reading);
  const candidates = before === after ? [reading - before] : [reading - before, reading - after];
  return candidates.filter((at) => reading - offsetAt(timezone, at) === at).sort((a, b) => a - b);
}

/** The instant at which the clock jumps over `reading`. */
function afterGap(timezone: string, reading: number): number {
  const [before, after] = offsetsAround(timezone, reading);
  return constantUntil(timezone, reading - after, reading - before + 1);
}

const offsetsAround = (timezone: string, reading: number): [number, number] => [
  offsetAt(timezone, reading - DAY),
  offsetAt(timezone, reading + DAY),
];
