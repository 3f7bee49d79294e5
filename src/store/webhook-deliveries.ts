import { and, type SQL, sql } from "drizzle-orm";
import { drizzle } from "drizzle-orm/d1";
import type { Sealed } from "../domain/job.ts";
import type { DeliveryAttempt, DeliveryStatus, WebhookDelivery } from "../domain/webhook.ts";
import type { Env } from "../env.ts";
import { type Page, type ScanBounds, type ScanPlan, scan } from "./scan.ts";

/** The webhooks of a project, sent and to be sent. */
export interface DeliveryFilter {
  project_id: string;
  run_id?: string;
  batch_id?: string;
  /** Any of these; empty or absent: every status. */
  statuses?: readonly DeliveryStatus[];
}

type Row = Omit<WebhookDelivery, "attempts"> & { attempts: string };

const COLUMNS = sql.raw(
  ["id", "project_id", "job_id", "type", "run_id", "batch_id", "url", "status", "attempts", "created_at"]
    .map((column) => `d.${column}`)
    .join(", ") +
    // Not before its receiver's rest is over.
    `, iif(d.status = 'pending', max(d.next_attempt_at, coalesce((SELECT r.rests_until FROM webhook_receivers AS r
      WHERE r.project_id = d.project_id AND r.url = d.url), 0)), NULL) AS next_attempt_at`,
);

const toDelivery = (row: Row): WebhookDelivery => ({
  ...row,
  attempts: JSON.parse(row.attempts) as DeliveryAttempt[],
});

export async function findDelivery(env: Env, projectId: string, id: string): Promise<WebhookDelivery | null> {
  const rows = await drizzle(env.DB).all<Row>(
    sql`SELECT ${COLUMNS} FROM webhook_deliveries AS d WHERE project_id = ${projectId} AND id = ${id}`,
  );
  return rows[0] ? toDelivery(rows[0]) : null;
}

/** A page of deliveries, newest first; the key of a page is an id. */
export async function listDeliveries(
  env: Env,
  filter: DeliveryFilter,
  after: string | null,
  limit: number,
  bounds?: ScanBounds,
): Promise<Page<WebhookDelivery>> {
  const page = await scan<Row, string>(env, plan(filter), after, limit, bounds);
  return { rows: page.rows.map(({ scan_key, scan_hit, ...row }: Row & Scanned) => toDelivery(row)), next: page.next };
}

interface Scanned {
  scan_key?: string;
  scan_hit?: number;
}

function plan(filter: DeliveryFilter): ScanPlan<string> {
  const { project_id: project, run_id: run, batch_id: batch, statuses } = filter;
  const source = sourceOf(filter);
  const hit = and(
    sql`project_id = ${project}`,
    run === undefined || batch === undefined ? undefined : sql`batch_id = ${batch}`,
    statuses?.length ? sql`status IN (SELECT value FROM json_each(${JSON.stringify(statuses)}))` : undefined,
  );
  return {
    order: "desc",
    candidates: (after, size) => {
      const beyond = after === null ? sql`` : sql`AND id < ${after}`;
      return sql`SELECT id AS key, id, (${hit}) AS hit FROM ${source} ${beyond} ORDER BY id DESC LIMIT ${size}`;
    },
    rows: sql`SELECT found.key AS scan_key, found.hit AS scan_hit, ${COLUMNS}
      FROM found LEFT JOIN webhook_deliveries AS d ON found.hit AND d.project_id = ${project} AND d.id = found.id`,
  };
}

/** The index that leaves the fewest candidates. */
function sourceOf({ project_id, run_id, batch_id, statuses }: DeliveryFilter): SQL {
  if (run_id !== undefined) {
    return sql`webhook_deliveries INDEXED BY webhook_deliveries_by_run WHERE run_id = ${run_id}`;
  }
  if (batch_id !== undefined) {
    return sql`webhook_deliveries INDEXED BY webhook_deliveries_by_batch WHERE batch_id = ${batch_id}`;
  }
  if (statuses?.length === 1 && statuses[0] === "dead") {
    return sql`webhook_deliveries INDEXED BY webhook_deliveries_dead WHERE project_id = ${project_id} AND status = 'dead'`;
  }
  return sql`webhook_deliveries WHERE project_id = ${project_id}`;
}

/**
 * Begins another round of tries at once, at this address where one is given; a receiver that rests is woken.
 *
 * @returns the delivery as it is then; null: there is none.
 */
export async function restartDelivery(
  env: Env,
  projectId: string,
  id: string,
  to: { url: string; secret: Sealed | null } | null,
  now: number,
): Promise<WebhookDelivery | null> {
  const address = to === null ? "" : ", url = ?4, secret = ?5";
  const addressed = "project_id = ?1 AND url = (SELECT url FROM webhook_deliveries WHERE project_id = ?1 AND id = ?2)";
  // Before whatever else waits for its receiver, which rests no longer.
  const first = `min(?3, coalesce((SELECT min(next_attempt_at) FROM webhook_deliveries WHERE ${addressed} AND status = 'pending' AND id <> ?2) - 1, ?3))`;
  const readdress = env.DB.prepare(
    `UPDATE webhook_deliveries SET status = 'pending', tries = 0, round = round + 1, round_at = ?3, next_attempt_at = ?3${address}
      WHERE project_id = ?1 AND id = ?2`,
  ).bind(projectId, id, now, ...(to === null ? [] : [to.url, to.secret]));
  await env.DB.batch([
    readdress,
    env.DB.prepare(`UPDATE webhook_deliveries SET next_attempt_at = ${first} WHERE project_id = ?1 AND id = ?2`).bind(
      projectId,
      id,
      now,
    ),
    env.DB.prepare(`UPDATE webhook_receivers SET failures = 0, rests_until = -1 WHERE ${addressed}`).bind(
      projectId,
      id,
    ),
  ]);
  return findDelivery(env, projectId, id);
}

/** Deletes what was made before the id `before`, project by project, at most `limit` rows. True while there is more. */
export async function purgeDeliveries(d1: D1Database, before: string, limit: number): Promise<boolean> {
  const { meta } = await d1
    .prepare(
      `DELETE FROM webhook_deliveries WHERE (project_id, id) IN (
         SELECT d.project_id, d.id FROM projects AS p CROSS JOIN webhook_deliveries AS d
         WHERE d.project_id = p.id AND d.id < ?1 LIMIT ?2)`,
    )
    .bind(before, limit)
    .run();
  return meta.changes >= limit;
}
