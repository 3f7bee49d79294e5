import { SluiceError } from "../../client/client.ts";
import { openItems } from "../item-file.ts";
import type { Printer } from "../printer.ts";
import { progressView } from "../progress-bar.ts";
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

const SAY_EVERY_MS = 2_000;

/** How far the upload is: a bar by the file's bytes, or items now and then where nobody knows how many bytes come. */
function uploadView(printer: Printer, file: { read: number; total: number | null }) {
  const startedAt = performance.now();
  const bar = progressView(process.stderr, "B");
  let saidAt = startedAt;
  let isDone = printer.isJson;
  return {
    show(items: number): void {
      const now = performance.now();
      if (isDone) return;
      if (file.total !== null) {
        bar.show({
          done: file.read,
          total: file.total,
          counts: { "items sent": items },
          elapsedMs: now - startedAt,
        });
      } else if (now - saidAt >= SAY_EVERY_MS) {
        saidAt = now;
        printer.note(`${items} items sent`);
      }
    },
    end(): void {
      if (!isDone && file.total !== null) bar.end();
      isDone = true;
    },
  };
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
  const upload = uploadView(printer, file.progress);
  try {
    const result = await client.bulk(job, file.lines, {
      idempotencyKey: key,
      max_concurrency: options.maxConcurrency,
      onProgress: ({ items }) => upload.show(items),
      signal,
    });
    upload.end();
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
    upload.end();
    const isFinal = error instanceof SluiceError && error.status < 500;
    if (!isFinal) printer.note(`to go on from here, run it again with --key ${key}`);
    throw error;
  }
}
