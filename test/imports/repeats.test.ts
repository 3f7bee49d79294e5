import { expect, test } from "vitest";
import { nextRepeat } from "../../src/operations/import-creation.ts";
import { tendImports } from "../../src/operations/import-minute.ts";
import { ask, bindings } from "../http/ask.ts";
import { type ImportWorld, ndjson, newImportWorld, numbered } from "./world.ts";

/** Imports with a cron: each time one of its own, which loads what is new. */

const CRON = "30 3 * * *";

interface Repeating {
  world: ImportWorld;
  id: string;
  /** The n-th time from now at which it is due. */
  due(n: number): number;
  repeats(): Promise<{ id: string; created_by: string; cron: string | null }[]>;
}

async function newRepeating(fields: Record<string, unknown> = {}): Promise<Repeating> {
  const world = await newImportWorld();
  await world.put("a.ndjson", ndjson(numbered(2)));
  const { id } = await world.run({ cron: CRON, ...fields });
  const began = Date.now();
  return {
    world,
    id,
    due: (n) => {
      let at = began;
      for (let i = 0; i < n; i++) at = nextRepeat(CRON, at);
      return at;
    },
    repeats: async () => {
      const { data } = (await ask("GET", `/v1/imports?job_id=${world.job.id}`, { key: world.key })).body;
      return data.filter((record: { repeat_of: string | null }) => record.repeat_of === id);
    },
  };
}

test("each due time makes one import, however often the minute comes, and it loads what is new", async () => {
  const { world, id, due, repeats } = await newRepeating();
  await tendImports(bindings, due(1) - 60_000);
  expect(await repeats()).toEqual([]);
  await world.put("b.ndjson", ndjson(numbered(3, 10)));
  await tendImports(bindings, due(1));
  await tendImports(bindings, due(1) + 60_000);
  const [repeat, ...more] = await repeats();
  expect(more).toEqual([]);
  expect(repeat).toMatchObject({ created_by: "system:cron", cron: null });
  const first = await world.ended(repeat?.id ?? "");
  expect(first).toMatchObject({ status: "done", files: { total: 2, done: 1, skipped: 1 }, rows: { delivered: 3 } });
  await tendImports(bindings, due(2));
  const [second] = await repeats();
  expect(await world.ended(second?.id ?? "")).toMatchObject({ status: "done", files: { skipped: 2 } });
  expect(await repeats()).toHaveLength(2);
  expect((await world.get(id)).cron).toBe(CRON);
});

test("while one has not ended none is begun", async () => {
  const { world, id, due, repeats } = await newRepeating();
  // As the copy shows one that is under way.
  const setOpen = (isOpen: number) =>
    bindings.DB.prepare("UPDATE imports SET is_open = ?, ver = ver + 1000 WHERE id = ?").bind(isOpen, id).run();
  await setOpen(1);
  await tendImports(bindings, due(1));
  expect(await repeats()).toEqual([]);
  await setOpen(0);
  await tendImports(bindings, due(2));
  const [repeat, ...more] = await repeats();
  expect(more).toEqual([]);
  await world.ended(repeat?.id ?? "");
});

test("a canceled one repeats no more, also where it had ended and only waited for its cron", async () => {
  const { world, id, due, repeats } = await newRepeating();
  const canceled = await ask("POST", `/v1/imports/${id}/cancel`, { key: world.key });
  expect([canceled.status, canceled.body.status]).toEqual([200, "done"]);
  expect((await ask("POST", `/v1/imports/${id}/cancel`, { key: world.key })).status).toBe(409);
  await tendImports(bindings, due(1));
  expect(await repeats()).toEqual([]);
});

test("a disabled job's waits until it is enabled; a deleted job's is over", async () => {
  const { world, due, repeats } = await newRepeating();
  const change = (enabled: boolean) => ask("PATCH", `/v1/jobs/${world.job.id}`, { key: world.key, body: { enabled } });
  await change(false);
  await tendImports(bindings, due(1));
  expect(await repeats()).toEqual([]);
  await change(true);
  await tendImports(bindings, due(1) + 60_000);
  const [repeat] = await repeats();
  await world.ended(repeat?.id ?? "");

  await ask("DELETE", `/v1/jobs/${world.job.id}`, { key: world.key });
  await tendImports(bindings, due(2));
  await tendImports(bindings, due(3));
  expect(await repeats()).toHaveLength(1);
  const waiting = await bindings.DB.prepare(
    "SELECT count(*) AS n FROM imports WHERE job_id = ? AND next_at IS NOT NULL",
  )
    .bind(world.job.id)
    .first("n");
  expect(waiting).toBe(0);
});
