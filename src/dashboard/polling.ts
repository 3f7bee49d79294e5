import { useEffect, useRef, useState } from "preact/hooks";
import { type SluiceClient, SluiceError } from "../client/client.ts";
import { problemOf, session } from "./session.ts";

/** The signed-in user's client. */
export function api(): SluiceClient {
  if (session.value === null) throw new Error("nobody is signed in");
  return session.value.poller;
}

export interface Polled<T> {
  /** What came last; null before the first answer. It stays while later requests fail. */
  data: T | null;
  problem: string | null;
  /** There is no such object, or no longer. */
  isGone: boolean;
  /** Asks again at once. */
  refresh(): void;
}

interface State<T> {
  key: string;
  data: T | null;
  problem: string | null;
  isGone: boolean;
}

/** A slow answer is not asked for at once again: the pause is at least so many times what it took. */
const BREATHER = 4;

/**
 * Asks again and again while the tab is seen.
 *
 * @param key of what is asked for: another one starts anew, and shows nothing of the one before.
 * @param everyMs null: only once, and on `refresh`.
 */
export function usePolled<T>(key: string, load: () => Promise<T>, everyMs: number | null): Polled<T> {
  const empty: State<T> = { key, data: null, problem: null, isGone: false };
  const [state, setState] = useState<State<T>>(empty);
  const latest = useRef(load);
  latest.current = load;
  const ask = useRef(() => {});

  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    let isOver = false;
    let isAsking = false;
    const round = async (): Promise<void> => {
      if (isOver || isAsking || session.value === null) return;
      clearTimeout(timer);
      isAsking = true;
      const began = performance.now();
      try {
        const data = await latest.current();
        if (!isOver) setState({ key, data, problem: null, isGone: false });
      } catch (error) {
        const isGone = error instanceof SluiceError && error.status === 404;
        const problem = problemOf(error);
        if (!isOver) setState((was) => ({ key, data: was.key === key ? was.data : null, problem, isGone }));
      }
      isAsking = false;
      if (everyMs !== null && !isOver)
        timer = setTimeout(next, Math.max(everyMs, BREATHER * (performance.now() - began)));
    };
    const next = (): void => {
      if (!document.hidden) void round();
    };
    ask.current = () => void round();
    const onSeen = (): void => {
      if (everyMs !== null) next();
    };
    document.addEventListener("visibilitychange", onSeen);
    // At once, and when somebody has signed in again.
    const forget = session.subscribe(() => void round());
    return () => {
      isOver = true;
      forget();
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", onSeen);
    };
  }, [key, everyMs]);

  const { data, problem, isGone } = state.key === key ? state : empty;
  return { data, problem, isGone, refresh: () => ask.current() };
}

export interface Page<T> {
  data: T[];
  next_cursor: string | null;
}

export interface Pages<T> extends Polled<Page<T>> {
  rows: T[] | null;
  /** Tells one page from another. */
  pageKey: string;
  older: (() => void) | null;
  newest: (() => void) | null;
}

/** A list, page by page. The newest page follows what happens; an older one stands still. */
export function usePages<T>(
  key: string,
  load: (cursor: string | undefined) => Promise<Page<T>>,
  everyMs: number | null,
): Pages<T> {
  const [at, setAt] = useState<{ key: string; cursor: string | undefined }>({ key, cursor: undefined });
  const cursor = at.key === key ? at.cursor : undefined;
  const pageKey = `${key} ${cursor ?? ""}`;
  const polled = usePolled(pageKey, () => load(cursor), cursor === undefined ? everyMs : null);
  const following = polled.data?.next_cursor ?? null;
  return {
    ...polled,
    rows: polled.data?.data ?? null,
    pageKey,
    older: following === null ? null : () => setAt({ key, cursor: following }),
    newest: cursor === undefined ? null : () => setAt({ key, cursor: undefined }),
  };
}
