import type { BatchItem, BatchOperation } from "../../client/client.ts";
import { writeLines } from "../write-lines.ts";
import { type Context, EXIT, firstRows } from "./context.ts";
import { summaryOf, watchBatch } from "./watch-batch.ts";

const columns = {
  id: (batch: BatchOperation) => batch.id,
  status: (batch: BatchOperation) => batch.status,
  items: (batch: BatchOperation) => batch.item_count,
  done: (batch: BatchOperation) => `${Math.floor(batch.percent_complete * 100)} %`,
  failed: (batch: BatchOperation) => batch.failed_count,
  created: (batch: BatchOperation) => batch.created_at,
};

export async function listBatches(
  { client, printer }: Context,
  options: { limit: number; job?: string; status?: string[] },
): Promise<number> {
  const job_id = options.job === undefined ? undefined : (await client.jobs.get(options.job)).id;
  const filter = { job_id, status: options.status } as Parameters<typeof client.batches.list>[0];
  printer.table(await firstRows(client.batches.list(filter), options.limit), columns, "There are no batch operations");
  return EXIT.ok;
}

export async function getBatch({ client, printer }: Context, id: string): Promise<number> {
  const batch = await client.batches.get(id);
  printer.show(batch, () => summaryOf(batch));
  return EXIT.ok;
}

export type Steering = "cancel" | "pause" | "resume";

export async function steerBatch({ client, printer }: Context, id: string, how: Steering): Promise<number> {
  const batch = await client.batches[how](id);
  printer.show(batch, () => summaryOf(batch));
  return EXIT.ok;
}

/** A new batch operation of what failed of this one. */
export async function retryFailed(
  context: Context,
  id: string,
  options: { watch?: boolean; key?: string },
): Promise<number> {
  const { client, printer } = context;
  const again = await client.batches.retryFailed(id, { idempotencyKey: options.key });
  printer.line(again, () => `${again.batch_id}: ${again.total} runs once more`);
  return options.watch ? watchBatch(context, again.batch_id as string) : EXIT.ok;
}

/** NDJSON, with or without `--json`: results are for programs. */
export async function batchResults(
  { client }: Context,
  id: string,
  options: { status?: string; after?: number },
): Promise<number> {
  await writeLines(client.batches.results(id, { status: options.status, after_index: options.after }));
  return EXIT.ok;
}

export async function batchItems(
  { client, printer }: Context,
  id: string,
  options: { outcome?: BatchItem["outcome"]; limit: number },
): Promise<number> {
  const rows = await firstRows(client.batches.items(id, { outcome: options.outcome }), options.limit);
  printer.table(
    rows,
    {
      index: (item) => item.index,
      outcome: (item) => item.outcome,
      run: (item) => item.id,
      status: (item) => item.status,
      error: (item) =>
        item.error && [item.error.message, ...item.error.details.map((d) => `${d.path} ${d.message}`)].join("; "),
    },
    "There are no such items",
  );
  return EXIT.ok;
}
