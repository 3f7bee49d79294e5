import { and, asc, desc, eq, gt, gte, isNull, lt, not, or, type SQL, sql } from "drizzle-orm";
import { drizzle } from "drizzle-orm/d1";
import type { CronClock } from "../domain/cron-clock.ts";
import type { Job, JobSpec } from "../domain/job.ts";
import { jobs, jobVersions } from "./schema.ts";

/** A job with what its coordinator has acknowledged, and when its cron is due. */
export interface StoredJob extends Job, CronClock {
  told_revision: number;
}

type Row = typeof jobs.$inferSelect;

export const toJob = (row: Row): StoredJob => ({
  id: row.id,
  number: row.number,
  project_id: row.project_id,
  revision: row.revision,
  told_revision: row.told_revision,
  paused: row.paused,
  current: { version: row.version, version_id: row.version_id, spec: row.spec },
  created_by: row.created_by,
  updated_by: row.updated_by,
  created_at: row.created_at,
  updated_at: row.updated_at,
  deleted_at: row.deleted_at,
  cron_since: row.cron_since,
  next_cron_at: row.next_cron_at,
});

/** The columns that repeat what the spec says, for indexes and filters. */
const specColumns = (spec: JobSpec) => ({
  slug: spec.slug,
  name: spec.name,
  group_id: spec.group_id,
  environment_id: spec.environment_id,
  enabled: spec.enabled,
  spec,
});

async function firstWhere(db: D1Database, where: SQL | undefined): Promise<StoredJob | null> {
  const row = await drizzle(db).select().from(jobs).where(where).get();
  return row ? toJob(row) : null;
}

/** Deleted jobs too. */
export const selectJob = (db: D1Database, id: string): Promise<StoredJob | null> => firstWhere(db, eq(jobs.id, id));

/** Deleted jobs too. */
export const selectJobByNumber = (db: D1Database, number: number): Promise<StoredJob | null> =>
  firstWhere(db, eq(jobs.number, number));

export const selectJobBySlug = (db: D1Database, projectId: string, slug: string): Promise<StoredJob | null> =>
  firstWhere(db, and(eq(jobs.project_id, projectId), eq(jobs.slug, slug), isNull(jobs.deleted_at)));

/** The slugs of jobs by their ids, deleted ones too. */
export async function selectSlugs(db: D1Database, ids: readonly string[]): Promise<Map<string, string>> {
  const rows = await drizzle(db).all<{ id: string; slug: string }>(
    sql`SELECT j.id, j.slug FROM json_each(${JSON.stringify(ids)}) AS asked CROSS JOIN jobs AS j WHERE j.id = asked.value`,
  );
  return new Map(rows.map((row) => [row.id, row.slug]));
}

/** What becomes of a new job's row: everything but what the database gives. */
export interface NewJob {
  id: string;
  project_id: string;
  version_id: string;
  spec: JobSpec;
  clock: CronClock;
  actor: string;
  at: number;
}

/** The version that stands in the job's row, copied where it was written under this version id. */
const keepVersion = (db: D1Database, id: string, versionId: string, actor: string, at: number) =>
  drizzle(db)
    .insert(jobVersions)
    .select((qb) =>
      qb
        .select({
          job_id: jobs.id,
          version: jobs.version,
          version_id: jobs.version_id,
          spec: jobs.spec,
          created_by: sql<string>`${actor}`.as("created_by"),
          created_at: sql<number>`${at}`.as("created_at"),
        })
        .from(jobs)
        .where(and(eq(jobs.id, id), eq(jobs.version_id, versionId))),
    )
    .onConflictDoNothing();

const workflowIsThere = (slug: string): SQL =>
  sql`EXISTS (SELECT 1 FROM workflows w WHERE w.project_id = jobs.project_id AND w.slug = ${slug})`;

/** Whether a job's group and environment are there. Undefined for a job that names neither. */
const groupAndEnvironmentAreThere = ({ group_id, environment_id }: JobSpec): SQL | undefined =>
  and(
    group_id === null
      ? undefined
      : sql`EXISTS (SELECT 1 FROM job_groups g WHERE g.id = ${group_id} AND g.project_id = jobs.project_id)`,
    environment_id === null
      ? undefined
      : sql`EXISTS (SELECT 1 FROM environments e WHERE e.id = ${environment_id} AND e.project_id = jobs.project_id)`,
  );

/**
 * Whether what a job names is there still: it may have been deleted since it was looked up. The writes see to it themselves,
 * for a trigger's body does not survive the way in which migrations reach a remote database.
 */
