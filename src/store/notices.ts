import { assertNever } from "../domain/error.ts";
import type { Notice } from "../domain/notice.ts";
import { BEGINS_WITHIN_MS, MAX_CHAIN_DEPTH } from "../domain/workflow.ts";

/** `?1` project, `?2` job, `?3` JSON of the kind's notices. A second arrival of a notice is none. */
const INSERT_WEBHOOKS = `INSERT INTO webhook_deliveries
    (project_id, job_id, id, type, run_id, batch_id, url, secret, next_attempt_at, created_at, trace)
  SELECT ?1, ?2, e.value->>0, e.value->>1, e.value->>2, e.value->>3, n.value->>'url', n.value->>'secret',
    e.value->>4, e.value->>4, e.value->>5
  FROM json_each(?3) AS n, json_each(n.value, '$.events') AS e WHERE true
  ON CONFLICT (project_id, id) DO NOTHING`;

/** A run that cannot start stands there as failed, for its owner to see. */
const INSERT_WORKFLOW_RUNS = `INSERT INTO workflow_runs
    (project_id, id, workflow_id, revision, status, depth, source_run_id, mapping, created_by, error,
     created_at, finished_at, due_at, trace)
  SELECT ?1, s.value->>0, w.id, w.revision, iif(s.value->>2 > ${MAX_CHAIN_DEPTH} OR w.id IS NULL, 'failed', 'queued'),
    s.value->>2, s.value->>1, nullif(n.value->'$.mapping', 'null'), 'system:workflow',
    CASE WHEN w.id IS NULL
        THEN json_object('code', 'not_found', 'message', 'no workflow has the slug ' || (n.value->>'slug'))
      WHEN s.value->>2 > ${MAX_CHAIN_DEPTH}
        THEN json_object('code', 'conflict', 'message', 'a chain of workflows is at most ${MAX_CHAIN_DEPTH} deep') END,
    s.value->>3, iif(s.value->>2 > ${MAX_CHAIN_DEPTH} OR w.id IS NULL, s.value->>3, NULL),
    iif(s.value->>2 > ${MAX_CHAIN_DEPTH} OR w.id IS NULL, NULL, (s.value->>3) + ${BEGINS_WITHIN_MS}), s.value->>4
  FROM json_each(?3) AS n, json_each(n.value, '$.starts') AS s
  LEFT JOIN workflows AS w ON w.project_id = ?1 AND w.slug = n.value->>'slug' WHERE true
  ON CONFLICT (id) DO NOTHING`;

/** Should the ring for it be lost, the sweeper finds it overdue. */
const SIGNAL_WORKFLOW_RUNS = `UPDATE workflow_runs SET due_at = min(due_at, s.at)
  FROM (SELECT i.value AS id, n.value->>'at' AS at
    FROM json_each(?3) AS n, json_each(n.value, '$.workflow_run_ids') AS i) AS s
  WHERE workflow_runs.id = s.id AND project_id = ?1 AND due_at IS NOT NULL`;

const insertOf = (kind: Notice["kind"]): string => {
  switch (kind) {
    case "webhook":
      return INSERT_WEBHOOKS;
    case "workflow_start":
      return INSERT_WORKFLOW_RUNS;
    case "workflow_signal":
      return SIGNAL_WORKFLOW_RUNS;
    default:
      return assertNever(kind);
  }
};

/** A statement a kind. The caller keeps the notices of a transaction within one parameter. */
export function noticeStatements(
  d1: D1Database,
  projectId: string,
  jobId: string,
  notices: readonly Notice[],
): D1PreparedStatement[] {
  const byKind = Map.groupBy(notices, (notice) => notice.kind);
  return [...byKind].map(([kind, some]) => d1.prepare(insertOf(kind)).bind(projectId, jobId, JSON.stringify(some)));
}
