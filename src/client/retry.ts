import { SluiceError } from "./error.ts";

/** Milliseconds before the second try, where nothing else is said. */
export const FIRST_DELAY_MS = 500;
const LONGEST_DELAY_MS = 15_000;

/** What is known of a call that failed. */
export interface Failure {
  error: unknown;
  /** Asked again, it does nothing twice: it reads, sets, or carries a key. */
  isRepeatable: boolean;
}

/** Nothing was done, whatever the call was: it was turned away at the door. */
const TURNED_AWAY = [429, 503];
/** A gateway's answers: what became of the call is not known. */
const UNKNOWN_FATE = [408, 500, 502, 504];

/** Whether asking once more may help, and can do no harm. */
export function mayRetry({ error, isRepeatable }: Failure): boolean {
  if (!(error instanceof SluiceError)) return isRepeatable;
  if (TURNED_AWAY.includes(error.status)) return true;
  // The first request with this key is still running.
  if (error.status === 409) return isRepeatable && error.retryAfterMs !== null;
  return isRepeatable && UNKNOWN_FATE.includes(error.status);
}

/**
 * Milliseconds before try `n + 1` (n from 1): doubling with jitter, and never sooner than `Retry-After`.
 *
 * @param firstMs before the second try.
 * @param random from 0 to 1.
 */
export function retryDelay(n: number, firstMs: number, error: unknown, random: number): number {
  const asked = error instanceof SluiceError ? (error.retryAfterMs ?? 0) : 0;
  const own = Math.min(firstMs * 2 ** (n - 1), LONGEST_DELAY_MS) * (0.75 + random / 4);
  return Math.max(own, asked);
}

/** Resolves after `ms`; rejects with the signal's reason when it is aborted. */
export function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const stop = (): void => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, ms);
    signal?.addEventListener("abort", stop, { once: true });
  });
}
