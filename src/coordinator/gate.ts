import { earliestStart } from "../domain/circuit-breaker.ts";
import { type Cron, parseCron } from "../domain/cron.ts";
import { isOpen, nextOpening, openUntil } from "../domain/execution-window.ts";
import { JOB_WINDOW } from "../domain/rate-limit-names.ts";
import type { WaitingFor } from "../domain/run.ts";
import type { Lane } from "./lane.ts";

const MINUTE_MS = 60_000;

/** What holds back every run of the job. `until`: when it ends of itself; null: unknown, or never. */
export interface Gate {
  reason: WaitingFor;
  until: number | null;
}

/** The first that holds of: paused, outside the window, held by the endpoint, breaker open, the job's rate window full. */
export function gate(lane: Lane, now: number): Gate | null {
  if (!lane.mayStart) return { reason: "paused", until: null };
  const opening = lane.window.opening(lane, now);
  if (opening !== now) return { reason: "window", until: opening };
  const held = lane.limits.holds.until(JOB_WINDOW);
  if (held > now) return { reason: "hold", until: held };
  const probe = earliestStart(lane.state.breaker, now);
  if (probe === null || probe > now) return { reason: "breaker", until: probe };
  const free = lane.limits.jobFreeAt(now);
  return free > now ? { reason: "rate_limit", until: free } : null;
}

/** Until when the endpoint's hold or an open breaker keeps every run of the job back; `now` where nothing is known to. */
export const heldUntil = (lane: Lane, now: number): number =>
  Math.max(lane.limits.holds.until(JOB_WINDOW), earliestStart(lane.state.breaker, now) ?? now);

/** The execution window, judged once a minute: that is as fine as it can be, and zones are slow to ask. */
export class WindowClock {
  private window: { text: string; timezone: string; cron: Cron } | null = null;
  private minute = Number.NaN;
  private opensAt: number | null = null;
  private nextMinute = Number.NaN;
  private staysOpen = true;
  /** What was found out last of another time than now: `[from, to)` is open, or shut until `to`. */
  private stretch: { from: number; to: number | null; isOpen: boolean } | null = null;

  /** `now` while the window is open, else when it opens; null: not within the foreseeable future. */
  opening(lane: Lane, now: number): number | null {
    const window = this.current(lane);
    if (window === null) return now;
    const minute = Math.floor(now / MINUTE_MS);
    if (minute !== this.minute) {
      this.minute = minute;
      this.opensAt = isOpen(window.cron, window.timezone, now) ? now : nextOpening(window.cron, window.timezone, now);
    }
    return this.opensAt !== null && this.opensAt <= now ? now : this.opensAt;
  }

  /** The first instant from `at` on, now or later, at which the window is open; null: none is foreseeable. */
  openingFrom(lane: Lane, at: number): number | null {
    const window = this.current(lane);
    if (window === null) return at;
    const known = this.stretch;
    if (known === null || at < known.from || at >= (known.to ?? Number.POSITIVE_INFINITY)) {
      const until = openUntil(window.cron, window.timezone, at);
      const to = until ?? nextOpening(window.cron, window.timezone, at);
      this.stretch = { from: at, to, isOpen: until !== null };
    }
    return this.stretch?.isOpen ? at : (this.stretch?.to ?? null);
  }

  /** How long after `now`, while it is open, a call may begin without falling outside. */
  openForMs(lane: Lane, now: number): number {
    const window = this.current(lane);
    if (window === null) return Number.POSITIVE_INFINITY;
    const next = Math.floor(now / MINUTE_MS) + 1;
    if (next !== this.nextMinute) {
      this.nextMinute = next;
      this.staysOpen = isOpen(window.cron, window.timezone, next * MINUTE_MS);
    }
    return this.staysOpen ? Number.POSITIVE_INFINITY : next * MINUTE_MS - now;
  }

  private current(lane: Lane): { cron: Cron; timezone: string } | null {
    const spec = lane.config?.current.spec;
    const text = spec?.execution_window_cron ?? null;
    if (spec === undefined || text === null) return null;
    if (this.window?.text !== text || this.window.timezone !== spec.timezone) {
      const cron = parseCron(text);
      // Judged when the job was saved.
      if (typeof cron === "string") throw new Error(`execution_window_cron ${cron}`);
      this.window = { text, timezone: spec.timezone, cron };
      this.minute = Number.NaN;
      this.nextMinute = Number.NaN;
      this.stretch = null;
    }
    return this.window;
  }
}
