import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { expect, test } from "vitest";
import type { ImportSpec } from "../../src/domain/import.ts";
import { importOf } from "../../src/imports/client.ts";
import { readImport } from "../../src/imports/consumer.ts";
import type { Delivery, ImportPorts } from "../../src/imports/ports.ts";
import { importPorts, openBatch } from "../../src/operations/import-ports.ts";
import { evict } from "../fixtures/evict.ts";
import { ask, bindings } from "../http/ask.ts";
import { begin, expire, Killed, silence, stubOf } from "./readers.ts";
import { type ImportWorld, ndjson, newImportWorld, numbered } from "./world.ts";

/** Readers that die, or are taken for dead, between any two messages: every row is handed over once, whoever reads. */

const ROWS = 2400;

async function filledWorld(): Promise<ImportWorld> {
  const world = await newImportWorld();
  await world.put("a.gz", gzipSync(ndjson(numbered(1300))));
  await world.put(
    "b.csv",
    `n,x\n${numbered(700, 1300)
      .map(({ n }) => `${n},"quoted\nline"\n`)
      .join("")}`,
  );
  await world.put("c.json", JSON.stringify(numbered(400, 2000)));
  return world;
}

/** A death at the n-th chunk that is sent: before it has arrived, or behind it. */
interface Death {
  at: number;
  hasLanded: boolean;
}

function portsUntil(death: Death): ImportPorts {
  const real = importPorts(bindings);
  let sent = 0;
  return {
    ...real,
    delivery: async (spec) => {
      const delivery = await real.delivery(spec);
      if ("gone" in delivery) return delivery;
      const mortal: Delivery = {
        judge: (payload) => delivery.judge(payload),
        waiting: (batchId) => delivery.waiting(batchId),
        send: async (chunk) => {
          sent++;
          const dies = sent === death.at;
          if (dies && !death.hasLanded) throw new Killed();
          const answer = await delivery.send(chunk);
          if (dies) throw new Killed();
          return answer;
        },
      };
      return mortal;
    },
  };
}

async function readUntilKilled(id: string, ports: ImportPorts): Promise<void> {
  try {
    await readImport(id, bindings, ports);
  } catch (error) {
    if (!(error instanceof Killed)) throw error;
  }
}

async function expectEveryRowOnce(world: ImportWorld, spec: ImportSpec): Promise<void> {
  const record = await importOf(bindings, spec.id).view();
  expect(record).toMatchObject({
    status: "done",
    files: { total: 3, done: 3 },
    rows: { read: ROWS, delivered: ROWS, rejected: 0 },
    percent_complete: 1,
  });
  const payloads = await world.payloads(record);
  const rows = spec.delivery === "partition" ? payloads.flatMap((payload) => payload.rows) : payloads;
  const got = rows.map((row) => Number(row.n)).sort((a, b) => a - b);
  expect(got).toEqual(numbered(ROWS).map(({ n }) => n));
}

const deathArb: fc.Arbitrary<Death> = fc.record({
  at: fc.integer({ min: 1, max: 6 }),
  hasLanded: fc.boolean(),
});

test.each(["row", "partition"] as const)("by %s", { timeout: 60_000 }, async (delivery) => {
  const world = await filledWorld();
  await fc.assert(
    fc.asyncProperty(fc.array(fc.tuple(deathArb, fc.boolean()), { maxLength: 4 }), async (deaths) => {
      const spec = await begin(world, delivery);
      for (const [death, isEvicted] of deaths) {
        await readUntilKilled(spec.id, portsUntil(death));
        await expire(spec.id);
        if (!isEvicted) continue;
        await evict(stubOf(spec.id));
        await silence(spec.id);
      }
      await readUntilKilled(spec.id, importPorts(bindings));
      await expectEveryRowOnce(world, spec);
    }),
    { numRuns: 4 },
  );
});

