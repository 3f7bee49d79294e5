import { parseCron } from "./cron.ts";
import { isOpen, nextOpening } from "./execution-window.ts";
import { latestMissed, nextFiring } from "./firings.ts";
import type { JobSpec } from "./job.ts";

/**
 * When a job's cron is to be looked at. All times are Unix ms.
 *
 * Minutes missed while the service was down, the job paused, disabled or outside its window are made up for by the latest one
 * (contract 4.6), so the clock stands still as long as nothing is decided.
 */
export interface CronClock {
  /** The earliest firing that was not decided yet: it had no run, nor has a later one made up for it. */
  cron_since: number | null;
  /** When that may run: then, or when the execution window opens after it. Null: never. */
  next_cron_at: number | null;
}

type Schedule = Pick<JobSpec, "cron" | "timezone" | "execution_window_cron">;

const NO_CRON: CronClock = { cron_since: null, next_cron_at: null };

/** The clock of a job whose firings up to `now` are decided. */
export function clockAfter(spec: Schedule, now: number): CronClock {
  if (spec.cron === null) return NO_CRON;
  const since = nextFiring(spec.cron, spec.timezone, now);
  return { cron_since: since, next_cron_at: openingFrom(spec, since) };
}

/** The clock after a change of the job: another schedule begins now, and owes nothing for what the old one missed. */
export function clockOnChange(before: Schedule, clock: CronClock, after: Schedule, now: number): CronClock {
  const isSame = before.cron === after.cron && before.timezone === after.timezone;
  if (!isSame || clock.cron_since === null) return clockAfter(after, now);
  return { cron_since: clock.cron_since, next_cron_at: openingFrom(after, clock.cron_since) };
}

/** What a cron's clock says at `now`. */
export type CronDue =
  /** The firing that runs now, for itself and for all that were missed before it. */
  | { kind: "fires"; minute: number }
  /** Nothing runs now; look again when this clock says so. */
  | { kind: "waits"; clock: CronClock };

export function cronDue(spec: Schedule, clock: CronClock, now: number): CronDue {
  const minute =
    spec.cron === null || clock.cron_since === null
      ? null
      : latestMissed(spec.cron, spec.timezone, clock.cron_since, now);
  if (minute === null) return { kind: "waits", clock: clockAfter(spec, now) };
  const opening = openingFrom(spec, now);
  if (opening === now) return { kind: "fires", minute };
  return { kind: "waits", clock: { cron_since: clock.cron_since, next_cron_at: opening } };
}

/** The first instant from `at` on at which the execution window is open; null: none is foreseeable. */
function openingFrom(spec: Schedule, at: number): number | null {
  if (spec.execution_window_cron === null) return at;
  const window = parseCron(spec.execution_window_cron);
  // Judged when the job was saved.
  if (typeof window === "string") throw new Error(`execution_window_cron ${window}`);
  return isOpen(window, spec.timezone, at) ? at : nextOpening(window, spec.timezone, at);
}
