import { exports } from "cloudflare:workers";
import { inject, vi } from "vitest";
import { type Answer, ask, bindings, newJob, newProject, requestOf } from "../http/ask.ts";

/** A project with a job that calls the endpoint zoo, a bucket of its own within the bound one, and imports of it. */

const encoder = new TextEncoder();
const worker = bindings as unknown as { DATA: R2Bucket };

export interface ImportWorld {
  key: string;
  projectId: string;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into answers freely
  job: any;
  /** `r2://DATA/<prefix>`: this world's own. */
  url: string;
  prefix: string;
  put(name: string, content: string | Uint8Array): Promise<void>;
  /** Begins an import of the world's prefix, `fields` over the defaults. */
  begin(fields?: Record<string, unknown>): Promise<Answer>;
  /** The same, and waits for its end. */
  run(fields?: Record<string, unknown>): Promise<Answer["body"]>;
  get(id: string): Promise<Answer["body"]>;
  ended(id: string): Promise<Answer["body"]>;
  files(id: string): Promise<Answer["body"][]>;
  rejects(
    id: string,
  ): Promise<{ file: string; line: number | null; byte_offset: number; reason: string; raw: string }[]>;
  /** Runs of the import's batches, in the order of the batch. */
  runs(record: Answer["body"]): Promise<Answer["body"][]>;
  /** Payloads of the runs of the import's batches, in the order of the batch. */
  payloads(record: Answer["body"]): Promise<Answer["body"][]>;
}

let worlds = 0;

export async function newImportWorld(jobFields: Record<string, unknown> = {}): Promise<ImportWorld> {
  const { key, id: projectId } = await newProject();
  const job = await newJob(key, { endpoint_url: `${inject("endpointUrl")}/ok`, ...jobFields });
  // Nothing is called: what is delivered waits.
  await ask("POST", `/v1/jobs/${job.id}/pause`, { key });
  const prefix = `world-${worlds++}-${job.id}/`;
  const url = `r2://DATA/${prefix}`;
  const get = async (id: string): Promise<Answer["body"]> => (await ask("GET", `/v1/imports/${id}`, { key })).body;
  const begin = (fields: Record<string, unknown> = {}): Promise<Answer> =>
    ask("POST", "/v1/imports", { key, body: { job: job.slug, source: { url }, ...fields } });
  const ended = (id: string): Promise<Answer["body"]> =>
    vi.waitFor(
      async () => {
        const record = await get(id);
        if (record.finished_at === null) throw new Error(`still ${JSON.stringify(record)}`);
        return record;
      },
      { timeout: 25_000, interval: 20 },
    );
  const pages = async (path: string): Promise<Answer["body"][]> => {
    const rows: Answer["body"][] = [];
    for (let cursor = ""; ; ) {
      const { body } = await ask("GET", `${path}limit=200${cursor}`, { key });
      rows.push(...body.data);
      if (body.next_cursor === null) return rows;
      cursor = `&cursor=${encodeURIComponent(body.next_cursor)}`;
    }
  };
  const runs = async (record: Answer["body"]): Promise<Answer["body"][]> => {
    const all: Answer["body"][] = [];
    for (const batch of record.batch_ids) {
      await vi.waitFor(async () => {
        const { body } = await ask("GET", `/v1/batch-operations/${batch}`, { key });
        const found = await pages(`/v1/runs?batch_id=${batch}&`);
        if (found.length !== body.created_count) throw new Error(`${found.length} of ${body.created_count} runs`);
        all.push(...found.sort((a, b) => a.batch_index - b.batch_index));
      }, 20_000);
    }
    return all;
  };
  return {
    key,
    projectId,
    job,
    url,
    prefix,
    get,
    begin,
    ended,
    put: async (name, content) => {
      await worker.DATA.put(prefix + name, typeof content === "string" ? encoder.encode(content) : content);
    },
    run: async (fields) => {
      const begun = await begin(fields);
      if (begun.status !== 201) throw new Error(JSON.stringify(begun.body));
      return ended(begun.body.id);
    },
    files: (id) => pages(`/v1/imports/${id}/files?`),
    rejects: async (id) => {
      const { body } = await ask("GET", `/v1/imports/${id}/rejects`, { key });
      return (body as string)
        .split("\n")
        .filter((line) => line !== "")
        .map((line) => JSON.parse(line));
    },
    runs,
    payloads: async (record) => {
      const all = await runs(record);
      // Lists leave large payloads out.
      const payload = async (run: Answer["body"]): Promise<Answer["body"]> =>
        run.payload ?? (await ask("GET", `/v1/runs/${run.id}`, { key })).body.payload;
      return Promise.all(all.map(payload));
    },
  };
}

export const ndjson = (rows: readonly unknown[]): string => rows.map((row) => `${JSON.stringify(row)}\n`).join("");

export const numbered = (count: number, from = 0): { n: number }[] =>
  Array.from({ length: count }, (_, i) => ({ n: from + i }));

/** The text of an answer, as it stands. */
export async function readText(key: string, path: string): Promise<string> {
  const worker = exports as unknown as { default: { fetch(request: Request): Promise<Response> } };
  const response = await worker.default.fetch(requestOf("GET", path, { key }));
  return response.text();
}
