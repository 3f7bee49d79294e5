import type { TypedResponse } from "hono";
import { toApiError } from "../error.ts";
import { type SseEvent, sseResponse } from "../sse.ts";
import { iso } from "../wire/common.ts";
import { kernelError } from "./error.ts";

/** One event. This face's clients read its name inside of its data, and break on an event without data. */
export interface KernelEvent {
  event: string;
  /** The persisted version of what is watched. */
  id?: number;
  /** Unix milliseconds. */
  at?: number;
  data: object;
}

function toSse({ event, id, at = Date.now(), data }: KernelEvent): SseEvent {
  const named = { event, data: JSON.stringify({ event, ...data, timestamp: iso(at) }) };
  return id === undefined ? named : { ...named, id: String(id) };
}

function heartbeat(): string {
  const { event, data } = toSse({ event: "sse_heartbeat", data: {} });
  return `event: ${event}\ndata: ${data}\n\n`;
}

/**
 * What is watched, as events. It is no generator: whoever hangs up while the next event is awaited is let go at once. A
 * failure on the way is the last event.
 */
function expanded<T>(
  source: AsyncIterable<T>,
  expand: (item: T) => Promise<KernelEvent[]>,
  failed: (error: unknown) => KernelEvent,
): AsyncIterableIterator<KernelEvent> {
  const items = source[Symbol.asyncIterator]();
  const ready: KernelEvent[] = [];
  let isOver = false;
  const events: AsyncIterableIterator<KernelEvent> = {
    [Symbol.asyncIterator]: () => events,
    async next() {
      while (ready.length === 0 && !isOver) {
        try {
          const { done, value } = await items.next();
          if (done) isOver = true;
          else ready.push(...(await expand(value)));
        } catch (error) {
          isOver = true;
          ready.push(failed(error));
        }
      }
      const value = ready.shift();
      return value === undefined ? { done: true, value } : { done: false, value };
    },
    async return() {
      isOver = true;
      await items.return?.();
      return { done: true, value: undefined };
    },
  };
  return events;
}

/** An event stream that ends with what is watched. */
export async function eventStream<T>(
  source: AsyncIterable<T>,
  expand: (item: T) => Promise<KernelEvent[]>,
): Promise<Response & TypedResponse<never, 200, "text">> {
  const failed = (error: unknown): KernelEvent => ({
    event: "error",
    data: { error: kernelError(toApiError(error)).body },
  });
  const response = await sseResponse(expanded(source, expand, failed), toSse, heartbeat);
  response.headers.set("X-SSE-Content-Type", "application/json");
  return response as Response & TypedResponse<never, 200, "text">;
}
