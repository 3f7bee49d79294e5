import { useEffect, useState } from "preact/hooks";
import { type BatchEvent, type BatchOperation, SluiceError } from "../client/client.ts";
import { api } from "./polling.ts";
import { problemOf, session } from "./session.ts";

export interface BatchFeed {
  /** Null before the first event. */
  batch: BatchOperation | null;
  problem: string | null;
  isGone: boolean;
  /** The stream is open, and the batch still at work. */
  isLive: boolean;
}

const NOTHING: BatchFeed = { batch: null, problem: null, isGone: false, isLive: false };
const AGAIN_AFTER_MS = 3000;

export function withEvent(batch: BatchOperation | null, event: BatchEvent): BatchOperation | null {
  if (event.event === "batch_state") return event.batch;
  return batch === null ? null : { ...batch, ...event.progress };
}

/**
 * A batch operation as it goes, over server-sent events. A lost connection is made again, also after a new sign-in.
 *
 * @param epoch another one asks anew: what was finished may have been changed.
 */
export function useBatch(id: string, epoch: number): BatchFeed {
  const [feed, setFeed] = useState<BatchFeed>(NOTHING);
  useEffect(() => {
    const stop = new AbortController();
    setFeed((was) => (was.batch?.id === id ? was : NOTHING));
    void follow(id, stop.signal, setFeed);
    return () => stop.abort(new Error("the page was left"));
  }, [id, epoch]);
  return feed.batch === null || feed.batch.id === id ? feed : NOTHING;
}

type Update = (change: (was: BatchFeed) => BatchFeed) => void;

async function follow(id: string, signal: AbortSignal, update: Update): Promise<void> {
  while (!signal.aborted) {
    try {
      for await (const event of api().batches.watch(id, { signal })) {
        update((was) => {
          const batch = withEvent(was.batch, event);
          return { batch, problem: null, isGone: false, isLive: batch?.finished_at === null };
        });
      }
      return;
    } catch (error) {
      if (signal.aborted) return;
      const isGone = error instanceof SluiceError && error.status === 404;
      update((was) => ({ ...was, problem: problemOf(error), isGone, isLive: false }));
      if (isGone) return;
    }
    await pauseUntilSignedIn(signal);
  }
}

/** Some seconds; without a session until there is one. */
function pauseUntilSignedIn(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => session.value !== null && done(), AGAIN_AFTER_MS);
    let isFirst = true;
    const forget = session.subscribe((current) => {
      if (!isFirst && current !== null) done();
      isFirst = false;
    });
    const done = (): void => {
      clearTimeout(timer);
      forget();
      signal.removeEventListener("abort", done);
      resolve();
    };
    signal.addEventListener("abort", done, { once: true });
  });
}
