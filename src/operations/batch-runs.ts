import type { BatchRecord } from "../domain/batch.ts";
import type { RunRecord } from "../domain/run.ts";
import type { Env } from "../env.ts";
import { listBatchItems } from "../store/batch-items.ts";
import { findRuns } from "../store/runs.ts";
import { copyHasCaughtUp } from "./copy.ts";

/** With payloads and results of 32 KiB each a page stays within some megabytes. */
const PAGE = 100;

/**
 * The runs of a batch in the order of its items, at least as new as the batch was when it was read; a duplicate's is the
 * earlier run. Rejected items have none.
 */
export async function* runsOfBatch(env: Env, batch: BatchRecord): AsyncGenerator<RunRecord> {
  await copyHasCaughtUp(env, batch.job_id);
  for (let after: number | null = null; ; ) {
    const page = await listBatchItems(env, batch, null, after, PAGE);
    const ids = page.rows.flatMap(({ run_id }) => (run_id === null ? [] : [run_id]));
    const runs = new Map((await findRuns(env, batch.project_id, ids)).map((run) => [run.id, run]));
    for (const id of ids) {
      const run = runs.get(id);
      if (run) yield run;
    }
    if (page.next === null) return;
    after = page.next;
  }
}
