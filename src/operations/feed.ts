import { openWatch } from "../coordinator/watch-client.ts";
import { PING, type WatchTarget } from "../coordinator/watch-protocol.ts";
import { ApiError } from "../domain/error.ts";
import type { Env } from "../env.ts";

/** What a feed carries: states of one object, each with the version that tells which is newer. */
export interface FeedMessage {
  ver: number;
  /** Nothing follows. */
  ended: boolean;
}

/** How a feed is fed. */
export interface FeedSource<M extends FeedMessage> {
  target: WatchTarget;
  jobId: string;
  /**
   * Two messages between which something happened that every watcher must be told; of others only the newest counts.
   * Say no wherever a watcher may leave the first one out.
   */
  isMilestone(before: M, after: M): boolean;
  /** The terminal state, once the coordinator no longer knows the object. */
  readEnd(env: Env): Promise<M>;
}

/** Each watcher looks around this often. */
const TICK_MS = 1_000;
/** A watcher that has not looked around for this long died without a word, or its client reads nothing. */
const DEAD_MS = 30_000;
/**
 * A watcher is told of what is no milestone at most four times a second; less often where there is a crowd. With the time that the
 * coordinator gathers changes it stays well within the second that a watcher may be behind.
 */
const MINOR_EVERY_MS = 260;
const CROWD = 50;
const CROWD_EVERY_MS = 500;
/** A socket that says nothing is asked after so long, and given up after so long. */
const PING_AFTER_MS = 4_000;
const SILENT_MS = 12_000;
const FIRST_RETRY_MS = 100;
const MAX_RETRY_MS = 5_000;
/** …of the first connection; later ones are tried as long as somebody watches. */
const TRIES = 3;

/**
 * One object's states in this isolate: one socket to its coordinator, however many watch. A socket belongs to the request
 * that opened it and dies with it, so one watcher holds it for all, and when that one leaves another opens its own.
 * States that come twice, or late, are told once.
 */
class Feed<M extends FeedMessage> {
  readonly source: FeedSource<M>;
  readonly watchers = new Set<Watcher<M>>();
  private readonly forget: () => void;
  private holder: Watcher<M> | null = null;
  private socket: WebSocket | null = null;
  private heardAt = 0;
  private buriedAt = 0;
  private failures = 0;
  /** When the next try is due; null: now, or the socket stands. */
  retryAt: number | null = null;
  latest: M | null = null;
  /** Why there is nothing to watch. */
  refusal: unknown = null;

  constructor(source: FeedSource<M>, forget: () => void) {
    this.source = source;
    this.forget = forget;
  }

  /** A watcher comes, or comes back. What is known is its first message, unless the socket is down. */
  enter(watcher: Watcher<M>, seen: number | null): void {
    if (this.watchers.has(watcher)) return;
    this.watchers.add(watcher);
    const isNews = this.latest !== null && (seen === null ? this.socket !== null : this.latest.ver > seen);
    if (isNews && this.latest !== null) watcher.offer(this.latest);
  }

  leave(watcher: Watcher<M>): void {
    this.watchers.delete(watcher);
    if (this.holder === watcher) {
      this.letGo();
      this.watchers.values().next().value?.wake();
    }
    if (this.watchers.size === 0) this.forget();
  }

  /** Called by every watcher that looks around. Takes over where nobody holds the socket, or nothing comes from it. */
  async tend(watcher: Watcher<M>, now: number): Promise<void> {
    this.buryDead(now);
    if (this.latest?.ended || this.refusal !== null) return;
    const isHeld = this.holder !== null && this.watchers.has(this.holder);
    if (isHeld && (this.socket === null || now - this.heardAt <= SILENT_MS)) {
      const isQuiet = this.holder === watcher && now - this.heardAt > PING_AFTER_MS;
      if (isQuiet && this.socket?.readyState === WebSocket.OPEN) this.socket.send(PING);
      return;
    }
    if (this.retryAt !== null && now < this.retryAt) return;
    await this.take(watcher);
  }

  private buryDead(now: number): void {
    if (now - this.buriedAt < TICK_MS) return;
    this.buriedAt = now;
    for (const watcher of this.watchers) if (now - watcher.seenAt > DEAD_MS) this.watchers.delete(watcher);
  }

  private async take(watcher: Watcher<M>): Promise<void> {
    this.letGo();
    this.holder = watcher;
    this.retryAt = null;
    try {
      const socket = await openWatch(watcher.env, this.source.jobId, this.source.target);
      if (socket === null) {
        this.receive(await this.source.readEnd(watcher.env));
        return;
      }
      if (this.holder !== watcher) {
        socket.close(1000);
        return;
      }
      this.listen(socket);
    } catch (error) {
      if (this.holder === watcher) this.lost(error);
    }
  }

  private listen(socket: WebSocket): void {
    this.socket = socket;
    this.heardAt = Date.now();
    socket.addEventListener("message", ({ data }) => {
      if (this.socket !== socket) {
        // Another watcher took over: this one seemed dead.
        socket.close(1000);
        return;
      }
      this.heardAt = Date.now();
      this.failures = 0;
      if (typeof data === "string" && data.startsWith("{")) this.receive(JSON.parse(data) as M);
    });
    const ended = () => {
      if (this.socket === socket) this.lost(null);
    };
    socket.addEventListener("close", ended);
    socket.addEventListener("error", ended);
  }

