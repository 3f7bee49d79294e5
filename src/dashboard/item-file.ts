import { RFC_4180 } from "../domain/csv-format.ts";
import { CsvRows } from "../domain/csv-rows.ts";
import { bytes } from "./format.ts";

/** A file of items, read as a stream: what it holds is never in memory whole. */

export type ItemFormat = "ndjson" | "csv";

/** The file is not what it says. What was sent before stays sent. */
export class BadFile extends Error {
  override readonly name = "BadFile";
}

export interface ItemFileOptions {
  format: ItemFormat;
  /** Field of the payload that becomes the item's `idempotency_key`. */
  idempotencyField?: string;
  /** Told how much of the file has been read, in bytes as it lies there. */
  onRead?: (read: number) => void;
}

/** An item may be so long, and a little more; a longer line is none. */
const MAX_LINE_CHARS = 2 * 1024 * 1024;
const GZIP_MAGIC = [0x1f, 0x8b];

/** What starts a file that is no text, for people who took the wrong one. */
const OTHER_KINDS: readonly [string, readonly number[]][] = [
  ["a ZIP archive or an Office document", [0x50, 0x4b, 0x03, 0x04]],
  ["a PNG image", [0x89, 0x50, 0x4e, 0x47]],
  ["a JPEG image", [0xff, 0xd8, 0xff]],
  ["a PDF document", [0x25, 0x50, 0x44, 0x46]],
  ["a Zstandard archive", [0x28, 0xb5, 0x2f, 0xfd]],
  ["a Parquet file", [0x50, 0x41, 0x52, 0x31]],
];

export const formatOf = (name: string): ItemFormat => (/\.(csv|tsv)(\.gz)?$/i.test(name) ? "csv" : "ndjson");

/**
 * The items of a file, as JSON lines; gzip is unpacked. A line that has no `payload` beside known fields is a payload itself.
 *
 * @throws BadFile as soon as it shows, at the latest where it shows: a wrong first line is told before any item is given.
 */
export async function* itemsOf(file: Blob & { name?: string }, options: ItemFileOptions): AsyncGenerator<string> {
  const head = new Uint8Array(await file.slice(0, 8).arrayBuffer());
  const other = OTHER_KINDS.find(([, magic]) => startsWith(head, magic));
  if (other) throw new BadFile(`This is ${other[0]}, whatever its name says. Choose a file of NDJSON or CSV.`);
  if (head.length === 0) throw new BadFile("The file is empty.");
  const isPacked = startsWith(head, GZIP_MAGIC);
  const counted = file.stream().pipeThrough(counter(options.onRead)) as ReadableStream<Uint8Array<ArrayBuffer>>;
  const plain = isPacked ? counted.pipeThrough(new DecompressionStream("gzip")) : counted;
  const isTabbed = /\.tsv(\.gz)?$/i.test(file.name ?? "");
  const payloads = options.format === "csv" ? csvPayloads(plain, isTabbed ? "\t" : ",") : ndjsonItems(plain);
  let number = 0;
  for await (const item of payloads) {
    number += 1;
    yield options.idempotencyField ? withKey(item, options.idempotencyField) : item;
  }
  if (number === 0) throw new BadFile("The file holds no items.");
}

const startsWith = (head: Uint8Array, magic: readonly number[]): boolean => magic.every((byte, i) => head[i] === byte);

function counter(onRead: ((read: number) => void) | undefined): TransformStream<Uint8Array, Uint8Array> {
  let read = 0;
  return new TransformStream({
    transform(chunk, out) {
      read += chunk.length;
      onRead?.(read);
      out.enqueue(chunk);
    },
  });
}

