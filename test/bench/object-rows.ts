import { createHash } from "node:crypto";
import { createGunzip, gzipSync } from "node:zlib";
import { ObjectReader } from "../../src/imports/object-reader.ts";
import type { ObjectSource } from "../../src/imports/source.ts";
import type { Benchmark } from "./context.ts";
import { figure, target } from "./figure.ts";

/** One object of an import: its name, its bytes, and how many rows they hold. */
export interface RowsObject {
  name: string;
  body: Buffer<ArrayBuffer>;
  count: number;
}

/** Rows as logs have them, some 150 bytes each. */
const rowOf = (n: number) => ({
  id: n,
  at: new Date(1_780_000_000_000 + n * 7).toISOString(),
  user: createHash("md5").update(String(n)).digest("hex"),
  path: `/orders/${n % 977}`,
  status: n % 50 === 0 ? 500 : 200,
  ms: (n * 7919) % 1000,
});

export function ndjsonText(count: number): string {
  const lines: string[] = [];
  for (let n = 0; n < count; n++) lines.push(JSON.stringify(rowOf(n)));
  return `${lines.join("\n")}\n`;
}

export function ndjsonGz(count: number): RowsObject {
  return { name: "rows.ndjson.gz", body: gzipSync(ndjsonText(count), { level: 6 }), count };
}

export function csv(count: number): RowsObject {
  const lines = ["id,at,user,path,status,ms"];
  for (let n = 0; n < count; n++) {
    const { id, at, user, path, status, ms } = rowOf(n);
    lines.push(`${id},${at},${user},"${path}",${status},${ms}`);
  }
  return { name: "rows.csv", body: Buffer.from(`${lines.join("\n")}\n`), count };
}

const PART = 64 * 1024;

/** Of this process: what else the machine does is not measured. */
function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

/** Parts as a store sends them. */
function partsOf(body: Uint8Array<ArrayBuffer>): ReadableStream<Uint8Array> {
  let at = 0;
  return new ReadableStream({
    pull: (controller) => {
      if (at >= body.length) controller.close();
      else controller.enqueue(body.subarray(at, at + PART));
      at += PART;
    },
  });
}

/** Rows a CPU second as an import reads them: unpacked, cut, parsed, transformed. */
async function readRows({ name, body, count }: RowsObject): Promise<number> {
  const source: Pick<ObjectSource, "open"> = { open: async () => partsOf(body) };
  const part = { key: name, etag: "", size: body.length, range: null };
  const startedAt = cpuMs();
  const reader = new ObjectReader(source as ObjectSource, part, null, null);
  let rows = 0;
  do {
    while (reader.next()) {
      if (!reader.rows || reader.rows.problem !== null) throw new Error(`row ${rows}: ${reader.rows?.problem}`);
      const row = reader.transform(reader.rows.value, reader.rows.text, reader.head);
      if ("problem" in row) throw new Error(row.problem);
      rows++;
    }
  } while (await reader.more());
  if (rows !== count) throw new Error(`${rows} of ${count} rows were read`);
  return (count * 1000) / (cpuMs() - startedAt);
}

/** The ceiling: `node:zlib` and `JSON.parse`, and nothing else. */
async function parseBare({ body, count }: RowsObject): Promise<number> {
  const startedAt = cpuMs();
  const gunzip = createGunzip({ chunkSize: 256 * 1024 });
  gunzip.end(body);
  const decoder = new TextDecoder();
  let rows = 0;
  let rest = "";
  for await (const part of gunzip as AsyncIterable<Uint8Array>) {
    const text = rest + decoder.decode(part, { stream: true });
    let at = 0;
    for (let newline = text.indexOf("\n"); newline !== -1; newline = text.indexOf("\n", at)) {
      JSON.parse(text.slice(at, newline));
      at = newline + 1;
      rows++;
    }
    rest = text.slice(at);
  }
  if (rows !== count) throw new Error(`${rows} of ${count} rows were parsed`);
  return (count * 1000) / (cpuMs() - startedAt);
}

/** Rows a CPU second of NDJSON.gz, read in this process, beside `node:zlib` + `JSON.parse`. */
export const parsing: Benchmark = {
  names: ["parse"],
  run: async (context) => {
    const object = ndjsonGz(Math.ceil(500_000 / context.divisor));
    const small = ndjsonGz(20_000);
    await readRows(small);
    await parseBare(small);
    const ours: number[] = [];
    const bare: number[] = [];
    for (let i = 0; i < context.rounds; i++) {
      context.note(`parse round ${i + 1} of ${context.rounds}`);
      bare.push(await parseBare(object));
      ours.push(await readRows(object));
    }
    return [
      figure("parse", `${object.count.toLocaleString("en")} rows, NDJSON.gz`, "rows/CPU s", ours, {
        ceilings: bare,
        judge: (value, ceiling) => target("≥ 0.6 of zlib + JSON.parse", value >= 0.6 * ceiling),
      }),
    ];
  },
};