  /** The socket is gone: somebody opens another, soon at first, then more patiently. */
  private lost(error: unknown): void {
    this.letGo();
    if (this.latest?.ended) return;
    this.failures += 1;
    // Nobody has been told anything yet: the caller hears of it.
    const isFinal = error instanceof ApiError || this.failures >= TRIES;
    if (this.latest === null && error !== null && isFinal) this.refusal = error;
    this.retryAt = Date.now() + Math.min(FIRST_RETRY_MS * 2 ** (this.failures - 1), MAX_RETRY_MS);
    for (const watcher of this.watchers) watcher.wake();
  }

  private letGo(): void {
    const { socket } = this;
    this.socket = null;
    this.holder = null;
    try {
      socket?.close(1000);
    } catch {
      // It belonged to a request that is over.
    }
  }

  private receive(message: M): void {
    if (this.latest !== null && message.ver <= this.latest.ver) return;
    this.latest = message;
    for (const watcher of this.watchers) watcher.offer(message);
    if (message.ended) this.letGo();
  }
}

/** One who watches, in the request it belongs to. Iterate it, or `return()` it: either way it leaves nothing behind. */
export class Watcher<M extends FeedMessage> implements AsyncIterableIterator<M> {
  readonly env: Env;
  seenAt = Date.now();
  private readonly feed: Feed<M>;
  private readonly signal: AbortSignal | undefined;
  private queue: M[] = [];
  private last: M | null = null;
  private minorAt = 0;
  private isOver = false;
  private wakeUp: () => void = () => {};

  constructor(env: Env, feed: Feed<M>, signal: AbortSignal | undefined) {
    this.env = env;
    this.feed = feed;
    this.signal = signal;
    feed.enter(this, null);
    if (signal?.aborted) this.leave();
    else signal?.addEventListener("abort", this.onAbort);
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** @throws what the coordinator or D1 threw, before the first message only. */
  async next(): Promise<IteratorResult<M, undefined>> {
    try {
      while (!this.isOver) {
        const message = this.take();
        if (message !== null) return { done: false, value: message };
        if (this.feed.refusal !== null && this.last === null) throw this.feed.refusal;
        const wake = this.nextWake();
        this.feed.enter(this, this.last?.ver ?? null);
        await this.feed.tend(this, this.seenAt);
        await this.sleepUntil(wake, this.isEarly() ? this.minorDue : this.feed.retryAt);
      }
    } catch (error) {
      this.leave();
      throw error;
    }
    return { done: true, value: undefined };
  }

  async return(): Promise<IteratorResult<M, undefined>> {
    this.leave();
    return { done: true, value: undefined };
  }

  offer(message: M): void {
    // A slow reader skips what is out of date, but no milestone.
    const before = this.queue.at(-1);
    const earlier = this.queue.at(-2) ?? this.last;
    if (before !== undefined && earlier !== null && !this.feed.source.isMilestone(earlier, before)) this.queue.pop();
    this.queue.push(message);
    const isMinor = earlier !== null && !message.ended && !this.feed.source.isMilestone(earlier, message);
    // Its timer wakes it when the turn of what is minor has come.
    if (!isMinor || !this.isEarly()) this.wake();
  }

  wake(): void {
    this.wakeUp();
  }

  private nextWake(): Promise<void> {
    this.seenAt = Date.now();
    return new Promise((resolve) => {
      this.wakeUp = resolve;
    });
  }

  /** The next message whose turn it is: sockets that change hands may bring two that are close to each other. */
  private take(): M | null {
    const [message] = this.queue;
    if (message === undefined) return null;
    const { last } = this;
    if (last !== null && !message.ended && !this.feed.source.isMilestone(last, message)) {
      if (this.isEarly()) return null;
      this.minorAt = Date.now();
    }
    this.queue.shift();
    this.last = message;
    if (message.ended) this.leave();
    return message;
  }

  /** When the next minor message may be told. */
  private get minorDue(): number {
    return this.minorAt + (this.feed.watchers.size > CROWD ? CROWD_EVERY_MS : MINOR_EVERY_MS);
  }

  private isEarly(): boolean {
    return Date.now() < this.minorDue;
  }

  /**
   * Until something comes, or it is time to look around, or `at`. The timer is this request's own, so it ends it itself.
   */
  private async sleepUntil(wake: Promise<void>, at: number | null): Promise<void> {
    const ms = at === null ? TICK_MS : Math.min(TICK_MS, Math.max(1, at - Date.now()));
    let timer: ReturnType<typeof setTimeout> | undefined;
    const tick = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, ms);
    });
    await Promise.race([wake, tick]);
    clearTimeout(timer);
  }

  private leave(): void {
    if (this.isOver) return;
    this.isOver = true;
    this.signal?.removeEventListener("abort", this.onAbort);
    this.feed.leave(this);
    this.wake();
  }

  private readonly onAbort = (): void => this.leave();
}

const feeds = new Map<string, Feed<FeedMessage>>();

/** Watches an object together with whoever watches it already in this isolate. */
export function join<M extends FeedMessage>(env: Env, source: FeedSource<M>, signal?: AbortSignal): Watcher<M> {
  const name = `${source.target.kind}:${source.target.id}`;
  const known = feeds.get(name) as Feed<M> | undefined;
  if (known !== undefined && known.refusal === null && known.latest?.ended !== true) {
    return new Watcher(env, known, signal);
  }
  const feed: Feed<M> = new Feed(source, () => {
    if (feeds.get(name) === (feed as unknown)) feeds.delete(name);
  });
  feeds.set(name, feed as unknown as Feed<FeedMessage>);
  return new Watcher(env, feed, signal);
}
