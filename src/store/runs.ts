import { and, type SQL, sql } from "drizzle-orm";
import { drizzle } from "drizzle-orm/d1";
import { firstIdAt } from "../domain/id.ts";
import { DEAD_STATUSES, type RunRecord, type RunStatus, type TriggeredBy } from "../domain/run.ts";
import { type RunDoc, unpackRunDoc } from "../domain/run-doc.ts";
import type { Env } from "../env.ts";
import { type OffsetPage, pageAt } from "./offset-page.ts";
import { type Page, type ScanBounds, type ScanPlan, scan } from "./scan.ts";

/** The runs of a project as the copy knows them, at most a second behind. */
export interface RunFilter {
  project_id: string;
  id?: string;
  job_id?: string;
  /** Of any of these jobs. */
  job_ids?: readonly string[];
  batch_id?: string;
  /** Any of these; empty or absent: every status. */
  statuses?: readonly RunStatus[];
  tag?: { key: string; value: string };
  triggered_by?: TriggeredBy;
  concurrency_key?: string;
  /** The version last used: its number, its id, or the one that its job has now. */
  version?: number | string | typeof CURRENT;
  /** Unix milliseconds, half open: `created_after <= created_at < created_before`. */
  created_after?: number;
  created_before?: number;
}

/** The version that a job has now. */
export const CURRENT = Symbol("current");

interface RunRow {
  project_id: string;
  id: string;
  job_id: string;
  batch_id: string | null;
  batch_index: number | null;
  status: RunStatus;
  triggered_by: TriggeredBy;
  concurrency_key: string | null;
  tags: string | null;
  payload: string | null;
  doc: string;
}

const COLUMNS = sql.raw(
  "r.project_id, r.id, r.job_id, r.batch_id, r.batch_index, r.status, r.triggered_by, r.concurrency_key, r.tags, r.payload, r.doc",
);

/** One run, or null. */
export async function findRun(env: Env, projectId: string, id: string): Promise<RunRecord | null> {
  const [run] = await findRuns(env, projectId, [id]);
  return run ?? null;
}

/** The version of a run's copy; 0 where there is none. */
export async function runVersion(env: Env, projectId: string, id: string): Promise<number> {
  const rows = await drizzle(env.DB).all<{ ver: number }>(
    sql`SELECT ver FROM runs WHERE project_id = ${projectId} AND id = ${id}`,
  );
  return rows[0]?.ver ?? 0;
}

/** Those of up to some hundred runs that are there, in no order. */
export async function findRuns(env: Env, projectId: string, ids: readonly string[]): Promise<RunRecord[]> {
  const rows = await drizzle(env.DB).all<RunRow>(sql`SELECT ${COLUMNS}
    FROM json_each(${JSON.stringify(ids)}) AS asked CROSS JOIN runs AS r
    WHERE r.project_id = ${projectId} AND r.id = asked.value`);
  return rows.map(toRecord);
}

/** A page of runs at an offset from the newest one; null where the search was given up. Not within a batch. */
export async function runsAt(
  env: Env,
  filter: Omit<RunFilter, "batch_id">,
  offset: number,
  limit: number,
): Promise<OffsetPage<RunRecord> | null> {
  const page = await pageAt<RunRow, string>(env, idPlan(filter), offset, limit);
  return page && { ...page, rows: page.rows.map(toRecord) };
}

/**
 * A page of runs, newest first. The key of a page is a run's id; within a batch, where ids and indexes rise together, it
 * is the index.
 */
export async function listRuns(
  env: Env,
  filter: RunFilter,
  after: string | null,
  limit: number,
  bounds?: ScanBounds,
): Promise<Page<RunRecord>> {
  if (filter.batch_id !== undefined) {
    const index = after === null ? null : Number(after);
    const page = await scan<RunRow, number>(env, batchPlan(filter, filter.batch_id), index, limit, bounds);
    return { rows: page.rows.map(toRecord), next: page.next === null ? null : String(page.next) };
  }
  const page = await scan<RunRow, string>(env, idPlan(filter), after, limit, bounds);
  return { rows: page.rows.map(toRecord), next: page.next };
}

const ROWS = (projectId: string): SQL => sql`SELECT found.key AS scan_key, found.hit AS scan_hit, ${COLUMNS}
  FROM found LEFT JOIN runs AS r ON found.hit AND r.project_id = ${projectId} AND r.id = found.id`;

