import { createParser } from "eventsource-parser";
import { expect, test } from "vitest";
import { start as startZoo } from "../fixtures/endpoint/server.ts";
import { type BatchOperation, sendNdjson, startSluice, until } from "./harness.ts";

const ITEMS = 400;
const CONCURRENCY = 5;

interface Received {
  event: string;
  id: string;
  at: number;
  data: BatchOperation & { percent_complete: number };
}

/** Reads a stream until it ends or breaks; `all` grows as it comes. */
async function follow(url: string, key: string, all: Received[], lastId?: string): Promise<"ended" | "broken"> {
  const headers = { Authorization: `Bearer ${key}`, ...(lastId === undefined ? {} : { "Last-Event-ID": lastId }) };
  try {
    const response = await fetch(url, { headers });
    expect([response.status, response.headers.get("Content-Type")]).toEqual([200, "text/event-stream; charset=utf-8"]);
    const parser = createParser({
      onEvent: ({ event = "", id = "", data }) => all.push({ event, id, at: Date.now(), data: JSON.parse(data) }),
    });
    for await (const part of (response.body as ReadableStream<Uint8Array>).pipeThrough(new TextDecoderStream())) {
      parser.feed(part);
    }
    return "ended";
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    return "broken";
  }
}

const doneOf = ({ counts }: BatchOperation): number =>
  ["completed", "failed", "timed_out", "crashed", "canceled", "expired"].reduce((sum, s) => sum + (counts[s] ?? 0), 0);

test("a stream read through kill -9 and a restart: nothing is missed or doubled, and it adds up to the end", async () => {
  const zoo = await startZoo();
  const before = await startSluice();
  await before.api.post("/v1/jobs", {
    ...{ name: "Watched", endpoint_url: `${zoo.url}/ok?ms=25`, max_concurrency: CONCURRENCY },
  });
  const lines = Array.from({ length: ITEMS }, (_, n) => ({ payload: { n } }));
  const accepted = await sendNdjson(before, "watched", lines);
  const url = `${before.url}/v1/batch-operations/${accepted.batch_id}/events`;

  const first: Received[] = [];
  const openedAt = Date.now();
  const broken = follow(url, before.apiKey, first);
  await until(() => first.filter((e) => e.event === "batch_progress").length >= 3);
  // Somebody who left is not waited for.
  const left = new AbortController();
  const gone = fetch(url, { headers: { Authorization: `Bearer ${before.apiKey}` }, signal: left.signal });
  await gone;
  left.abort();
  await before.signalGroup("SIGKILL");
  expect(await broken).toBe("broken");

  const after = await startSluice({ stateDir: before.stateDir, port: before.port });
  const second: Received[] = [];
  expect(await follow(url, after.apiKey, second, first.at(-1)?.id)).toBe("ended");

  console.log(`the first event came after ${(first[0]?.at ?? 0) - openedAt} ms`);
  const all = [...first, ...second];
  for (const part of [first, second]) {
    expect(part[0]?.event).toBe("batch_state");
    const ids = part.map((e) => Number(e.id));
    expect(ids).toEqual([...new Set(ids)].sort((a, b) => a - b));
  }
  let done = 0;
  for (const { data } of all) {
    expect(Object.values(data.counts).reduce((a, b) => a + b, 0)).toBe(data.created_count);
    expect(doneOf(data)).toBeGreaterThanOrEqual(done);
    done = doneOf(data);
    expect(data.percent_complete).toBeCloseTo(done / ITEMS, 10);
  }
  expect(done).toBe(ITEMS);
  expect(all.filter((e) => e.data.finished_at).map((e) => [e.event, e.data.status])).toEqual([
    ["batch_state", "succeeded"],
  ]);

  const final = second.at(-1);
  const again: Received[] = [];
  await follow(url, after.apiKey, again);
  expect(again.map(({ event, id, data }) => ({ event, id, data }))).toEqual([
    { event: final?.event, id: final?.id, data: final?.data },
  ]);
  await after.signalGroup("SIGINT");
  await zoo.stop();
});
