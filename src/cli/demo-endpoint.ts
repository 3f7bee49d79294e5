import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** What the endpoint saw, by its own count. */
export interface Seen {
  calls: number;
  inFlightPeak: number;
  busy: number;
  tooMany: number;
  stalled: number;
  refused: number;
}

export interface DemoEndpoint {
  url: string;
  seen: Seen;
  close(): Promise<void>;
}

type Mood = "well" | "busy" | "too_many" | "stall";

const ANSWER_MS = 15;

/**
 * A service as they are: it answers in some milliseconds, but 4 % of the items find it busy (503), 1 % are too many (429
 * with `Retry-After`), 0.3 % are never answered; all of them go well when they come again. An airport
 * without an IATA code and a time zone is refused for good (422).
 */
export async function startDemoEndpoint(): Promise<DemoEndpoint> {
  const seen: Seen = { calls: 0, inFlightPeak: 0, busy: 0, tooMany: 0, stalled: 0, refused: 0 };
  let inFlight = 0;
  const server = createServer(async (request, response) => {
    seen.calls++;
    inFlight++;
    seen.inFlightPeak = Math.max(seen.inFlightPeak, inFlight);
    response.once("close", () => inFlight--);
    answer(response, await readJson(request), Number(request.headers["x-attempt"] ?? 1), seen);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/airports`,
    seen,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

interface Airport {
  id: number;
  name: string;
  icao: string;
  iata: string | null;
  tz: string | null;
  altitude: number;
}

function answer(response: ServerResponse, airport: Airport, attempt: number, seen: Seen): void {
  const send = (status: number, body: unknown, headers: Record<string, string> = {}) =>
    setTimeout(() => {
      response.writeHead(status, { "content-type": "application/json", ...headers }).end(JSON.stringify(body));
    }, ANSWER_MS);
  if (airport.iata === null && airport.tz === null) {
    seen.refused++;
    send(422, { error: `${airport.name} has neither an IATA code nor a time zone` });
    return;
  }
  switch (attempt === 1 ? moodFor(airport.id) : "well") {
    case "stall":
      seen.stalled++;
      return;
    case "busy":
      seen.busy++;
      send(503, { error: "busy" });
      return;
    case "too_many":
      seen.tooMany++;
      send(429, { error: "too many" }, { "retry-after": "1" });
      return;
    case "well":
      send(200, { icao: airport.icao, altitude_m: Math.round(airport.altitude * 0.3048) });
  }
}

/** The same item meets the same mood in every demo. */
function moodFor(id: number): Mood {
  const lot = (id * 7919) % 1000;
  if (lot < 3) return "stall";
  if (lot < 13) return "too_many";
  return lot < 53 ? "busy" : "well";
}

async function readJson(request: IncomingMessage): Promise<Airport> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return JSON.parse(Buffer.concat(chunks).toString("utf8")) as Airport;
}
