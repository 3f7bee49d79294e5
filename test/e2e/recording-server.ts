import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { parentPort } from "node:worker_threads";
import type { RecordedCall } from "./recording-endpoint.ts";

/**
 * The endpoint, in a thread of its own so that no work of the test delays its clock. `POST /<job>` and `/<job>/fallback` are
 * the calls; how they are answered stands in the query, and for one item in its payload:
 *
 * | where | name | behaviour |
 * |---|---|---|
 * | both | `ms` | answers after so long |
 * | payload | `fail` | attempts up to this one end in 503 |
 * | payload | `fallback_fails` | and so does the fallback in them |
 * | query | `status`, `times` | the job's first so many calls (all: without `times`) end so at once |
 * | query | `retry_after` | with that header, in seconds |
 * | query | `bears` | 429 at once where more than so many calls are in flight |
 * | query | `hang` | no answer before `POST /__release?job=` |
 */
interface Wish {
  ms?: number;
  fail?: number;
  fallback_fails?: boolean;
}

const calls: RecordedCall[] = [];
const byJob = new Map<string, { calls: number; inFlight: number; hanging: Set<() => void> }>();

const clock = (): number => performance.timeOrigin + performance.now();

function jobState(job: string) {
  const known = byJob.get(job) ?? { calls: 0, inFlight: 0, hanging: new Set<() => void>() };
  byJob.set(job, known);
  return known;
}

/** What the query says of a call that has just arrived; null: its payload decides. */
function ordered(query: URLSearchParams, job: string): number | null {
  const { calls: count, inFlight } = jobState(job);
  if (query.has("bears") && inFlight > Number(query.get("bears"))) return 429;
  const isAmongFirst = !query.has("times") || count <= Number(query.get("times"));
  return query.has("status") && isAmongFirst ? Number(query.get("status")) : null;
}

function wished(wish: Wish, { attempt, fallback }: RecordedCall): number {
  const isFailing = attempt <= (wish.fail ?? 0);
  return isFailing && (!fallback || wish.fallback_fails === true) ? 503 : 200;
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  let text = "";
  for await (const chunk of request.setEncoding("utf8")) text += chunk;
  return text;
}

async function call(request: IncomingMessage, response: ServerResponse, url: URL): Promise<void> {
  const began = clock();
  const [, job = "", kind] = url.pathname.split("/");
  const state = jobState(job);
  state.calls += 1;
  state.inFlight += 1;
  const header = (name: string) => String(request.headers[name] ?? "");
  const recorded: RecordedCall = {
    ...{ job, run: header("x-run-id"), attempt: Number(header("x-attempt")), fallback: kind === "fallback" },
    ...{ batch: header("x-batch-id"), index: Number(header("x-batch-index")), began, ended: null, status: null },
  };
  calls.push(recorded);
  const end = (): void => {
    if (recorded.ended !== null) return;
    recorded.ended = clock();
    state.inFlight -= 1;
  };
  response.on("close", end);
  const order = ordered(url.searchParams, job);
  const text = await bodyOf(request);
  const wish = JSON.parse(text === "" ? "{}" : text) as Wish;
  const status = order ?? wished(wish, recorded);
  const answer = (): void => {
    if (recorded.ended !== null) return;
    recorded.status = status;
    const seconds = url.searchParams.get("retry_after");
    end();
    response.writeHead(status, status !== 200 && seconds !== null ? { "retry-after": seconds } : {});
    response.end(status === 200 ? '{"ok":true}' : "");
  };
  if (order !== null) answer();
  else if (url.searchParams.has("hang")) state.hanging.add(answer);
  else setTimeout(answer, wish.ms ?? Number(url.searchParams.get("ms") ?? 0));
}

function control(response: ServerResponse, url: URL): void {
  const job = url.searchParams.get("job");
  if (url.pathname === "/__release") {
    const { hanging } = jobState(job ?? "");
    for (const answer of hanging) answer();
    hanging.clear();
  }
  const { calls: ofJob, inFlight } = jobState(job ?? "");
  const answer =
    url.pathname === "/__calls"
      ? calls.filter((c) => job === null || c.job === job)
      : { calls: calls.length, of_job: ofJob, in_flight: inFlight };
  response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(answer));
}

const server = createServer({ keepAliveTimeout: 60_000 }, (request, response) => {
  const url = new URL(request.url ?? "/", "http://endpoint");
  if (url.pathname.startsWith("/__")) control(response, url);
  // A caller that vanished while it sent its body has had its call recorded.
  else call(request, response, url).catch(() => response.destroy());
});
server.listen(0, "127.0.0.1", () => parentPort?.postMessage((server.address() as AddressInfo).port));
