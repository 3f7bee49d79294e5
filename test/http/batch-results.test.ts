import { beforeAll, describe, expect, inject, test, vi } from "vitest";
import { type Answer, ask, newJob, newProject } from "./ask.ts";

/** The results of batch operations (contract 8), against a real endpoint. */

const zoo = inject("endpointUrl");
const PATH = "/v1/batch-operations";
let key: string;

beforeAll(async () => {
  ({ key } = await newProject());
});

interface Line {
  index: number;
  run_id: string;
  status: string;
  result: unknown;
  error: { class: string; http_status: number } | null;
}

const linesOf = (answer: Answer): Line[] =>
  (answer.body as string)
    .split("\n")
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Line);

async function results(id: string, query = ""): Promise<Line[]> {
  const answer = await ask("GET", `${PATH}/${id}/results${query}`, { key });
  expect([answer.status, answer.headers.get("Content-Type")]).toEqual([200, "application/x-ndjson"]);
  expect(answer.body === "" || answer.body.endsWith("\n")).toBe(true);
  return linesOf(answer);
}

async function bulk(jobId: string, items: unknown[], query = ""): Promise<string> {
  const answer = await ask("POST", `/v1/jobs/${jobId}/trigger-bulk${query}`, { key, body: { items } });
  expect(answer.status).toBe(201);
  return answer.body.batch_id;
}

const read = async (id: string): Promise<Answer["body"]> => (await ask("GET", `${PATH}/${id}`, { key })).body;

const finished = (id: string): Promise<Answer["body"]> =>
  vi.waitFor(
    async () => {
      const batch = await read(id);
      expect(batch.finished_at).not.toBeNull();
      return batch;
    },
    { timeout: 20_000, interval: 20 },
  );

describe("the results of a batch operation", () => {
  test("are a line for each run that ended, in index order, whole however large; and resume anywhere", async () => {
    const job = await newJob(key, { endpoint_url: `${zoo}/echo`, max_attempts: 1, payload_schema: { type: "object" } });
    // Every fourth is beyond what a row holds, every tenth makes no run.
    const items = Array.from({ length: 60 }, (_, n) => ({
      payload: n % 10 === 9 ? "none" : { n, big: "ü".repeat(n % 4 === 0 ? 40_000 : 1) },
    }));
    const id = await bulk(job.id, items);
    await finished(id);
    const all = await results(id);
    expect(all.map((l) => l.index)).toEqual(items.flatMap((_, n) => (n % 10 === 9 ? [] : [n])));
    for (const line of all) {
      expect(line).toMatchObject({ status: "completed", error: null, result: items[line.index]?.payload });
      expect(Object.keys(line)).toEqual(["index", "run_id", "status", "result", "error"]);
    }
    const run = await ask("GET", `/v1/runs/${all[7]?.run_id}`, { key });
    expect(run.body).toMatchObject({ batch_id: id, batch_index: all[7]?.index });

    for (const after of [0, 8, 9, 31, 58, 59, 60, 999_999_999]) {
      expect(await results(id, `?after_index=${after}`)).toEqual(all.filter((l) => l.index > after));
    }
  });

  test("are those of the statuses that are asked for, with their errors", async () => {
    const job = await newJob(key, { endpoint_url: `${zoo}/flaky?fail=1&status=418`, max_attempts: 1 });
    await ask("POST", `/v1/jobs/${job.id}/pause`, { key });
    const id = await bulk(job.id, [{}, {}, {}]);
    const [, second] = (await ask("GET", `${PATH}/${id}/items`, { key })).body.data as { id: string }[];
    await ask("POST", `/v1/runs/${second?.id}/cancel`, { key });
    expect((await results(id)).map((l) => [l.index, l.status])).toEqual([[1, "canceled"]]);
    await ask("POST", `/v1/jobs/${job.id}/resume`, { key });
    await finished(id);
    const failed = await results(id, "?status=failed");
    expect(failed.map((l) => [l.index, l.result, l.error?.http_status])).toEqual([
      [0, null, 418],
      [2, null, 418],
    ]);
    expect((await results(id, "?status=failed&status=canceled")).map((l) => l.index)).toEqual([0, 1, 2]);
    expect(await results(id, "?status=completed")).toEqual([]);
    expect(await results(id, "?status=failed&after_index=0")).toEqual(failed.slice(1));
  });

  test("are nobody else's, and a wrong query is named", async () => {
    const job = await newJob(key, { endpoint_url: `${zoo}/ok` });
    const id = await bulk(job.id, [{}]);
    const stranger = await newProject();
    expect((await ask("GET", `${PATH}/${id}/results`, { key: stranger.key })).status).toBe(404);
    for (const [query, path] of [
      ["after_index=-1", "after_index"],
      ["after_index=1.5", "after_index"],
      ["after_index=", "after_index"],
      ["status=queued", "status"],
      ["limit=5", "limit"],
    ]) {
      const answer = await ask("GET", `${PATH}/${id}/results?${query}`, { key });
      expect([answer.status, answer.body.error.details[0]?.path]).toEqual([422, path]);
    }
  });
});
