import { runInDurableObject } from "cloudflare:test";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { expect, test } from "vitest";
import { uuidV7 } from "../../src/domain/id.ts";
import { effectiveSettings, type ImportDelivery, type ImportSpec } from "../../src/domain/import.ts";
import { importOf } from "../../src/imports/client.ts";
import { readImport } from "../../src/imports/consumer.ts";
import type { ImportCoordinator } from "../../src/imports/import-coordinator.ts";
import type { Delivery, ImportPorts } from "../../src/imports/ports.ts";
import { importPorts, openBatch } from "../../src/operations/import-ports.ts";
import { evict } from "../fixtures/evict.ts";
import { ask, bindings } from "../http/ask.ts";
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

const stubOf = (id: string) => bindings.IMPORTS.get(bindings.IMPORTS.idFromName(id));
const inside = <T>(id: string, work: (instance: ImportCoordinator, state: DurableObjectState) => T): Promise<T> =>
  runInDurableObject(stubOf(id) as unknown as DurableObjectStub<ImportCoordinator>, work);

/** Nobody answers its rings: readers come when the test sends them. */
const silence = (id: string): Promise<void> =>
  inside(id, (instance) => {
    const own = instance as unknown as { env: object };
    own.env = { ...own.env, IMPORT_RINGS: { sendBatch: async () => undefined } };
  });

async function begin(world: ImportWorld, delivery: ImportDelivery): Promise<ImportSpec> {
  const id = uuidV7(Date.now(), crypto.getRandomValues(new Uint8Array(10)));
  const settings = {
    ...effectiveSettings({
      max_rows_per_partition: 90,
      max_minutes_per_partition: 15,
      max_active_partitions: 500,
      input_concurrency: 2,
      input_aggregation: 16_384,
      max_files: 0,
      dry_run: false,
    }),
  };
  const spec: ImportSpec = {
    ...{ id, project_id: world.projectId, job_id: world.job.id, job: world.job.slug, name: null },
    source: { url: world.url, endpoint: null, region: "auto", credential_id: null },
    ...{ regex_filter: null, transform: null, transform_spec: null, delivery, cron: null, settings },
    ...{ on_error: "skip_row", tolerated_failure_percent: 1, tolerated_failure_min_rows: 1000, force: true },
    ...{ repeat_of: null, created_by: "test", created_at: Date.now(), traceparent: null },
  };
  const { batch_id } = await openBatch(bindings, spec, 0);
  await silence(id);
  await importOf(bindings, id).start(spec, batch_id);
  return spec;
}

/** The reader's lease has run out. */
const expire = (id: string): Promise<void> =>
  inside(id, (_, state) => void state.storage.sql.exec("UPDATE tasks SET deadline = 0 WHERE state = 'RUNNING'"));

class Killed extends Error {}

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
    await readUntilKilled(spec.id, portsUntil({ at: 2, hasLanded: true }));
    await expire(spec.id);
  }
  await readUntilKilled(spec.id, importPorts(bindings));
  const failed = await importOf(bindings, spec.id).view();
  if (failed?.status === "done_with_errors") {
    expect(failed.errors[0]).toContain("its readers died again and again");
    const { batch_id } = await openBatch(bindings, spec, 1);
    expect((await importOf(bindings, spec.id).retry(batch_id)).kind).toBe("steered");
    await readUntilKilled(spec.id, importPorts(bindings));
  }
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
