import { assertNever } from "../domain/error.ts";
import type { Notice } from "../domain/notice.ts";

/** `?1` project, `?2` job, `?3` JSON of the kind's notices. A second arrival of a notice is none. */
const INSERT_WEBHOOKS = `INSERT INTO webhook_deliveries
    (project_id, job_id, id, type, run_id, batch_id, url, secret, next_attempt_at, created_at)
  SELECT ?1, ?2, e.value->>0, e.value->>1, e.value->>2, e.value->>3, n.value->>'url', n.value->>'secret',
    e.value->>4, e.value->>4
  FROM json_each(?3) AS n, json_each(n.value, '$.events') AS e WHERE true
  ON CONFLICT (project_id, id) DO NOTHING`;

const insertOf = (kind: Notice["kind"]): string => {
  switch (kind) {
    case "webhook":
      return INSERT_WEBHOOKS;
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
