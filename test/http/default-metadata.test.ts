import { expect, test } from "vitest";
import { type Answer, ask, newJob, newProject } from "./ask.ts";

/** `default_run_metadata` stands under what an item brings itself (contract 2). */

test("a run has the job's default metadata and its own, which wins; more than 20 together are refused", async () => {
  const { key } = await newProject();
  const post = (path: string, body?: unknown): Promise<Answer> => ask("POST", path, { key, body });
  const job = await newJob(key, { default_run_metadata: { source: "job", team: "a" } });
  await post(`/v1/jobs/${job.id}/pause`);
  const metadataOf = async (id: string) => (await ask("GET", `/v1/runs/${id}`, { key })).body.metadata;

  const plain = await post(`/v1/jobs/${job.id}/trigger`, {});
  expect(await metadataOf(plain.body.id)).toEqual({ source: "job", team: "a" });
  const own = Object.fromEntries(Array.from({ length: 19 }, (_, i) => [`k${i}`, "v"]));
  const items = [
    { metadata: { source: "item", n: "1" } },
    {},
    { metadata: own },
    { metadata: { ...own, team: "b", source: "c" } },
  ];
  const bulk = await post(`/v1/jobs/${job.id}/trigger-bulk`, { items });
  const [first, second, third, fourth] = bulk.body.results;
  expect(await metadataOf(first.id)).toEqual({ source: "item", team: "a", n: "1" });
  expect(await metadataOf(second.id)).toEqual({ source: "job", team: "a" });
  expect(third.error.details).toEqual([
    { path: "items[2].metadata", message: "has more than 20 entries with the job's default_run_metadata" },
  ]);
  expect(fourth.error.details[0].path).toBe("items[3].metadata");

  // The version that an item names gives its own defaults.
  await ask("PATCH", `/v1/jobs/${job.id}`, { key, body: { default_run_metadata: {} } });
  expect((await post(`/v1/jobs/${job.id}/trigger`, { metadata: own })).status).toBe(201);
  const pinned = await post(`/v1/jobs/${job.id}/trigger`, { version: 1, metadata: { n: "2" } });
  expect(await metadataOf(pinned.body.id)).toEqual({ source: "job", team: "a", n: "2" });
  expect((await post(`/v1/jobs/${job.id}/trigger`, { version: 1, metadata: own })).status).toBe(422);
});
