import { sql } from "drizzle-orm";
import { index, integer, primaryKey, sqliteTable, text, uniqueIndex } from "drizzle-orm/sqlite-core";
import type { JobSpec, Sealed } from "../domain/job.ts";
import type { Scope } from "../domain/scope.ts";

/** What D1 owns, as `migrations/` makes it. The copies that the coordinators write stand in `run-schema`. */

export const projects = sqliteTable("projects", {
  id: text().primaryKey(),
  name: text().notNull(),
  slug: text().notNull().unique(),
  max_concurrent_invocations: integer().notNull().default(1000),
  created_at: integer().notNull(),
});

export const apiKeys = sqliteTable(
  "api_keys",
  {
    id: text().primaryKey(),
    project_id: text()
      .notNull()
      .references(() => projects.id),
    name: text().notNull(),
    key_hash: text().notNull().unique(),
    key_prefix: text().notNull(),
    scopes: text({ mode: "json" }).$type<Scope[]>().notNull(),
    expires_at: integer(),
    revoked_at: integer(),
    created_by: text().notNull(),
    created_at: integer().notNull(),
  },
  (t) => [index("api_keys_by_project").on(t.project_id, t.id)],
);

export const jobs = sqliteTable(
  "jobs",
  {
    number: integer().primaryKey({ autoIncrement: true }),
    id: text().notNull().unique(),
    project_id: text()
      .notNull()
      .references(() => projects.id),
    slug: text().notNull(),
    name: text().notNull(),
    group_id: text(),
    environment_id: text(),
    enabled: integer({ mode: "boolean" }).notNull(),
    paused: integer({ mode: "boolean" }).notNull().default(false),
    revision: integer().notNull(),
    told_revision: integer().notNull().default(0),
    version: integer().notNull(),
    version_id: text().notNull(),
    spec: text({ mode: "json" }).$type<JobSpec>().notNull(),
    created_by: text().notNull(),
    updated_by: text().notNull(),
    created_at: integer().notNull(),
    updated_at: integer().notNull(),
    deleted_at: integer(),
    cron_since: integer(),
    next_cron_at: integer(),
  },
  (t) => [
    uniqueIndex("jobs_by_slug").on(t.project_id, t.slug).where(sql`deleted_at IS NULL`),
    index("jobs_by_project").on(t.project_id, t.id),
    index("jobs_by_next_cron").on(t.next_cron_at).where(sql`next_cron_at IS NOT NULL AND paused = 0 AND enabled = 1`),
    index("jobs_untold").on(t.number).where(sql`told_revision < revision`),
    index("jobs_by_environment").on(t.environment_id, t.id).where(sql`environment_id IS NOT NULL`),
    index("jobs_by_group").on(t.group_id, t.id).where(sql`group_id IS NOT NULL`),
  ],
);

export const environments = sqliteTable(
  "environments",
  {
    id: text().primaryKey(),
    project_id: text()
      .notNull()
      .references(() => projects.id),
    name: text().notNull(),
    slug: text().notNull(),
    /** By name. */
    variables: text({ mode: "json" }).$type<Record<string, Sealed>>().notNull(),
    revision: integer().notNull(),
    created_at: integer().notNull(),
    updated_at: integer().notNull(),
  },
  (t) => [
    uniqueIndex("environments_by_slug").on(t.project_id, t.slug),
    index("environments_by_project").on(t.project_id, t.id),
  ],
);

export const jobGroups = sqliteTable(
  "job_groups",
  {
    id: text().primaryKey(),
    project_id: text()
      .notNull()
      .references(() => projects.id),
    name: text().notNull(),
    slug: text().notNull(),
    description: text(),
    created_at: integer().notNull(),
    updated_at: integer().notNull(),
  },
  (t) => [
    uniqueIndex("job_groups_by_slug").on(t.project_id, t.slug),
    index("job_groups_by_project").on(t.project_id, t.id),
  ],
);

export const jobVersions = sqliteTable(
  "job_versions",
  {
    job_id: text().notNull(),
    version: integer().notNull(),
    version_id: text().notNull(),
    spec: text({ mode: "json" }).$type<JobSpec>().notNull(),
    created_by: text().notNull(),
    created_at: integer().notNull(),
  },
  (t) => [primaryKey({ columns: [t.job_id, t.version] }), uniqueIndex("job_versions_by_id").on(t.version_id)],
);

export const idempotentRequests = sqliteTable(
  "idempotent_requests",
  {
    project_id: text().notNull(),
    route: text().notNull(),
    key: text().notNull(),
    fingerprint: text().notNull(),
    /** Null while the first request is still running. */
    status: integer(),
    /** The answer; while the request is running, the id of what it will create. */
    body: text(),
    created_at: integer().notNull(),
  },
  (t) => [
    primaryKey({ columns: [t.project_id, t.route, t.key] }),
    index("idempotent_requests_by_age").on(t.created_at),
  ],
);