async function* chunksOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<Uint8Array> {
  const reader = stream.getReader();
  try {
    for (;;) {
      const { done, value } = await read(reader);
      if (done) return;
      yield value;
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}

async function read(reader: ReadableStreamDefaultReader<Uint8Array>) {
  try {
    return await reader.read();
  } catch (error) {
    // Of the unpacking it is a TypeError; of the disk, a DOMException.
    if (error instanceof TypeError) throw new BadFile("The file is damaged: its gzip data cannot be unpacked.");
    throw new BadFile(`The file cannot be read any more: ${(error as Error).message}`);
  }
}

async function* ndjsonItems(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  let isItems: boolean | null = null;
  for await (const { line, number } of linesOf(stream)) {
    isItems ??= saysItems(line, number);
    yield isItems ? line : `{"payload":${line}}`;
  }
}

interface Line {
  line: string;
  /** From 1, as editors count. */
  number: number;
}

async function* linesOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<Line> {
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: false });
  let rest = "";
  let number = 0;
  const cut = function* (text: string, isLast: boolean): Generator<Line> {
    const lines = (rest + text).split("\n");
    rest = isLast ? "" : (lines.pop() ?? "");
    for (const line of lines) {
      number += 1;
      const trimmed = line.trim();
      if (trimmed !== "") yield { line: trimmed, number };
    }
    if (rest.length > MAX_LINE_CHARS) {
      throw new BadFile(`Line ${number + 1} is longer than an item may be (1 MiB). NDJSON has one value a line.`);
    }
  };
  for await (const chunk of chunksOf(stream)) yield* cut(decoded(decoder, chunk, number), false);
  yield* cut(decoded(decoder, null, number), true);
}

function decoded(decoder: TextDecoder, chunk: Uint8Array | null, line: number): string {
  try {
    return chunk === null ? decoder.decode() : decoder.decode(chunk, { stream: true });
  } catch {
    throw new BadFile(`The file is no UTF-8 text, from about line ${line + 1} on.`);
  }
}

const ITEM_FIELDS = [
  ...["payload", "idempotency_key", "concurrency_key", "rate_limit_keys", "priority", "scheduled_at", "ttl_secs"],
  ...["tags", "metadata", "max_attempts", "timeout_secs", "version"],
];

/** Whether the lines are items rather than payloads, by the first one; what is wrong further down is told item by item. */
function saysItems(line: string, number: number): boolean {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    throw new BadFile(`Line ${number} is not JSON.${hintFor(line)}`);
  }
  if (Array.isArray(value) && number === 1 && value.some((v) => typeof v === "object")) {
    throw new BadFile("This is one JSON list. NDJSON has one value a line, without brackets and commas around them.");
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
  return "payload" in value && Object.keys(value).every((field) => ITEM_FIELDS.includes(field));
}

function hintFor(line: string): string {
  if (line === "[" || line === "{" || line === "[{")
    return " It looks like one JSON document: NDJSON has one value a line.";
  return /[,;\t]/.test(line) && !/^[[{]/.test(line) ? " It looks like CSV: choose that as its format." : "";
}

/** Each row is a payload whose fields are named by the first row. */
async function* csvPayloads(stream: ReadableStream<Uint8Array>, delimiter: string): AsyncGenerator<string> {
  const rows = new CsvRows({ ...RFC_4180, delimiter, skip_head: 1 }, 1, { offset: 0, line: 1 });
  let names: string[] | null = null;
  const ready = function* (): Generator<string> {
    while (rows.next()) {
      if (rows.problem !== null) throw new BadFile(`Line ${rows.line} ${rows.problem}.`);
      names ??= namesOf(rows.head.names ?? []);
      yield JSON.stringify({ payload: Object.fromEntries(names.map((name, i) => [name, rows.fields[i] ?? ""])) });
    }
  };
  for await (const chunk of chunksOf(stream)) {
    rows.feed(chunk);
    yield* ready();
  }
  rows.end();
  yield* ready();
}

function namesOf(head: string[]): string[] {
  const names = head.map((name, i) => (i === 0 ? name.replace(/^\uFEFF/, "") : name).trim());
  if (/^[[{]/.test(names[0] ?? ""))
    throw new BadFile("The first line is JSON, not names of columns. Choose NDJSON as its format.");
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) throw new BadFile(`Two columns have the same name, ${JSON.stringify(twice)}.`);
  return names;
}

function withKey(line: string, field: string): string {
  let item: { payload?: unknown };
  try {
    item = JSON.parse(line) as { payload?: unknown };
  } catch {
    return line;
  }
  const payload = item.payload as Record<string, unknown> | null | undefined;
  const value = typeof payload === "object" ? payload?.[field] : undefined;
  if (value === undefined || value === null || value === "") return line;
  return JSON.stringify({ idempotency_key: String(value), ...item });
}

/** The first items of a file, to look at before it is sent. */
export async function previewOf(file: File, format: ItemFormat, most: number): Promise<string[]> {
  const first: string[] = [];
  for await (const item of itemsOf(file, { format })) {
    first.push(item);
    if (first.length === most) break;
  }
  return first;
}

export const sizeInWords = (file: { name: string; size: number }): string => `${file.name}, ${bytes(file.size)}`;
