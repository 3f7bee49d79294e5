/** One event of a stream (WHATWG server-sent events). */
export interface SseEvent {
  /** Absent: a message without a name of its own. */
  event?: string;
  id?: string;
  /** One line of text: JSON. */
  data: string;
}

const HEARTBEAT_MS = 15_000;
const encoder = new TextEncoder();

const frames = new WeakMap<SseEvent, Uint8Array>();

/** The same event goes to many: its bytes are made once. */
function frame(event: SseEvent): Uint8Array {
  const known = frames.get(event);
  if (known !== undefined) return known;
  const name = event.event === undefined ? "" : `event: ${event.event}\n`;
  const id = event.id === undefined ? "" : `id: ${event.id}\n`;
  const bytes = encoder.encode(`${name}${id}data: ${event.data}\n\n`);
  frames.set(event, bytes);
  return bytes;
}

/**
 * Answers with a stream of events, and ends with them; with 204 where there is none. Nothing is read ahead of a slow client;
 * when it goes, the iteration is left.
 *
 * @param heartbeat what is sent every 15 s, a whole frame; a comment by default.
 * @throws what the iteration throws before its first event.
 */
export async function sseResponse<E>(
  events: AsyncIterable<E>,
  toSse: (event: E) => SseEvent,
  heartbeat: () => string = () => ": heartbeat\n\n",
): Promise<Response> {
  const source = events[Symbol.asyncIterator]();
  const first = await source.next();
  if (first.done) return new Response(null, { status: 204 });
  let next: Promise<IteratorResult<E>> | null = Promise.resolve(first);
  const body = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        next ??= source.next();
        const result = await orSilence(next, HEARTBEAT_MS);
        if (result === null) {
          controller.enqueue(encoder.encode(heartbeat()));
          return;
        }
        next = null;
        if (result.done) controller.close();
        else controller.enqueue(frame(toSse(result.value)));
      },
      async cancel() {
        await source.return?.();
      },
    },
    { highWaterMark: 1 },
  );
  return new Response(body, {
    headers: {
      "Content-Type": "text/event-stream; charset=utf-8",
      // A proxy that gathers or packs would hold events back.
      "Cache-Control": "no-cache, no-transform",
      "X-Accel-Buffering": "no",
    },
  });
}

/** The result, or null where it takes longer. */
async function orSilence<T>(result: Promise<T>, ms: number): Promise<T | null> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const silence = new Promise<null>((resolve) => {
    timer = setTimeout(() => resolve(null), ms);
  });
  try {
    return await Promise.race([result, silence]);
  } finally {
    clearTimeout(timer);
  }
}
