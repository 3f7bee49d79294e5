import { createReadStream } from "node:fs";
import { open } from "node:fs/promises";
import { basename } from "node:path";
import { type Readable, Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGunzip } from "node:zlib";
import { parse } from "csv-parse";

/** The file is not what it says, or cannot be read. Nothing of it, or only a part, was sent. */
export class BadFile extends Error {
  override readonly name = "BadFile";
}

export interface FileOptions {
  /** What it holds; told from its name where it is left out. */
  format?: "ndjson" | "csv";
  /** Each line is a payload, not an item. Rows of CSV always are. */
  isRaw: boolean;
  /** Between the cells of CSV; a comma where it is left out. */
  separator?: string;
  /** Field of the payload that becomes the item's `idempotency_key`. */
  idempotencyField?: string;
  /** Field of the payload that becomes the item's `concurrency_key`. */
  concurrencyField?: string;
}

/** Bytes that were read so far, of how many; `total` is null for a pipe. */
export interface ReadProgress {
  read: number;
  total: number | null;
}

/** The items of a file, as JSON lines. */
export interface ItemFile {
  name: string;
  lines: AsyncIterable<string>;
  progress: ReadProgress;
}

const GZIP_MAGIC = [0x1f, 0x8b];
/** An item may be so long; a longer line is no NDJSON. */
const MAX_LINE_CHARS = 2 * 1024 * 1024;

/**
 * Opens a file of items; `-` is standard input. Gzip is unpacked.
 *
 * @throws BadFile where it cannot be opened, or its first line shows that it is something else.
 */
export async function openItems(path: string, options: FileOptions): Promise<ItemFile> {
  const isPipe = path === "-";
  const name = isPipe ? "standard input" : basename(path);
  const format = options.format ?? formatOf(path);
  const separator = options.separator ?? (/\.tsv(\.gz)?$/i.test(path) ? "\t" : ",");
  const progress: ReadProgress = { read: 0, total: isPipe ? null : await sizeOf(path, name) };
  const source = isPipe ? process.stdin : createReadStream(path);
  const bytes = await plain(source, name, progress);
  const lines = format === "csv" ? csvLines(bytes, name, { ...options, separator }) : ndjsonLines(bytes, name, options);
  return { name, progress, lines: await checked(lines, name) };
}

function formatOf(path: string): "ndjson" | "csv" {
  return /\.(csv|tsv)(\.gz)?$/i.test(path) ? "csv" : "ndjson";
}

async function sizeOf(path: string, name: string): Promise<number> {
  try {
    const handle = await open(path);
    const stat = await handle.stat();
    await handle.close();
    if (stat.isDirectory()) throw new BadFile(`${name} is a directory`);
    return stat.size;
  } catch (error) {
    if (error instanceof BadFile) throw error;
    throw new BadFile(`${path} cannot be read: ${(error as Error).message}`);
  }
}

/** The bytes of a stream, unpacked where they are gzip. */
async function plain(source: Readable, name: string, progress: ReadProgress): Promise<Readable> {
  const counter = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      progress.read += chunk.length;
      done(null, chunk);
    },
  });
  const counted = source.pipe(counter);
  source.on("error", (error) => counter.destroy(new BadFile(`${name} cannot be read: ${error.message}`)));
  const head = await firstChunk(counted);
  if (head !== null) counted.unshift(head);
  if (head === null || head[0] !== GZIP_MAGIC[0] || head[1] !== GZIP_MAGIC[1]) return counted;
  const unpacked = createGunzip();
  // Its reader hears of what goes wrong.
  pipeline(counted, unpacked).catch(() => undefined);
  return unpacked;
}

function firstChunk(stream: Readable): Promise<Buffer | null> {
  return new Promise((resolve, reject) => {
    const onReadable = (): void => {
      const chunk = stream.read() as Buffer | null;
      if (chunk !== null || stream.readableEnded) settle(() => resolve(chunk));
    };
    const onEnd = (): void => settle(() => resolve(null));
    const onError = (error: Error): void => settle(() => reject(error));
    const settle = (act: () => void): void => {
      stream.off("readable", onReadable).off("end", onEnd).off("error", onError);
      act();
    };
    stream.on("readable", onReadable).on("end", onEnd).on("error", onError);
  });
}

async function* texts(bytes: Readable, name: string): AsyncGenerator<string> {
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: false });
  try {
    for await (const chunk of bytes) yield decoder.decode(chunk as Buffer, { stream: true });
    yield decoder.decode();
  } catch (error) {
    if (error instanceof TypeError) throw new BadFile(`${name} is not UTF-8 text`);
    const { code = "", message } = error as NodeJS.ErrnoException;
    throw code.startsWith("Z_") ? new BadFile(`${name} is damaged: ${message}`) : error;
  }
}

