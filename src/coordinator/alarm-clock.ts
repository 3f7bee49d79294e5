import type { Env } from "../env.ts";

/** How far ahead of now an alarm may be that a timer backs, in ms: where the tests evict an object, its timers are waited for. */
export const backedMsOf = (env: Pick<Env, "ENVIRONMENT" | "BOOT_ID">): number => {
  if (env.ENVIRONMENT !== "development") return 0;
  return env.BOOT_ID === undefined ? 2_000 : Number.POSITIVE_INFINITY;
};

/** An alarm this far in the past is taken for lost: it has fired long ago, or never will. */
const LOST_AFTER_MS = 200;

/**
 * The object's one alarm. The local runtime drops an alarm that is set while the handler of the one before is ending, so
 * there each is backed by a timer in memory; on Cloudflare a timer would keep the object from sleeping. An alarm that
 * should have fired counts as none. What wakes twice finds nothing to do the second time.
 */
export class AlarmClock {
  private at: number | null = null;
  private timer: ReturnType<typeof setTimeout> | null = null;
  private readonly storage: DurableObjectStorage;
  private readonly wake: () => void;

  constructor(storage: DurableObjectStorage, wake: () => void) {
    this.storage = storage;
    this.wake = wake;
  }

  /** It has fired, or nothing is known of it any more. */
  forget(): void {
    this.at = null;
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
  }

  /** Whether waking at `at` needs another alarm than the one that stands. */
  isDueBefore(at: number, now: number): boolean {
    return this.at === null || at < this.at || this.at < now - LOST_AFTER_MS;
  }

  /** Sets the alarm; one that is at most `backedMs` ahead is backed by a timer too. */
  async set(at: number, now: number, backedMs: number): Promise<void> {
    this.forget();
    this.at = at;
    if (backedMs > 0 && at - now <= backedMs) {
      this.timer = setTimeout(
        () => {
          this.timer = null;
          if (this.at === at) this.wake();
        },
        Math.max(0, at - now) + 20,
      );
    }
    await this.storage.setAlarm(at);
  }
}
