import type { BatchOperation } from "../../client/client.ts";
import { type Progress, progressView } from "../progress-bar.ts";
import { type Context, EXIT } from "./context.ts";

const TERMINAL = ["completed", "failed", "timed_out", "crashed", "canceled", "expired"] as const;
type Counts = BatchOperation["counts"];

const doneOf = (counts: Counts): number => TERMINAL.reduce((sum, status) => sum + counts[status], 0);

/** The counts that say something while one watches. */
const inWords = (counts: Counts): Record<string, number> => ({
  completed: counts.completed,
  failed: counts.failed + counts.timed_out + counts.crashed + counts.expired,
  canceled: counts.canceled,
  "in flight": counts.dequeued + counts.executing,
  "to be tried again": counts.delayed,
});

/**
 * Shows a batch operation going on, to its end: a bar on a terminal, plain lines elsewhere, events as JSON lines with
 * `--json`. The exit code says whether everything went well.
 */
export async function watchBatch({ client, printer, signal }: Context, id: string): Promise<number> {
  const startedAt = performance.now();
  const view = progressView(process.stderr);
  let batch = null as BatchOperation | null;
  for await (const event of client.batches.watch(id, { signal })) {
    if (event.event === "batch_state") batch = event.batch;
    else if (batch !== null) batch = { ...batch, ...event.progress };
    if (batch === null) continue;
    if (printer.isJson)
      printer.line(event.event === "batch_state" ? { event: event.event, ...event.batch } : event, () => "");
    else view.show(progressOf(batch, performance.now() - startedAt));
  }
  if (batch === null) throw new Error("the batch operation said nothing");
  if (!printer.isJson) {
    view.end();
    printer.show(batch, () => summaryOf(batch as BatchOperation));
  }
  return batch.status === "succeeded" ? EXIT.ok : EXIT.unsuccessful;
}

const progressOf = (batch: BatchOperation, elapsedMs: number): Progress => ({
  done: doneOf(batch.counts),
  total: batch.created_count,
  counts: inWords(batch.counts),
  elapsedMs,
});

export function summaryOf(batch: BatchOperation): string {
  const counts = Object.entries(batch.counts).flatMap(([status, n]) => (n > 0 ? [`${n} ${status}`] : []));
  const refused = [
    ...(batch.duplicate_count > 0 ? [`${batch.duplicate_count} duplicates`] : []),
    ...(batch.rejected_count > 0 ? [`${batch.rejected_count} rejected`] : []),
  ];
  const lines = [
    `${batch.id} ${batch.status.replace("_", " ")}: ${[...counts, ...refused].join(", ") || "no runs"}`,
    ...(batch.failed_count > 0 ? [`what failed: sluice batch results ${batch.id} --status failed`] : []),
    ...(batch.failed_count > 0 && batch.finished_at !== null
      ? [`once more: sluice batch retry-failed ${batch.id}`]
      : []),
  ];
  return lines.join("\n");
}