const newNamesHold = (spec: JobSpec): SQL | undefined => {
  const slug = spec.on_complete_trigger_workflow;
  return and(groupAndEnvironmentAreThere(spec), slug === null ? undefined : workflowIsThere(slug));
};

/** The same of a change: a workflow that the job named before is not asked for again. */
const changedNamesHold = (spec: JobSpec): SQL | undefined => {
  const slug = spec.on_complete_trigger_workflow;
  const isOld = sql`jobs.spec ->> '$.on_complete_trigger_workflow' IS ${slug}`;
  return and(groupAndEnvironmentAreThere(spec), slug === null ? undefined : or(isOld, workflowIsThere(slug)));
};

/**
 * Writes a job and its first version.
 *
 * @returns the job with this id (which a repeated request finds as it is), or null where the slug is taken, or something
 *   that the job names is not there any more.
 */
export async function insertJob(db: D1Database, job: NewJob): Promise<StoredJob | null> {
  const orm = drizzle(db);
  const insert = orm
    .insert(jobs)
    .values({
      id: job.id,
      project_id: job.project_id,
      ...specColumns(job.spec),
      ...job.clock,
      revision: 1,
      version: 1,
      version_id: job.version_id,
      created_by: job.actor,
      updated_by: job.actor,
      created_at: job.at,
      updated_at: job.at,
    })
    .onConflictDoNothing();
  const keep = keepVersion(db, job.id, job.version_id, job.actor, job.at);
  const namesHold = newNamesHold(job.spec);
  if (namesHold) await orm.batch([insert, orm.delete(jobs).where(and(eq(jobs.id, job.id), not(namesHold))), keep]);
  else await orm.batch([insert, keep]);
  return selectJob(db, job.id);
}

/** A change of a job: of its version (with a spec), of its pause, or its deletion. */
export interface JobUpdate {
  id: string;
  /** The change holds only where the job is still at this revision. */
  from_revision: number;
  actor: string;
  at: number;
  version?: { version: number; version_id: string; spec: JobSpec };
  clock?: CronClock;
  paused?: boolean;
  deleted?: boolean;
}

/**
 * Writes row, version and revision + 1 in one transaction.
 *
 * @returns the job as it is then, or null where somebody else was first: with the job, or with what it names.
 * @throws what the database throws for a slug that is taken; see `isUniqueViolation`.
 */
export async function updateJob(db: D1Database, change: JobUpdate): Promise<StoredJob | null> {
  const orm = drizzle(db);
  const { version } = change;
  const update = orm
    .update(jobs)
    .set({
      revision: change.from_revision + 1,
      updated_by: change.actor,
      updated_at: change.at,
      ...(version ? { ...specColumns(version.spec), version: version.version, version_id: version.version_id } : {}),
      ...change.clock,
      ...(change.paused === undefined ? {} : { paused: change.paused }),
      ...(change.deleted ? { deleted_at: change.at, next_cron_at: null } : {}),
    })
    .where(
      and(
        eq(jobs.id, change.id),
        eq(jobs.revision, change.from_revision),
        isNull(jobs.deleted_at),
        version && changedNamesHold(version.spec),
      ),
    )
    .returning();
  const [rows] = version
    ? await orm.batch([update, keepVersion(db, change.id, version.version_id, change.actor, change.at)])
    : await orm.batch([update]);
  const row = rows[0];
  return row ? toJob(row) : null;
}

/** Notes that the coordinator has a revision. */
export async function markTold(db: D1Database, id: string, revision: number): Promise<void> {
  await drizzle(db)
    .update(jobs)
    .set({ told_revision: revision })
    .where(and(eq(jobs.id, id), lt(jobs.told_revision, revision)));
}

/** Jobs whose coordinator is behind, deleted ones too. */
export async function listUntold(db: D1Database, limit: number): Promise<StoredJob[]> {
  const rows = await drizzle(db)
    .select()
    .from(jobs)
    // As the partial index has it, so that it is used.
    .where(sql`told_revision < revision`)
    .orderBy(asc(jobs.number))
    .limit(limit);
  return rows.map(toJob);
}

/** A group's jobs beyond a job's number whose coordinators are behind, by number. */
export async function listUntoldInGroup(
  db: D1Database,
  groupId: string,
  after: number,
  limit: number,
): Promise<StoredJob[]> {
  const rows = await drizzle(db)
    .select()
    .from(jobs)
    .where(and(eq(jobs.group_id, groupId), sql`told_revision < revision`, gt(jobs.number, after)))
    .orderBy(asc(jobs.number))
    .limit(limit);
  return rows.map(toJob);
}

export interface JobFilter {
  group_id?: string;
  environment_id?: string;
  enabled?: boolean;
  /** All of them. */
  tags: { key: string; value: string }[];
  /** Found in name, slug or description, without case. */
  q?: string;
}