test("a reader that was taken for dead brings nothing twice, and learns that it is not wanted", async () => {
  const world = await filledWorld();
  const spec = await begin(world, "row");
  let release = (): void => undefined;
  const gate = new Promise<void>((resolve) => {
    release = resolve;
  });
  const real = importPorts(bindings);
  let reached = (): void => undefined;
  const isSending = new Promise<void>((resolve) => {
    reached = resolve;
  });
  const slow: ImportPorts = {
    ...real,
    delivery: async (given) => {
      const delivery = await real.delivery(given);
      if ("gone" in delivery) return delivery;
      return {
        judge: (payload: string) => delivery.judge(payload),
        waiting: (batchId: string) => delivery.waiting(batchId),
        send: async (chunk: Parameters<Delivery["send"]>[0]) => {
          reached();
          await gate;
          return delivery.send(chunk);
        },
      };
    },
  };
  const first = readUntilKilled(spec.id, slow);
  await isSending;
  await expire(spec.id);
  await readUntilKilled(spec.id, real);
  release();
  await first;
  await expectEveryRowOnce(world, spec);
});

test("a file at which readers die again and again is failed, the others are imported, and a retry brings the rest once", async () => {
  const world = await filledWorld();
  const spec = await begin(world, "row");
  for (let i = 0; i < 7; i++) {
    // At the first chunk: no reader lives to tell of any progress, however slow it is.
    await readUntilKilled(spec.id, portsUntil({ at: 1, hasLanded: true }));
    await expire(spec.id);
  }
  await readUntilKilled(spec.id, importPorts(bindings));
  const failed = await importOf(bindings, spec.id).view();
  expect(failed).toMatchObject({ status: "done_with_errors", files: { total: 3, done: 2, failed: 1 } });
  expect(failed?.errors[0]).toContain("its readers died again and again");
  const { batch_id } = await openBatch(bindings, spec, 1);
  expect((await importOf(bindings, spec.id).retry(batch_id)).kind).toBe("steered");
  await readUntilKilled(spec.id, importPorts(bindings));
  await expectEveryRowOnce(world, spec);
});

test("a batch that takes no more is closed, and the import goes on in the next one", async () => {
  const world = await filledWorld();
  const spec = await begin(world, "row");
  const real = importPorts(bindings);
  let sent = 0;
  const filling: ImportPorts = {
    ...real,
    delivery: async (given) => {
      const delivery = await real.delivery(given);
      if ("gone" in delivery) return delivery;
      return {
        judge: (payload: string) => delivery.judge(payload),
        waiting: (batchId: string) => delivery.waiting(batchId),
        send: async (chunk: Parameters<Delivery["send"]>[0]) =>
          ++sent === 3 ? ({ kind: "closed", why: "full" } as const) : delivery.send(chunk),
      };
    },
  };
  await readUntilKilled(spec.id, filling);
  await expectEveryRowOnce(world, spec);
  const record = await importOf(bindings, spec.id).view();
  expect(record?.batch_ids).toHaveLength(2);
  expect(record?.batch_id).toBe(record?.batch_ids[1]);
});

test("the runtime's death loses nothing: rings are rung again until somebody comes", async () => {
  const world = await filledWorld();
  const { body } = await ask("POST", "/v1/imports", {
    key: world.key,
    body: { job: world.job.id, source: { url: world.url } },
  });
  await evict(stubOf(body.id));
  const record = await world.ended(body.id);
  expect(record).toMatchObject({ status: "done", rows: { delivered: ROWS } });
});

test("whoever lists a store that keeps it waiting is not taken for dead while it says so", async () => {
  const { id } = await begin(await newImportWorld(), "row");
  const own = importOf(bindings, id);
  const list = async () => {
    const work = await own.lease();
    return work.kind === "list" ? work.name : null;
  };
  const first = await list();
  if (first === null) throw new Error("there is nothing to list");
  await expire(id);
  await own.beat(first);
  expect(await list()).toBe(null);
  await expire(id);
  const second = await list();
  expect(second?.fence).toBe(first.fence + 1);
  // The first one is heard no more.
  await expire(id);
  await own.beat(first);
  expect((await list())?.fence).toBe(first.fence + 2);
});
