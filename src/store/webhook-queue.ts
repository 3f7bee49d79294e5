import type { BatchRecord } from "../domain/batch.ts";
import type { Sealed } from "../domain/job.ts";
import type { WebhookType } from "../domain/notice.ts";
import type { Standing } from "../domain/receiver-standing.ts";
import type { RunStatus } from "../domain/run.ts";
import { type RunDoc, unpackRunDoc } from "../domain/run-doc.ts";
import type { Trace } from "../domain/traceparent.ts";
import type { DeliveryAttempt, Verdict } from "../domain/webhook.ts";

/** The webhooks that wait, receiver by receiver. A receiver is an address of a project. Times are Unix milliseconds. */
export interface Receiver {
  project_id: string;
  url: string;
}

/** The run that a webhook speaks of, as far as it does. */
export interface ToldRun {
  status: RunStatus;
  attempt: number;
  /** Raw JSON. */
  result: string | null;
  /** The R2 object that holds it instead. */
  result_ref: string | null;
  error: unknown;
  metadata: Record<string, string>;
}

export interface DueDelivery {
  id: string;
  job_id: string;
  type: WebhookType;
  run_id: string | null;
  batch_id: string | null;
  secret: Sealed | null;
  tries: number;
  round: number;
  created_at: number;
  /** When this round of tries began. */
  round_at: number;
  trace: Trace | null;
  /** Null: it is no longer kept, or the webhook speaks of something else. */
  run: ToldRun | null;
  batch: BatchRecord | null;
}

/** What came of one try. */
export interface TryReport {
  id: string;
  round: number;
  attempt: DeliveryAttempt;
  verdict: Verdict;
}

/** A delivery keeps its newest attempts: retries by hand may go on without end. */
const KEPT_ATTEMPTS = 50;

/**
 * Takes a receiver for `holder` alone until `until`, unless another holds it or it rests. Holders whose name does not begin
 * with `boot` are dead, where a boot is given.
 *
 * @returns how it stands; null: it is not to be called now.
 */
export async function holdReceiver(
  d1: D1Database,
  { project_id, url }: Receiver,
  holder: string,
  boot: string | null,
  now: number,
  until: number,
): Promise<Standing | null> {
  const held = await d1
    .prepare(
      `INSERT INTO webhook_receivers (project_id, url, holder, held_until) VALUES (?1, ?2, ?3, ?4)
       ON CONFLICT (project_id, url) DO UPDATE SET holder = excluded.holder, held_until = excluded.held_until, rests_until = 0
       WHERE rests_until <= ?5
         AND (held_until <= ?5 OR (?6 IS NOT NULL AND substr(webhook_receivers.holder, 1, length(?6)) <> ?6))
       RETURNING failures`,
    )
    .bind(project_id, url, holder, until, now, boot)
    .first<{ failures: number }>();
  return held && { failures: held.failures, rests_until: 0 };
}

/**
 * Lets a receiver go as it stands now; what has nothing to wait for is forgotten. Answers when its next webhook may be sent;
 * null: none waits.
 */
export async function releaseReceiver(
  d1: D1Database,
  { project_id, url }: Receiver,
  holder: string,
  { failures, rests_until }: Standing,
): Promise<number | null> {
  const stands = (known: string) => `iif(rests_until < 0, 0, ${known})`;
  const release = `UPDATE webhook_receivers SET holder = NULL, held_until = 0, failures = ${stands("?4")}, rests_until = ${stands("?5")}
    WHERE project_id = ?1 AND url = ?2 AND holder = ?3`;
  const waiting = "FROM webhook_deliveries WHERE project_id = ?1 AND url = ?2 AND status = 'pending'";
  const rest = "SELECT rests_until FROM webhook_receivers WHERE project_id = ?1 AND url = ?2";
  const forget = `DELETE FROM webhook_receivers
    WHERE project_id = ?1 AND url = ?2 AND holder IS NULL AND NOT EXISTS (SELECT 1 ${waiting})`;
  const [, next] = await d1.batch<{ at: number | null }>([
    d1.prepare(release).bind(project_id, url, holder, failures, rests_until),
    d1.prepare(`SELECT max(min(next_attempt_at), coalesce((${rest}), 0)) AS at ${waiting}`).bind(project_id, url),
    d1.prepare(forget).bind(project_id, url),
  ]);
  return next?.results[0]?.at ?? null;
}

/** Notes that a ring will come at `at`. False: one comes earlier. */
export async function noteRing(
  d1: D1Database,
  { project_id, url }: Receiver,
  at: number,
  now: number,
): Promise<boolean> {
  const noted = await d1
    .prepare(
      `UPDATE webhook_receivers SET rings_at = ?3
       WHERE project_id = ?1 AND url = ?2 AND (rings_at <= ?4 OR rings_at > ?3) RETURNING 1`,
    )
    .bind(project_id, url, at, now)
    .first();
  return noted !== null;
}

interface DueRow extends Omit<DueDelivery, "run" | "batch"> {
  run_status: RunStatus | null;
  run_doc: string | null;
  batch_doc: string | null;
}

