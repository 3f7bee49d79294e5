import { createExecutionContext } from "cloudflare:test";
import { exports, env as platform } from "cloudflare:workers";
import type { Env } from "../../src/env.ts";
import { createApp } from "../../src/http/app.ts";
import { type Answer, newJob, newProject } from "./ask.ts";

/** A paused job of a project of its own: what is triggered stays where it is. Bodies go as bytes, as streams, packed. */

const worker = exports as unknown as { default: { fetch(request: Request): Promise<Response> } };

const app = createApp();
export const env = platform as unknown as Env;

export type Body = string | Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array>;

export interface World {
  key: string;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into answers freely
  job: any;
  post(path: string, body: Body, headers?: Record<string, string>): Promise<Answer>;
  /** Under the job's path. */
  trigger(body: unknown, headers?: Record<string, string>): Promise<Answer>;
  bulk(body: unknown, query?: string, headers?: Record<string, string>): Promise<Answer>;
  lines(body: Body, query?: string, headers?: Record<string, string>): Promise<Answer>;
}

export async function newWorld(fields: Record<string, unknown> = {}, isPaused = true): Promise<World> {
  const { key } = await newProject();
  const job = await newJob(key, fields);
  const post: World["post"] = (path, body, headers = {}) => send(key, path, body, headers);
  if (isPaused) await post(`/v1/jobs/${job.id}/pause`, "{}");
  const text = (body: unknown): Body =>
    typeof body === "string" || body instanceof Uint8Array || body instanceof ReadableStream
      ? (body as Body)
      : JSON.stringify(body);
  return {
    key,
    job,
    post,
    trigger: (body, headers) => post(`/v1/jobs/${job.id}/trigger`, text(body), headers),
    bulk: (body, query = "", headers) => post(`/v1/jobs/${job.id}/trigger-bulk${query}`, text(body), headers),
    lines: (body, query = "", headers = {}) =>
      post(`/v1/jobs/${job.id}/trigger-bulk${query}`, body, { "Content-Type": "application/x-ndjson", ...headers }),
  };
}

export async function send(
  key: string | null,
  path: string,
  body: Body | null,
  headers: Record<string, string>,
  method = "POST",
): Promise<Answer> {
  const request = new Request(`http://sluice.test${path}`, {
    method,
    headers: {
      ...(key === null ? {} : { Authorization: `Bearer ${key}` }),
      "Content-Type": "application/json",
      ...headers,
    },
    body,
  });
  // A stream stays in this isolate: on the way through a binding a failure of it would look like its end.
  const response = await (body instanceof ReadableStream
    ? app.fetch(request, env, createExecutionContext())
    : worker.default.fetch(request));
  return { status: response.status, headers: response.headers, body: JSON.parse(await response.text()) };
}

/** The text of an answer, as it stands. */
export async function readText(world: World, path: string): Promise<string> {
  const headers = { Authorization: `Bearer ${world.key}` };
  const response = await worker.default.fetch(new Request(`http://sluice.test${path}`, { headers }));
  return response.text();
}

export const read = (world: World, path: string): Promise<Answer> => send(world.key, path, null, {}, "GET");

export const linesOf = (items: readonly unknown[]): string => items.map((item) => JSON.stringify(item)).join("\n");

export const numbered = (count: number, from = 0): { payload: { n: number } }[] =>
  Array.from({ length: count }, (_, i) => ({ payload: { n: from + i } }));

export async function gzipped(body: string | Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
  const stream = new Response(body).body?.pipeThrough(new CompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** A body that comes in parts; `between` runs before each of them but the first. At the end it breaks off, or not. */
export function streamed(
  parts: readonly string[],
  { breaksOff = false, between = async () => {} }: { breaksOff?: boolean; between?: () => Promise<unknown> } = {},
): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  let at = 0;
  return new ReadableStream(
    {
      async pull(controller) {
        const part = parts[at];
        if (at > 0) await between();
        at++;
        if (part !== undefined) controller.enqueue(encoder.encode(part));
        else if (breaksOff) controller.error(new Error("the client has gone"));
        else controller.close();
      },
    },
    { highWaterMark: 0 },
  );
}
