/** How much of a refused body is still read, so that its client sees the answer. */
const MAX_DRAINED_BYTES = 64 * 1024 * 1024;
/** A client that sends nothing for this long waits for the answer itself. */
const DRAIN_PATIENCE_MS = 500;

const silence = (): Promise<"silence"> =>
  new Promise((resolve) => setTimeout(() => resolve("silence"), DRAIN_PATIENCE_MS));

/**
 * Answers a request, and reads what is left of its body before the answer leaves. Otherwise the local runtime resets the
 * connection, and a client that writes its whole body first never sees the answer. In production the platform does this itself.
 */
export async function answerDrained(
  request: Request,
  answer: (request: Request) => Response | Promise<Response>,
): Promise<Response> {
  if (request.body === null) return answer(request);
  const reader = request.body.getReader();
  let isOver = false;
  const readNext = async (): Promise<Uint8Array | null> => {
    const { done, value } = await reader.read();
    isOver ||= done;
    return done ? null : value;
  };
  // A request's body allows one read at a time, and the answer may come while one made ahead is still pending.
  let last: Promise<unknown> = Promise.resolve();
  const read = (): Promise<Uint8Array | null> => {
    const next = last.then(readNext);
    last = next.catch(() => undefined);
    return next;
  };
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      try {
        const part = await read();
        if (part === null) controller.close();
        else controller.enqueue(part);
      } catch (error) {
        isOver = true;
        controller.error(error);
      }
    },
  });
  const response = await answer(new Request(request, { body }));
  try {
    for (let drained = 0; !isOver && drained < MAX_DRAINED_BYTES; ) {
      const part = await Promise.race([read(), silence()]);
      if (part === "silence") break;
      drained += part?.byteLength ?? 0;
    }
  } catch {
    // The client is gone: nobody waits for the answer.
  }
  return response;
}
