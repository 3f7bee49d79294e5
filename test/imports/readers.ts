import { runInDurableObject } from "cloudflare:test";
import { uuidV7 } from "../../src/domain/id.ts";
import { effectiveSettings, type ImportDelivery, type ImportSpec } from "../../src/domain/import.ts";
import { importOf } from "../../src/imports/client.ts";
import type { ImportCoordinator } from "../../src/imports/import-coordinator.ts";
import { openBatch } from "../../src/operations/import-ports.ts";
import { bindings } from "../http/ask.ts";
import type { ImportWorld } from "./world.ts";

/** Imports whose readers come, and die, as a test wants. */

export const stubOf = (id: string) => bindings.IMPORTS.get(bindings.IMPORTS.idFromName(id));
const inside = <T>(id: string, work: (instance: ImportCoordinator, state: DurableObjectState) => T): Promise<T> =>
  runInDurableObject(stubOf(id) as unknown as DurableObjectStub<ImportCoordinator>, work);

/** Nobody answers its rings: readers come when the test sends them. */
export const silence = (id: string): Promise<void> =>
  inside(id, (instance) => {
    const own = instance as unknown as { env: object };
    own.env = { ...own.env, IMPORT_RINGS: { sendBatch: async () => undefined } };
  });

/** An import whose readers the test sends itself. */
export async function begin(world: ImportWorld, delivery: ImportDelivery): Promise<ImportSpec> {
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
export const expire = (id: string): Promise<void> =>
  inside(id, (_, state) => void state.storage.sql.exec("UPDATE tasks SET deadline = 0 WHERE state = 'RUNNING'"));

export class Killed extends Error {}
