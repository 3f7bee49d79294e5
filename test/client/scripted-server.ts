import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** A request as it came. */
export interface Seen {
  method: string;
  /** Path and query. */
  url: string;
  headers: IncomingMessage["headers"];
  body: string;
}

/** What is done with one request. */
export type Turn = (response: ServerResponse, seen: Seen) => void;

/** A server on loopback that answers each request by the next turn of its script, and the last turn again and again. */
export interface ScriptedServer {
  url: string;
  seen: Seen[];
  close(): Promise<void>;
}

export async function scripted(...turns: [Turn, ...Turn[]]): Promise<ScriptedServer> {
  const seen: Seen[] = [];
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const { method = "", url = "", headers } = request;
    const one = { method, url, headers, body: Buffer.concat(chunks).toString("utf8") };
    const turn = turns[Math.min(seen.length, turns.length - 1)] as Turn;
    seen.push(one);
    turn(response, one);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    seen,
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

export const answer =
  (status: number, body: unknown, headers: Record<string, string> = {}): Turn =>
  (response) => {
    response.writeHead(status, { "Content-Type": "application/json", ...headers }).end(JSON.stringify(body));
  };

export const refusal = (status: number, code: string, headers: Record<string, string> = {}, extra: object = {}): Turn =>
  answer(status, { error: { code, message: code, details: [{ path: "x", message: "y" }] }, ...extra }, headers);

/** The connection breaks before a word is said. */
export const hangUp: Turn = (response) => {
  response.socket?.destroy();
};

/** Events, and then the connection breaks or ends. */
export const events =
  (text: string, end: "ends" | "breaks" = "ends"): Turn =>
  (response) => {
    response.writeHead(200, { "Content-Type": "text/event-stream" });
    response.write(text, () => (end === "ends" ? response.end() : response.socket?.destroy()));
  };
