import { coordinatorOf } from "../coordinator/client.ts";
import { notFound } from "../domain/error.ts";
import type { RunRecord } from "../domain/run.ts";
import type { Env } from "../env.ts";
import { findRun, listRuns, type RunFilter } from "../store/runs.ts";
import type { Page } from "../store/scan.ts";
import type { Caller } from "./authorize.ts";
import { type Home, homeOf } from "./ledger-home.ts";
import { payloadHash } from "./payload-hash.ts";

export type { RunFilter } from "../store/runs.ts";

/** A run with its bodies, raw JSON text, as far as the answer shows them. */
export interface ShownRun {
  run: RunRecord;
  payload: string | null;
  /** 64 hex digits; null where the payload is no longer kept. */
  payloadHash: string | null;
  result: string | null;
}

/**
 * A run, never behind: its coordinator knows it until the copy does.
 *
 * @throws ApiError `not_found`.
 */
export async function getRun(env: Env, caller: Caller, id: string, project?: string): Promise<ShownRun> {
  return showRun(env, await loadRun(env, await homeOf(env, caller, id, "run", project), id));
}

/** The same without its bodies. */
export async function loadRun(env: Env, home: Home, id: string): Promise<RunRecord> {
  const run = await seekRun(env, home, id);
  if (!run) throw notFound("run");
  return run;
}

/** The same, or null. The coordinator is asked first: it forgets a run only once the copy has it. */
export async function seekRun(env: Env, home: Home, id: string): Promise<RunRecord | null> {
  const live = await coordinatorOf(env, home.id).getRun(id);
  if (live && (live.payload !== null || live.payload_ref !== null)) return live;
  const copy = await findRun(env, home.project_id, id);
  // Of a run that has just ended the coordinator no longer keeps a payload that the copy has.
  return live ? { ...live, payload: copy?.payload ?? null, payload_ref: copy?.payload_ref ?? null } : copy;
}

/** A page of runs, newest first, as the copy knows them. `after` and `next` are keys, see store/runs. */
export async function pageOfRuns(
  env: Env,
  filter: RunFilter,
  after: string | null,
  limit: number,
): Promise<Page<ShownRun>> {
  const page = await listRuns(env, filter, after, limit);
  const rows: ShownRun[] = [];
  for (let i = 0; i < page.rows.length; i += BODIES_AT_ONCE) {
    rows.push(...(await Promise.all(page.rows.slice(i, i + BODIES_AT_ONCE).map((run) => listedRun(env, run)))));
  }
  return { rows, next: page.next };
}

/** Bodies of 1 MiB that are held in memory at once. */
const BODIES_AT_ONCE = 6;

/** Its bodies as they came, wherever they are kept. */
export async function bodiesOf(env: Env, run: RunRecord): Promise<{ payload: string | null; result: string | null }> {
  const [payload, result] = await Promise.all([payloadOf(env, run), bodyOf(env, run.result, run.result_ref)]);
  return { payload, result };
}

/** A run with its bodies, wherever they are kept. */
export async function showRun(env: Env, run: RunRecord): Promise<ShownRun> {
  const { payload, result } = await bodiesOf(env, run);
  return { run, payload, payloadHash: payload === null ? null : payloadHash(payload), result };
}

/** Lists leave out what is kept in R2. The hash is of the whole payload all the same. */
async function listedRun(env: Env, run: RunRecord): Promise<ShownRun> {
  const payload = await payloadOf(env, run);
  return {
    run,
    payload: run.payload,
    payloadHash: payload === null ? null : payloadHash(payload),
    result: run.result,
  };
}

/** The payload as sent, or null where it is no longer kept. */
export const payloadOf = (env: Env, run: RunRecord): Promise<string | null> =>
  bodyOf(env, run.payload, run.payload_ref);

async function bodyOf(env: Env, inline: string | null, ref: string | null): Promise<string | null> {
  if (inline !== null || ref === null) return inline;
  const object = await env.BLOBS.get(ref);
  return object ? object.text() : null;
}
