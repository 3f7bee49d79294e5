import { SluiceError } from "../../client/client.ts";
import { openItems } from "../item-file.ts";
import { type Context, EXIT } from "./context.ts";
import { watchBatch } from "./watch-batch.ts";

export interface BulkCommandOptions {
  watch?: boolean;
  key?: string;
  raw?: boolean;
  format?: "ndjson" | "csv";
  separator?: string;
  idempotencyField?: string;
  concurrencyField?: string;
  maxConcurrency?: number;
}

/** Uploads a file of items as one batch operation. A broken connection is mended; the same `--key` goes on after a crash. */
export async function bulkFile(
  context: Context,
  job: string,
  path: string,
  options: BulkCommandOptions,
): Promise<number> {
  const { client, printer, signal } = context;
  const file = await openItems(path, {
    format: options.format,
    separator: options.separator,
    isRaw: options.raw ?? false,
    idempotencyField: options.idempotencyField,
    concurrencyField: options.concurrencyField,
  });
  const key = options.key ?? crypto.randomUUID();
  const { total } = file.progress;
  const onProgress = ({ items }: { items: number }): void => {
    const share =
      total === null || total === 0 ? "" : ` (${Math.floor((100 * file.progress.read) / total)} % of the file)`;
    if (!printer.isJson) printer.note(`${items} items sent${share}`);
  };
  try {
    const result = await client.bulk(job, file.lines, {
      idempotencyKey: key,
      max_concurrency: options.maxConcurrency,
      onProgress,
      signal,
    });
    printer.line(result, () => {
      const { batch_id, total: count, created, duplicates, rejected } = result;
      return `${batch_id}: ${count} items, ${created} runs, ${duplicates} duplicates, ${rejected} rejected`;
    });
    if (result.rejected > 0 && !printer.isJson) {
      printer.note(`what was rejected: sluice batch items ${result.batch_id} --outcome rejected`);
    }
    if (options.watch) return await watchBatch(context, result.batch_id);
    return result.rejected > 0 ? EXIT.unsuccessful : EXIT.ok;
  } catch (error) {
    const isFinal = error instanceof SluiceError && error.status < 500;
    if (!isFinal) printer.note(`to go on from here, run it again with --key ${key}`);
    throw error;
  }
}
