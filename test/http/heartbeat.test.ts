import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { eventStream } from "../../src/http/kernel/stream.ts";
import { sseResponse } from "../../src/http/sse.ts";

/** What a stream says while nothing happens (contracts 8 and 10). */

const SILENCE_MS = 15_000;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
});

afterEach(() => {
  vi.useRealTimers();
});

/** Says `first` at once, and what it is told later. */
function source(first: string) {
  const { promise: later, resolve: say } = Promise.withResolvers<string>();
  const items = [Promise.resolve(first), later];
  const state = { isLeft: false, say };
  const iterator: AsyncIterableIterator<string> = {
    [Symbol.asyncIterator]: () => iterator,
    async next() {
      const item = items.shift();
      return item === undefined ? { done: true, value: undefined } : { done: false, value: await item };
    },
    async return() {
      state.isLeft = true;
      return { done: true, value: undefined };
    },
  };
  return { iterator, state };
}

function reading(response: Response) {
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  if (!reader) throw new Error("a stream without a body");
  return { next: async () => (await reader.read()).value, leave: () => reader.cancel() };
}

/** Nothing a millisecond before the time, and then this. */
async function afterSilence(next: () => Promise<string | undefined>): Promise<string | undefined> {
  let heard: string | undefined;
  const hearing = next().then((text) => {
    heard = text;
  });
  await vi.advanceTimersByTimeAsync(SILENCE_MS - 1);
  expect(heard).toBeUndefined();
  await vi.advanceTimersByTimeAsync(1);
  await hearing;
  return heard;
}

const FACES = {
  native: (events: AsyncIterable<string>) => sseResponse(events, (text) => ({ event: "said", data: text })),
  kernel: (events: AsyncIterable<string>) => eventStream(events, async (text) => [{ event: "said", data: { text } }]),
};

describe.each(["native", "kernel"] as const)("a silent stream of the %s face", (face) => {
  test("beats every 15 s, and loses nothing that comes after", async () => {
    const { iterator, state } = source('"first"');
    const { next, leave } = reading(await FACES[face](iterator));
    expect(await next()).toContain("first");
    for (let beat = 0; beat < 2; beat++) {
      const heard = await afterSilence(next);
      if (face === "native") expect(heard).toMatch(/^:[^\n]*\n\n$/);
      else {
        // Its clients break on a message without data.
        const data = JSON.parse(/^event: sse_heartbeat\ndata: ([^\n]+)\n\n$/.exec(heard ?? "")?.[1] ?? "");
        expect(data).toEqual({ event: "sse_heartbeat", timestamp: expect.stringMatching(/^\d{4}-.*\.\d{3}Z$/) });
      }
    }
    state.say('"second"');
    expect(await next()).toContain("second");
    await leave();
  });

  test("is left by a client that goes, with no timer behind it", async () => {
    const { iterator, state } = source('"first"');
    const { next, leave } = reading(await FACES[face](iterator));
    await next();
    await leave();
    expect(state.isLeft).toBe(true);
    state.say('"too late"');
    await vi.advanceTimersByTimeAsync(0);
    expect(vi.getTimerCount()).toBe(0);
  });
});