/** What is due at a receiver, the longest due first, but what `busy` names; with what it speaks of. */
export async function dueDeliveries(
  d1: D1Database,
  { project_id, url }: Receiver,
  busy: string[],
  now: number,
  limit: number,
): Promise<DueDelivery[]> {
  const { results } = await d1
    .prepare(
      `SELECT d.id, d.job_id, d.type, d.run_id, d.batch_id, d.secret, d.tries, d.round, d.created_at, d.trace,
         coalesce(d.round_at, d.created_at) AS round_at,
         r.status AS run_status, r.doc AS run_doc, b.doc AS batch_doc
       FROM webhook_deliveries AS d
       LEFT JOIN runs AS r ON r.project_id = d.project_id AND r.id = d.run_id
       LEFT JOIN batches AS b ON d.run_id IS NULL AND b.project_id = d.project_id AND b.id = d.batch_id
       WHERE d.project_id = ?1 AND d.url = ?2 AND d.status = 'pending' AND d.next_attempt_at <= ?3
         AND d.id NOT IN (SELECT value FROM json_each(?4))
       ORDER BY d.next_attempt_at LIMIT ?5`,
    )
    .bind(project_id, url, now, JSON.stringify(busy), limit)
    .all<DueRow>();
  return results.map(toDue);
}

function toDue({ run_status, run_doc, batch_doc, ...delivery }: DueRow): DueDelivery {
  const run = run_doc === null || run_status === null ? null : toldRun(run_status, JSON.parse(run_doc) as RunDoc);
  return { ...delivery, run, batch: batch_doc === null ? null : (JSON.parse(batch_doc) as BatchRecord) };
}

function toldRun(status: RunStatus, doc: RunDoc): ToldRun {
  const { attempt, result, result_ref, error, metadata } = unpackRunDoc(doc);
  return { status, attempt, result, result_ref, error, metadata };
}

/**
 * Writes what came of tries, all in one statement. A round that was begun by hand meanwhile keeps its own plan; its
 * delivery ends all the same once a receiver has taken it.
 */
export async function reportTries(d1: D1Database, projectId: string, reports: TryReport[]): Promise<void> {
  const rows = reports.map(({ id, round, attempt, verdict }) => [
    id,
    round,
    verdict.status,
    verdict.status === "pending" ? verdict.next_attempt_at : null,
    attempt,
  ]);
  await d1
    .prepare(
      `WITH r AS MATERIALIZED (
         SELECT value->>0 AS id, value->>1 AS round, value->>2 AS status, value->>3 AS next, value->4 AS attempt
         FROM json_each(?2))
       UPDATE webhook_deliveries AS d SET
         attempts = json_insert(
           CASE WHEN json_array_length(d.attempts) >= ${KEPT_ATTEMPTS} THEN json_remove(d.attempts, '$[0]') ELSE d.attempts END,
           '$[#]', json(r.attempt)),
         tries = d.tries + (d.round = r.round),
         status = CASE WHEN d.round = r.round OR r.status = 'delivered' THEN r.status ELSE d.status END,
         next_attempt_at = CASE WHEN d.round = r.round OR r.status = 'delivered' THEN r.next ELSE d.next_attempt_at END
       FROM r
       WHERE d.project_id = ?1 AND d.id = r.id`,
    )
    .bind(projectId, JSON.stringify(rows))
    .run();
}

/**
 * Receivers whose next webhook is due, in order of project and address, beyond `after`. It leaps from receiver to receiver
 * along the index, so one with a long backlog costs what every other does.
 *
 * @returns at most `limit` receivers looked at, those among them with something due that do not rest, and where to go on; null at the end.
 */
export async function receiversDue(
  d1: D1Database,
  after: Receiver,
  now: number,
  limit: number,
): Promise<{ due: Receiver[]; next: Receiver | null }> {
  const leap = (project: string, url: string) => `(SELECT json_array(project_id, url) FROM webhook_deliveries
    WHERE status = 'pending' AND (project_id, url) > (${project}, ${url}) ORDER BY project_id, url LIMIT 1)`;
  const { results } = await d1
    .prepare(
      `WITH RECURSIVE receivers(pair, n) AS (
         SELECT ${leap("?1", "?2")}, 1
         UNION ALL
         SELECT ${leap("pair->>0", "pair->>1")}, n + 1 FROM receivers WHERE pair IS NOT NULL AND n < ?4)
       SELECT pair->>0 AS project_id, pair->>1 AS url,
         (SELECT min(next_attempt_at) FROM webhook_deliveries
           WHERE project_id = pair->>0 AND url = pair->>1 AND status = 'pending') <= ?3
         AND NOT EXISTS (SELECT 1 FROM webhook_receivers
           WHERE project_id = pair->>0 AND url = pair->>1 AND rests_until > ?3) AS is_due
       FROM receivers WHERE pair IS NOT NULL`,
    )
    .bind(after.project_id, after.url, now, limit)
    .all<Receiver & { is_due: 0 | 1 }>();
  const last = results.at(-1);
  return {
    due: results.filter((row) => row.is_due === 1).map(({ project_id, url }) => ({ project_id, url })),
    next: results.length < limit || last === undefined ? null : { project_id: last.project_id, url: last.url },
  };
}
