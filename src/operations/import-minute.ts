import { CONNECTIONS, mapBounded } from "../domain/bounded.ts";
import { uuidV7 } from "../domain/id.ts";
import type { ImportRecord, ImportSpec } from "../domain/import.ts";
import type { Env } from "../env.ts";
import { importOf } from "../imports/client.ts";
import { logError } from "../log.ts";
import {
  copyImport,
  type DueRepeat,
  listDueRepeats,
  listOpenImports,
  setNextRepeat,
  stopRepeating,
} from "../store/imports.ts";
import { selectTransformFor } from "../store/transforms.ts";
import { beginImport, nextRepeat } from "./import-creation.ts";
import { jobById } from "./jobs.ts";
import { sha256 } from "./secrets.ts";

const PAGE = 200;
const REPEATS_PER_MINUTE = 500;

/** Once a minute: crons repeat their imports, and imports whose object has lost its alarm, or was never begun, are woken. */
export async function tendImports(env: Env, now: number): Promise<void> {
  await mapBounded(await listDueRepeats(env.DB, now, REPEATS_PER_MINUTE), CONNECTIONS, (due) =>
    unlessBroken("import_not_repeated", due.record.spec.id, () => repeat(env, due, now)),
  );
  for (let after = ""; ; ) {
    const open = await listOpenImports(env.DB, after, PAGE);
    await mapBounded(open, CONNECTIONS, (record) =>
      unlessBroken("import_not_woken", record.spec.id, () => wake(env, record)),
    );
    const last = open[open.length - 1];
    if (last === undefined || open.length < PAGE) return;
    after = last.spec.id;
  }
}

/** One import's failure must not leave the others alone. */
async function unlessBroken(event: string, id: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    logError(event, { import_id: id }, error);
  }
}

async function wake(env: Env, record: ImportRecord): Promise<void> {
  const own = importOf(env, record.spec.id);
  const present = (await own.poke()) ?? (await own.start(record.spec, record.batch_id));
  await copyImport(env.DB, present);
}

/**
 * A repetition is an import of its own, which finds what is new. While the one before has not ended none is begun: it would
 * not know yet what that one imports. Nothing comes of a deleted job any more.
 */
async function repeat(env: Env, { record, next_at, is_busy }: DueRepeat, now: number): Promise<void> {
  const { spec } = record;
  if (spec.cron === null) return;
  const job = await jobById(env, spec.job_id);
  if (!job || job.deleted_at !== null) {
    await stopRepeating(env.DB, spec.id);
    return;
  }
  // It stays due until the job is enabled.
  if (!job.current.spec.enabled) return;
  if (!is_busy) {
    await beginImport(env, {
      ...spec,
      id: await repetitionId(spec.id, next_at),
      cron: null,
      repeat_of: spec.id,
      transform_spec: await presentTransform(env, spec),
      created_by: "system:cron",
      created_at: now,
      traceparent: null,
    });
  }
  await setNextRepeat(env.DB, spec.id, next_at, nextRepeat(spec.cron, Math.max(now, next_at)));
}

/** The same minute is the same import, however often it is begun. */
async function repetitionId(parent: string, at: number): Promise<string> {
  return uuidV7(at, (await sha256(`${parent}:${at}`)).subarray(0, 10));
}

async function presentTransform(env: Env, spec: ImportSpec): Promise<ImportSpec["transform_spec"]> {
  if (spec.transform === null) return spec.transform_spec;
  const row = await selectTransformFor(env.DB, spec, spec.transform);
  return row === null ? spec.transform_spec : { type: row.type, settings: row.settings };
}
