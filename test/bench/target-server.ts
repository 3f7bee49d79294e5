import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/**
 * The endpoint of the benchmarks, in a process of its own, as little as it can be. Every call is a POST with a JSON body
 * `{"n":17,"key":"k3"}`.
 *
 * `/ok?ms=` answers 200 after so long; `/tenth` answers 503 to the first call of every tenth item; `&key=1` counts calls in
 * flight by the body's `key`; `&hang=k` never answers calls of that key. `GET /__stats` → `TargetStats`; `GET /__reset`.
 */
export interface TargetStats {
  calls: number;
  in_flight: number;
  peak: number;
  peak_of_a_key: number;
  /** Distinct items seen. */
  items: number;
  /** Unix milliseconds with fractions: [item, instant] of each call, in order. */
  arrivals: [number, number][];
  last_ended_at: number;
}

const now = () => performance.timeOrigin + performance.now();
const ANSWER = Buffer.from('{"ok":true}');
const HEAD = { "content-type": "application/json", "content-length": ANSWER.length };

class Counters {
  calls = 0;
  inFlight = 0;
  peak = 0;
  peakOfAKey = 0;
  lastEndedAt = 0;
  readonly keys = new Map<string, number>();
  readonly items = new Set<number>();
  readonly arrivals: [number, number][] = [];
}

let counters = new Counters();

function end(seen: Counters, response: ServerResponse, status: number, key: string | null): void {
  seen.inFlight--;
  if (key !== null) seen.keys.set(key, (seen.keys.get(key) ?? 1) - 1);
  seen.lastEndedAt = now();
  response.writeHead(status, HEAD).end(ANSWER);
}

function enterKey(seen: Counters, key: string): void {
  const flying = (seen.keys.get(key) ?? 0) + 1;
  seen.keys.set(key, flying);
  seen.peakOfAKey = Math.max(seen.peakOfAKey, flying);
}

const NUMBER = /"n":(\d+)/;
const KEY = /"key":"([^"]*)"/;

function call(request: IncomingMessage, response: ServerResponse, path: string, query: URLSearchParams | null): void {
  const seen = counters;
  const arrivedAt = now();
  seen.calls++;
  seen.peak = Math.max(seen.peak, ++seen.inFlight);
  let body = "";
  request.setEncoding("latin1");
  request.on("data", (chunk: string) => {
    body += chunk;
  });
  request.on("end", () => {
    const item = Number(NUMBER.exec(body)?.[1] ?? -1);
    seen.arrivals.push([item, arrivedAt]);
    const first = !seen.items.has(item);
    seen.items.add(item);
    const key = query?.has("key") ? (KEY.exec(body)?.[1] ?? "") : null;
    if (key !== null) enterKey(seen, key);
    if (query?.has("hang") && KEY.exec(body)?.[1] === query.get("hang")) return;
    const status = path === "/tenth" && first && item % 10 === 0 ? 503 : 200;
    const wait = Number(query?.get("ms") ?? 0);
    if (wait > 0) setTimeout(end, wait, seen, response, status, key);
    else end(seen, response, status, key);
  });
}

function stats(seen: Counters): TargetStats {
  return {
    calls: seen.calls,
    in_flight: seen.inFlight,
    peak: seen.peak,
    peak_of_a_key: seen.peakOfAKey,
    items: seen.items.size,
    arrivals: seen.arrivals,
    last_ended_at: seen.lastEndedAt,
  };
}

const server = createServer({ keepAliveTimeout: 60_000 }, (request, response) => {
  const url = request.url ?? "/";
  if (url === "/__reset") {
    counters = new Counters();
    response.end("{}");
  } else if (url.startsWith("/__stats")) {
    const all = stats(counters);
    response.end(JSON.stringify(url.includes("brief") ? { ...all, arrivals: [] } : all));
  } else {
    const mark = url.indexOf("?");
    const path = mark < 0 ? url : url.slice(0, mark);
    call(request, response, path, mark < 0 ? null : new URLSearchParams(url.slice(mark + 1)));
  }
});
server.listen(0, "127.0.0.1", 4096, () => console.log(`http://127.0.0.1:${(server.address() as AddressInfo).port}`));
process.on("disconnect", () => process.exit());
