import { setTimeout as sleep } from "node:timers/promises";
import { type Context, EXIT, firstRows } from "./context.ts";

type RunRow = Awaited<ReturnType<Context["client"]["runs"]["listPage"]>>["data"][number];

const columns = {
  id: (run: RunRow) => run.id,
  status: (run: RunRow) => run.status,
  attempt: (run: RunRow) => `${run.attempt}/${run.max_attempts}`,
  "waits for": (run: RunRow) => run.waiting_for,
  error: (run: RunRow) => run.error?.message ?? null,
  created: (run: RunRow) => run.created_at,
};

export interface RunFilter {
  job?: string;
  batch?: string;
  status?: string[];
}

/** What the API takes for it. */
async function filterOf({ client }: Context, { job, batch, status }: RunFilter) {
  const query = { batch_id: batch, status } as NonNullable<Parameters<typeof client.runs.list>[0]>;
  return { job, query };
}

export async function listRuns(context: Context, options: RunFilter & { limit: number }): Promise<number> {
  const { client, printer } = context;
  const { job, query } = await filterOf(context, options);
  const rows = job === undefined ? client.runs.list(query) : client.runs.listOfJob(job, query);
  printer.table(await firstRows(rows, options.limit), columns, "There are no such runs");
  return EXIT.ok;
}

export async function getRun({ client, printer }: Context, id: string): Promise<number> {
  const run = await client.runs.get(id);
  const attempts = run.attempts.map((a) => {
    const took = a.duration_ms === null ? "" : ` in ${a.duration_ms} ms`;
    return `#${a.number} ${a.http_status ?? a.error?.class ?? "-"}${took}${a.used_fallback ? " (fallback)" : ""}`;
  });
  printer.fields(run, {
    id: run.id,
    status: run.status,
    "waits for": run.waiting_for,
    earliest: run.earliest_start_at,
    attempts: attempts.length === 0 ? null : attempts.join(", "),
    error: run.error?.message ?? null,
    payload: run.payload,
    result: run.result,
  });
  return EXIT.ok;
}

export async function cancelRun({ client, printer }: Context, id: string): Promise<number> {
  const run = await client.runs.cancel(id);
  printer.show(run, () => `${run.id} ${run.status}`);
  return EXIT.ok;
}

export async function replayRun({ client, printer }: Context, id: string): Promise<number> {
  const run = await client.runs.replay(id);
  printer.show(run, () => `${run.id} ${run.status}`);
  return EXIT.ok;
}

const TAIL_EVERY_MS = 1_000;
const REMEMBERED = 10_000;

/** Runs as they are made and change, newest last, until Ctrl-C. */
export async function tail(context: Context, options: RunFilter): Promise<number> {
  const { client, printer, signal } = context;
  const { job, query } = await filterOf(context, options);
  const shown = new Map<string, string>();
  const since = new Date(Date.now() - TAIL_EVERY_MS).toISOString();
  while (!signal.aborted) {
    const page = await client.runs.listPage({ ...query, created_after: since, limit: 200 }, job);
    for (const run of page.data.reverse()) {
      if (shown.get(run.id) === run.status) continue;
      shown.delete(run.id);
      shown.set(run.id, run.status);
      printer.line(run, () =>
        `${new Date().toISOString()}  ${run.id}  ${run.status.padEnd(9)}  ${run.error?.message ?? ""}`.trimEnd(),
      );
    }
    for (const id of shown.keys()) {
      if (shown.size <= REMEMBERED) break;
      shown.delete(id);
    }
    await sleep(TAIL_EVERY_MS, undefined, { signal }).catch(() => undefined);
  }
  return EXIT.ok;
}