/** Newest first, without deleted ones; one row more than `limit` where there are more. */
export async function listJobs(
  db: D1Database,
  projectId: string,
  filter: JobFilter,
  page: { limit: number; before: string | null },
): Promise<StoredJob[]> {
  const needle = filter.q?.toLowerCase();
  const rows = await drizzle(db)
    .select()
    .from(jobs)
    .where(
      and(
        eq(jobs.project_id, projectId),
        isNull(jobs.deleted_at),
        page.before === null ? undefined : lt(jobs.id, page.before),
        filter.group_id === undefined ? undefined : eq(jobs.group_id, filter.group_id),
        filter.environment_id === undefined ? undefined : eq(jobs.environment_id, filter.environment_id),
        filter.enabled === undefined ? undefined : eq(jobs.enabled, filter.enabled),
        ...filter.tags.map(
          ({ key, value }) =>
            sql`EXISTS (SELECT 1 FROM json_each(${jobs.spec}, '$.tags') t WHERE t.key = ${key} AND t.value = ${value})`,
        ),
        needle === undefined
          ? undefined
          : or(
              sql`instr(lower(${jobs.name}), ${needle}) > 0`,
              sql`instr(${jobs.slug}, ${needle}) > 0`,
              sql`instr(lower(coalesce(${jobs.spec} ->> '$.description', '')), ${needle}) > 0`,
            ),
      ),
    )
    .orderBy(desc(jobs.id))
    .limit(page.limit + 1);
  return rows.map(toJob);
}

/** A version as it was written. */
export type VersionRow = typeof jobVersions.$inferSelect;

export async function selectVersion(
  db: D1Database,
  jobId: string,
  ref: { version: number } | { version_id: string },
): Promise<VersionRow | null> {
  const row = await drizzle(db)
    .select()
    .from(jobVersions)
    .where(
      and(
        eq(jobVersions.job_id, jobId),
        "version" in ref ? eq(jobVersions.version, ref.version) : eq(jobVersions.version_id, ref.version_id),
      ),
    )
    .get();
  return row ?? null;
}

/** Newest first, one row more than `limit` where there are more. `before`: a version number. */
export function listVersions(
  db: D1Database,
  jobId: string,
  page: { limit: number; before: number | null },
): Promise<VersionRow[]> {
  return drizzle(db)
    .select()
    .from(jobVersions)
    .where(and(eq(jobVersions.job_id, jobId), page.before === null ? undefined : lt(jobVersions.version, page.before)))
    .orderBy(desc(jobVersions.version))
    .limit(page.limit + 1);
}

/** What health looks at of a run. */
export interface RecentRunRow {
  status: string;
  started_at: number | null;
  finished_at: number | null;
}

const RECENT_RUNS = `SELECT status, doc ->> '$.started_at' AS started_at, doc ->> '$.finished_at' AS finished_at
  FROM runs WHERE job_id = ?1 AND id >= ?2 ORDER BY id DESC LIMIT ?3`;

/** Versions from a number on, oldest first. */
export function listVersionsFrom(db: D1Database, jobId: string, from: number, limit: number): Promise<VersionRow[]> {
  return drizzle(db)
    .select()
    .from(jobVersions)
    .where(and(eq(jobVersions.job_id, jobId), gte(jobVersions.version, from)))
    .orderBy(asc(jobVersions.version))
    .limit(limit);
}

/** Status and times of a job's newest runs since an id, at most `limit` of them. */
export async function listRecentRuns(
  db: D1Database,
  jobId: string,
  sinceId: string,
  limit: number,
): Promise<RecentRunRow[]> {
  const { results } = await db.prepare(RECENT_RUNS).bind(jobId, sinceId, limit).all<RecentRunRow>();
  return results;
}

/** Statements of one request to the database. */
const JOBS_PER_REQUEST = 50;

/** The same of several jobs: each has an equal share of `limit`, but at least a few. */
export async function listRecentRunsOf(
  db: D1Database,
  jobIds: readonly string[],
  sinceId: string,
  limit: number,
): Promise<RecentRunRow[]> {
  const share = Math.max(10, Math.floor(limit / Math.max(1, jobIds.length)));
  const rows: RecentRunRow[] = [];
  for (let i = 0; i < jobIds.length; i += JOBS_PER_REQUEST) {
    const statements = jobIds
      .slice(i, i + JOBS_PER_REQUEST)
      .map((id) => db.prepare(RECENT_RUNS).bind(id, sinceId, share));
    for (const { results } of await db.batch<RecentRunRow>(statements)) rows.push(...results);
  }
  return rows;
}
