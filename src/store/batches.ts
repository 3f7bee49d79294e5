import { and, or, type SQL, sql } from "drizzle-orm";
import { drizzle } from "drizzle-orm/d1";
import type { BatchRecord, BatchStatus } from "../domain/batch.ts";
import { firstIdAt } from "../domain/id.ts";
import type { Env } from "../env.ts";
import { type OffsetPage, pageAt } from "./offset-page.ts";
import { type Page, type ScanBounds, type ScanPlan, scan } from "./scan.ts";

/** The batch operations of a project as the copy knows them, at most a second behind. */
export interface BatchFilter {
  project_id: string;
  job_id?: string;
  /** Any of these; empty or absent: every status. */
  statuses?: readonly BatchStatus[];
  /** Beside `statuses`: any of these as well, if its first run has started, or has not. */
  orStatuses?: { statuses: readonly BatchStatus[]; started: boolean };
  /** Unix milliseconds, half open: `created_after <= created_at < created_before`. */
  created_after?: number;
  created_before?: number;
}

interface BatchRow {
  doc: string;
}

const toRecord = (row: BatchRow): BatchRecord => JSON.parse(row.doc) as BatchRecord;

/** One batch, or null. */
export async function findBatch(env: Env, projectId: string, id: string): Promise<BatchRecord | null> {
  const rows = await drizzle(env.DB).all<BatchRow>(
    sql`SELECT doc FROM batches WHERE project_id = ${projectId} AND id = ${id}`,
  );
  return rows[0] ? toRecord(rows[0]) : null;
}

/** A page of batches, newest first; the key of a page is an id. */
export async function listBatches(
  env: Env,
  filter: BatchFilter,
  after: string | null,
  limit: number,
  bounds?: ScanBounds,
): Promise<Page<BatchRecord>> {
  const page = await scan<BatchRow, string>(env, plan(filter), after, limit, bounds);
  return { rows: page.rows.map(toRecord), next: page.next };
}

/** A page of batches at an offset from the newest one; null where the search was given up. */
export async function batchesAt(
  env: Env,
  filter: BatchFilter,
  offset: number,
  limit: number,
): Promise<OffsetPage<BatchRecord> | null> {
  const page = await pageAt<BatchRow, string>(env, plan(filter), offset, limit);
  return page && { ...page, rows: page.rows.map(toRecord) };
}

const among = (statuses: readonly BatchStatus[]): SQL =>
  sql`status IN (SELECT value FROM json_each(${JSON.stringify(statuses)}))`;

const orAmong = (more: BatchFilter["orStatuses"]): SQL | undefined =>
  more && sql`(${among(more.statuses)} AND (doc ->> '$.started_at' IS NOT NULL) = ${more.started ? 1 : 0})`;

function plan(filter: BatchFilter): ScanPlan<string> {
  const { project_id: project, job_id: job } = filter;
  const source =
    job === undefined
      ? sql`batches WHERE project_id = ${project}`
      : sql`batches INDEXED BY batches_by_job WHERE job_id = ${job}`;
  const hit = and(
    job === undefined ? undefined : sql`project_id = ${project}`,
    filter.statuses?.length ? or(among(filter.statuses), orAmong(filter.orStatuses)) : undefined,
  );
  const within: (SQL | undefined)[] = [
    filter.created_after === undefined ? undefined : sql`id >= ${firstIdAt(Math.max(0, filter.created_after))}`,
    filter.created_before === undefined ? undefined : sql`id < ${firstIdAt(Math.max(0, filter.created_before))}`,
  ];
  return {
    order: "desc",
    candidates: (after, size) => {
      const range = and(...within, after === null ? undefined : sql`id < ${after}`);
      return sql`SELECT id AS key, id, (${hit ?? sql`1`}) AS hit FROM ${source} ${range ? sql`AND ${range}` : sql``}
        ORDER BY id DESC LIMIT ${size}`;
    },
    rows: sql`SELECT found.key AS scan_key, found.hit AS scan_hit, b.doc
      FROM found LEFT JOIN batches AS b ON found.hit AND b.project_id = ${project} AND b.id = found.id`,
  };
}