function batchPlan(filter: RunFilter, batchId: string): ScanPlan<number> {
  return {
    order: "desc",
    candidates: (after, size) => sql`SELECT batch_index AS key, id, (${and(
      sql`project_id = ${filter.project_id}`,
      filter.job_id === undefined ? undefined : sql`job_id = ${filter.job_id}`,
      ...createdWithin(filter),
      ...attributes(filter),
    )}) AS hit
      FROM runs INDEXED BY runs_by_batch
      WHERE batch_id = ${batchId} ${after === null ? sql`` : sql`AND batch_index < ${after}`}
      ORDER BY batch_index DESC LIMIT ${size}`,
    rows: ROWS(filter.project_id),
  };
}

/** The index is named, for SQLite knows nothing of how rare a status or how large a job is. */
function idPlan(filter: RunFilter): ScanPlan<string> {
  const { project_id: project, job_id: job } = filter;
  const onlyDead = filter.statuses?.length && filter.statuses.every((s) => DEAD_STATUSES.includes(s));
  const byJob = !onlyDead && job !== undefined;
  const source = onlyDead
    ? sql`runs INDEXED BY runs_dead WHERE project_id = ${project} AND status IN ('failed', 'timed_out', 'crashed')`
    : byJob
      ? sql`runs INDEXED BY runs_by_job WHERE job_id = ${job}`
      : sql`runs WHERE project_id = ${project}`;
  const hit = and(
    byJob ? sql`project_id = ${project}` : undefined,
    onlyDead && job !== undefined ? sql`job_id = ${job}` : undefined,
    ...attributes(filter),
  );
  return {
    order: "desc",
    candidates: (after, size) => {
      const range = and(...createdWithin(filter), after === null ? undefined : sql`id < ${after}`);
      return sql`SELECT id AS key, id, (${hit ?? sql`1`}) AS hit FROM ${source} ${range ? sql`AND ${range}` : sql``}
        ORDER BY id DESC LIMIT ${size}`;
    },
    rows: ROWS(project),
  };
}

/** Ids begin with their creation time, so a range of times is a range of ids. */
const createdWithin = (filter: RunFilter): (SQL | undefined)[] => [
  filter.id === undefined ? undefined : sql`id = ${filter.id}`,
  filter.created_after === undefined ? undefined : sql`id >= ${firstIdAt(Math.max(0, filter.created_after))}`,
  filter.created_before === undefined ? undefined : sql`id < ${firstIdAt(Math.max(0, filter.created_before))}`,
];

const attributes = (filter: RunFilter): (SQL | undefined)[] => [
  filter.statuses?.length
    ? sql`status IN (SELECT value FROM json_each(${JSON.stringify(filter.statuses)}))`
    : undefined,
  filter.triggered_by === undefined ? undefined : sql`triggered_by = ${filter.triggered_by}`,
  filter.concurrency_key === undefined ? undefined : sql`concurrency_key IS ${filter.concurrency_key}`,
  filter.job_ids === undefined
    ? undefined
    : sql`job_id IN (SELECT value FROM json_each(${JSON.stringify(filter.job_ids)}))`,
  filter.version === undefined ? undefined : ofVersion(filter.version),
  filter.tag === undefined
    ? undefined
    : sql`(tags IS NOT NULL AND EXISTS (
        SELECT 1 FROM json_each(tags) AS tag WHERE tag.key = ${filter.tag.key} AND tag.value = ${filter.tag.value}))`,
];

function ofVersion(version: number | string | typeof CURRENT): SQL {
  if (version === CURRENT) return sql`doc ->> '$.job_version' = (SELECT j.version FROM jobs AS j WHERE j.id = job_id)`;
  return typeof version === "number"
    ? sql`doc ->> '$.job_version' = ${version}`
    : sql`doc ->> '$.job_version_id' = ${version}`;
}

function toRecord(row: RunRow): RunRecord {
  return {
    ...unpackRunDoc(JSON.parse(row.doc) as RunDoc),
    project_id: row.project_id,
    id: row.id,
    job_id: row.job_id,
    batch_id: row.batch_id,
    batch_index: row.batch_index,
    status: row.status,
    triggered_by: row.triggered_by,
    concurrency_key: row.concurrency_key,
    tags: row.tags === null ? {} : (JSON.parse(row.tags) as Record<string, string>),
    payload: row.payload,
  };
}