async function* ndjsonLines(bytes: Readable, name: string, options: FileOptions): AsyncGenerator<string> {
  let rest = "";
  let number = 0;
  for await (const text of texts(bytes, name)) {
    const lines = (rest + text).split("\n");
    rest = lines.pop() ?? "";
    if (rest.length > MAX_LINE_CHARS)
      throw new BadFile(`${name}: line ${number + lines.length + 1} is longer than an item may be`);
    for (const line of lines) {
      number += 1;
      if (line.trim() !== "") yield itemOfLine(line.trim(), name, number, options);
    }
  }
  if (rest.trim() !== "") yield itemOfLine(rest.trim(), name, number + 1, options);
}

function itemOfLine(line: string, name: string, number: number, options: FileOptions): string {
  const needsParsing = number === 1 || options.isRaw || options.idempotencyField || options.concurrencyField;
  // What is wrong further down is told item by item, by the answer.
  if (!needsParsing) return line;
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    throw new BadFile(`${name}: line ${number} is not JSON${hintFor(line)}`);
  }
  if (options.isRaw) return JSON.stringify(itemOf(value, options));
  if (Array.isArray(value)) {
    throw new BadFile(
      `${name}: line ${number} is a list, and no item. NDJSON has an item a line: jq -c '.[]' makes it`,
    );
  }
  if (typeof value !== "object" || value === null) {
    throw new BadFile(`${name}: line ${number} is no item: {"payload": …}. Use --raw where each line is a payload`);
  }
  const item = value as Record<string, unknown>;
  if (number === 1 && !("payload" in item) && Object.keys(item).length > 0 && !Object.keys(item).some(isItemField)) {
    throw new BadFile(`${name}: line ${number} has no "payload". Use --raw where each line is a payload`);
  }
  return JSON.stringify({ ...keysOf(item.payload, options), ...item });
}

function hintFor(line: string): string {
  if (line.startsWith("[") || line === "{") return "; it looks like one JSON document, NDJSON has a value a line";
  return /[,;\t]/.test(line) && !line.startsWith("{") ? "; it looks like CSV (--format csv)" : "";
}

const ITEM_FIELDS = [
  ...["idempotency_key", "concurrency_key", "rate_limit_keys", "priority", "scheduled_at", "ttl_secs", "tags"],
  ...["metadata", "max_attempts", "timeout_secs", "version"],
];
const isItemField = (field: string): boolean => ITEM_FIELDS.includes(field);

async function* csvLines(bytes: Readable, name: string, options: FileOptions): AsyncGenerator<string> {
  const parser = parse({ columns: true, bom: true, skip_empty_lines: true, delimiter: options.separator });
  const text = async function* () {
    yield* texts(bytes, name);
  };
  const feeding = pipeline(text, parser).catch(() => undefined);
  try {
    for await (const row of parser) yield JSON.stringify(itemOf(row, options));
    await feeding;
  } catch (error) {
    if (error instanceof BadFile) throw error;
    const { message } = error as Error;
    if (JSON_AS_CSV.test(message))
      throw new BadFile(`${name}: line 1 is JSON, and names no columns (--format ndjson where it is NDJSON)`);
    throw new BadFile(`${name}: ${message}`);
  }
}

/** What the parser says of `{"a":1}` in the place of the columns' names. */
const JSON_AS_CSV = /^Invalid Opening Quote.* at line 1, value is "[[{]/;

const itemOf = (payload: unknown, options: FileOptions): Record<string, unknown> => ({
  payload,
  ...keysOf(payload, options),
});

function keysOf(payload: unknown, options: FileOptions): Record<string, string> {
  const keys: Record<string, string> = {};
  const idempotency = fieldOf(payload, options.idempotencyField);
  const concurrency = fieldOf(payload, options.concurrencyField);
  if (idempotency !== null) keys.idempotency_key = idempotency;
  if (concurrency !== null) keys.concurrency_key = concurrency;
  return keys;
}

function fieldOf(payload: unknown, field: string | undefined): string | null {
  if (field === undefined || typeof payload !== "object" || payload === null) return null;
  const value = (payload as Record<string, unknown>)[field];
  return value === undefined || value === null || value === "" ? null : String(value);
}

/** Reads the first line before anything is sent, so that a wrong file is refused whole. */
async function checked(lines: AsyncGenerator<string>, name: string): Promise<AsyncIterable<string>> {
  const first = await lines.next();
  if (first.done) throw new BadFile(`${name} holds no items`);
  return (async function* () {
    yield first.value;
    yield* lines;
  })();
}
