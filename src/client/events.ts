import { createParser, type EventSourceMessage } from "eventsource-parser";
import { SluiceError } from "./error.ts";
import { mayRetry } from "./retry.ts";
import type { Transport } from "./transport.ts";

/** A stream that says nothing for this long is dead: heartbeats come every 15 s. */
const SILENCE_MS = 40_000;
/** Connections that brought nothing, one after the other, before it is given up. */
const FRUITLESS_TRIES = 8;

export interface StreamEvent {
  event: string;
  data: unknown;
}

export interface StreamOptions {
  signal?: AbortSignal;
  /** Whether this event is the last one: the stream ends with it, and is not asked for again. */
  isLast(event: StreamEvent): boolean;
}

/**
 * Server-sent events, across broken connections: a new one goes on after the last event that came.
 *
 * @throws SluiceError where the stream is refused; what the last try threw, where none brings anything any more.
 */
export async function* stream(transport: Transport, path: string, options: StreamOptions): AsyncGenerator<StreamEvent> {
  let lastId: string | null = null;
  for (let fruitless = 0; ; ) {
    let failure: unknown = new Error("the stream ended before its last event");
    try {
      for await (const message of connection(transport, path, lastId, options.signal)) {
        fruitless = 0;
        if (message.id !== undefined) lastId = message.id;
        const event = { event: message.event ?? "message", data: JSON.parse(message.data) as unknown };
        yield event;
        if (options.isLast(event)) return;
      }
    } catch (error) {
      if (options.signal?.aborted) throw options.signal.reason;
      if (error instanceof SluiceError && !mayRetry({ error, isRepeatable: true })) throw error;
      failure = error;
    }
    fruitless += 1;
    if (fruitless > FRUITLESS_TRIES) throw failure;
    await transport.pause(fruitless, failure, options.signal);
  }
}

async function* connection(
  transport: Transport,
  path: string,
  lastId: string | null,
  signal: AbortSignal | undefined,
): AsyncGenerator<EventSourceMessage> {
  const headers: Record<string, string> = { Accept: "text/event-stream" };
  if (lastId !== null) headers["Last-Event-ID"] = lastId;
  const response = await transport.raw({ method: "GET", path, headers, isRepeatable: true, signal });
  if (response.body === null) return;
  const ready: EventSourceMessage[] = [];
  const parser = createParser({ onEvent: (message) => ready.push(message) });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  try {
    for (;;) {
      const { done, value } = await withinSilence(reader.read());
      if (done) return;
      parser.feed(value);
      yield* ready.splice(0);
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}

async function withinSilence<T>(read: Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const silence = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`the stream was silent for ${SILENCE_MS} ms`)), SILENCE_MS);
  });
  try {
    return await Promise.race([read, silence]);
  } finally {
    clearTimeout(timer);
  }
}
