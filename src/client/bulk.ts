import type { Item } from "../http/api.ts";
import { SluiceError } from "./error.ts";
import type { BatchOperation } from "./routes.ts";
import type { Transport } from "./transport.ts";

export interface BulkOptions {
  /** Names the upload: a later one with the same key and the same items goes on where this one stopped. */
  idempotencyKey?: string;
  max_concurrency?: number;
  failure_threshold?: { percent: number; min_items: number };
  metadata?: Record<string, string>;
  webhook_url?: string;
  webhook_secret?: string;
  /** Told after every part. */
  onProgress?: (sent: { items: number; bytes: number }) => void;
  signal?: AbortSignal;
}

export interface BulkResult {
  batch_id: string;
  total: number;
  created: number;
  duplicates: number;
  rejected: number;
}

/** What goes in one request: enough to be fast, little enough to be held and sent again. */
const PART_ITEMS = 10_000;
const PART_BYTES = 4 * 1024 * 1024;
const NDJSON = "application/x-ndjson";
const encoder = new TextEncoder();

interface Part {
  first: number;
  count: number;
  bytes: Uint8Array<ArrayBuffer>;
  isLast: boolean;
}

/**
 * Sends items as one batch operation, in parts: each is kept until it is answered, so a broken connection costs one part's
 * sending, and memory does not grow with the list. Lines that are JSON text already go out as they are.
 *
 * @throws SluiceError, SluiceUnreachable, the signal's reason, or what `items` throws. The batch then holds what was taken,
 *   and the same key goes on from there.
 */
export async function bulk(
  transport: Transport,
  job: string,
  items: Iterable<Item | string> | AsyncIterable<Item | string>,
  options: BulkOptions = {},
): Promise<BulkResult> {
  const upload = new Upload(transport, options);
  for await (const part of partsOf(items)) {
    if (part.first === 0) await upload.open(job, part);
    else await upload.add(part);
    options.onProgress?.(upload.sent);
    if (part.isLast) return upload.close(part.first + part.count);
  }
  throw new TypeError("items: must hold at least one item");
}

interface Counts {
  batch_id: string;
  total: number;
  created: number;
  duplicates: number;
  rejected: number;
}

class Upload {
  readonly sent = { items: 0, bytes: 0 };
  private readonly transport: Transport;
  private readonly options: BulkOptions;
  private first: Counts | null = null;
  /** All of it went in one request, which has closed the batch. */
  private isWhole = false;

  constructor(transport: Transport, options: BulkOptions) {
    this.transport = transport;
    this.options = options;
  }

  async open(job: string, part: Part): Promise<void> {
    const { max_concurrency, failure_threshold, metadata, webhook_url, webhook_secret, idempotencyKey } = this.options;
    const batch = { max_concurrency, failure_threshold, metadata, webhook_url };
    this.isWhole = part.isLast;
    const isJson = webhook_secret !== undefined;
    // A secret must not stand in a URL, so it goes with the JSON form.
    const body = isJson
      ? new Blob(["{", optionsText({ ...batch, webhook_secret }), '"items":', asList(part), "}"])
      : part.bytes;
    const response = await this.transport.raw({
      method: "POST",
      path: `/v1/jobs/${encodeURIComponent(job)}/trigger-bulk`,
      query: isJson ? { open: !part.isLast } : { open: !part.isLast, ...asTexts(batch) },
      headers: {
        "Content-Type": isJson ? "application/json" : NDJSON,
        "Idempotency-Key": idempotencyKey ?? crypto.randomUUID(),
      },
      body,
      isRepeatable: true,
      signal: this.options.signal,
    });
    this.first = (await response.json()) as Counts;
    this.count(part);
  }

  async add(part: Part): Promise<void> {
    try {
      const response = await this.transport.raw({
        method: "POST",
        path: `/v1/batch-operations/${this.batchId}/items`,
        query: { from_index: part.first },
        headers: { "Content-Type": NDJSON },
        body: part.bytes,
        isRepeatable: true,
        signal: this.options.signal,
      });
      await response.body?.cancel();
    } catch (error) {
      if (!isTaken(error, part)) throw error;
    }
    this.count(part);
  }

  async close(total: number): Promise<BulkResult> {
    if (this.isWhole && this.first !== null) {
      const { batch_id, created, duplicates, rejected } = this.first;
      return { batch_id, total: this.first.total, created, duplicates, rejected };
    }
    const batch = await this.seal(total);
    return {
      batch_id: batch.id,
      total: batch.item_count,
      created: batch.created_count,
      duplicates: batch.duplicate_count,
      rejected: batch.rejected_count,
    };
  }

  private async seal(total: number): Promise<BatchOperation> {
    const id = this.batchId;
    const { signal } = this.options;
    try {
      const input = { params: { id }, body: { expected_count: total } };
      return await this.transport.call("POST /v1/batch-operations/{id}/seal", input, { signal });
    } catch (error) {
      // An upload before this one has closed it, and its runs have ended meanwhile.
      if (!(error instanceof SluiceError) || error.status !== 409 || error.body.item_count !== total) throw error;
      return this.transport.call("GET /v1/batch-operations/{id}", { params: { id } }, { signal });
    }
  }

  private get batchId(): string {
    if (this.first === null) throw new Error("the upload has not begun");
    return this.first.batch_id;
  }

  private count(part: Part): void {
    this.sent.items += part.count;
    this.sent.bytes += part.bytes.length;
  }
}

/** The batch is closed, and has all of this part: an earlier upload with the same key went further. */
const isTaken = (error: unknown, part: Part): boolean =>
  error instanceof SluiceError &&
  error.status === 409 &&
  typeof error.body.item_count === "number" &&
  error.body.item_count >= part.first + part.count &&
  error.body.index === undefined;

const optionsText = (options: Record<string, unknown>): string => {
  const text = JSON.stringify(options).slice(1, -1);
  return text === "" ? "" : `${text},`;
};

/** Lines as a JSON list. */
const asList = (part: Part): string => `[${new TextDecoder().decode(part.bytes).trimEnd().split("\n").join(",")}]`;

const asTexts = (options: Record<string, unknown>): Record<string, unknown> =>
  Object.fromEntries(
    Object.entries(options).map(([name, value]) => [name, typeof value === "object" ? JSON.stringify(value) : value]),
  );

/** Items as NDJSON in parts. It reads one item ahead, to know the last part. */
async function* partsOf(items: Iterable<Item | string> | AsyncIterable<Item | string>): AsyncGenerator<Part> {
  let lines: string[] = [];
  let chars = 0;
  let first = 0;
  for await (const item of items) {
    const line = typeof item === "string" ? item.trim() : JSON.stringify(item);
    if (line === "") continue;
    if (lines.length === PART_ITEMS || (lines.length > 0 && chars + line.length > PART_BYTES)) {
      yield partOf(first, lines, false);
      first += lines.length;
      lines = [];
      chars = 0;
    }
    lines.push(line);
    chars += line.length + 1;
  }
  if (lines.length > 0) yield partOf(first, lines, true);
}

const partOf = (first: number, lines: string[], isLast: boolean): Part => ({
  first,
  count: lines.length,
  bytes: encoder.encode(`${lines.join("\n")}\n`) as Uint8Array<ArrayBuffer>,
  isLast,
});
