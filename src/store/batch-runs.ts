import { sql } from "drizzle-orm";
import type { RunError, RunStatus } from "../domain/run.ts";
import type { RunDoc } from "../domain/run-doc.ts";
import type { Env } from "../env.ts";
import { type Page, type ScanPlan, scan } from "./scan.ts";

/** A run of a batch that has ended, without its payload. */
export interface EndedRun {
  index: number;
  run_id: string;
  status: RunStatus;
  /** Raw JSON; null where there is none, or where `result_ref` names the R2 object that holds it. */
  result: string | null;
  result_ref: string | null;
  error: RunError | null;
}

interface Row {
  id: string;
  batch_index: number;
  status: RunStatus;
  doc: string;
}

/** Candidates of one statement, and statements of one page. */
const BOUNDS = { stepRows: 5_000, steps: 20 };

/**
 * Runs of a batch that have one of some statuses, in index order from beyond `after`. A page may be short, or empty, and
 * still have a successor. The caller has checked whose batch it is.
 */
export async function pageOfBatchRuns(
  env: Env,
  batch: { id: string; project_id: string },
  statuses: readonly RunStatus[],
  after: number | null,
  limit: number,
): Promise<Page<EndedRun, number>> {
  const plan: ScanPlan<number> = {
    order: "asc",
    candidates: (edge, size) => sql`SELECT batch_index AS key, id,
        status IN (SELECT value FROM json_each(${JSON.stringify(statuses)})) AS hit
      FROM runs INDEXED BY runs_by_batch
      WHERE batch_id = ${batch.id} AND batch_index > ${edge ?? -1} ORDER BY batch_index LIMIT ${size}`,
    rows: sql`SELECT found.key AS scan_key, found.hit AS scan_hit, r.id, r.batch_index, r.status, r.doc
      FROM found LEFT JOIN runs AS r ON found.hit AND r.project_id = ${batch.project_id} AND r.id = found.id`,
  };
  const page = await scan<Row, number>(env, plan, after, limit, BOUNDS);
  return { rows: page.rows.map(toEndedRun), next: page.next };
}

function toEndedRun({ id, batch_index, status, doc }: Row): EndedRun {
  const { result = null, result_ref = null, error = null } = JSON.parse(doc) as RunDoc;
  return { index: batch_index, run_id: id, status, result, result_ref, error };
}
