import { createExecutionContext } from "cloudflare:test";
import { createParser } from "eventsource-parser";
import { createApp } from "../../src/http/app.ts";
import { bindings } from "./ask.ts";

/** A stream of events as a client reads it. */

export interface Received {
  event: string;
  id: string;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into answers freely
  data: any;
}

export interface Stream {
  status: number;
  headers: Headers;
  /** The next event; null where the stream has ended. */
  next(): Promise<Received | null>;
  /** All that is left. */
  rest(): Promise<Received[]>;
  /** The client goes. */
  leave(): Promise<void>;
}

const app = createApp();

/** @param signal aborted: the client's connection is gone. */
export async function watch(
  key: string | null,
  path: string,
  headers: Record<string, string> = {},
  signal?: AbortSignal,
): Promise<Stream> {
  const request = new Request(`http://sluice.test${path}`, {
    signal,
    headers: { ...(key === null ? {} : { Authorization: `Bearer ${key}` }), ...headers },
  });
  const response = await app.fetch(request, bindings, createExecutionContext());
  const received: Received[] = [];
  const parser = createParser({
    onEvent: ({ event = "", id = "", data }) => received.push({ event, id, data: JSON.parse(data) }),
  });
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  const next = async (): Promise<Received | null> => {
    for (;;) {
      const event = received.shift();
      if (event) return event;
      const part = await reader?.read();
      if (part === undefined || part.done) return null;
      parser.feed(part.value);
    }
  };
  return {
    status: response.status,
    headers: response.headers,
    next,
    rest: async () => {
      const all: Received[] = [];
      for (let event = await next(); event !== null; event = await next()) all.push(event);
      return all;
    },
    leave: async () => reader?.cancel(),
  };
}
