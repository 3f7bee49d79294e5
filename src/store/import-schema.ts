import { sql } from "drizzle-orm";
import { index, integer, sqliteTable, text, uniqueIndex } from "drizzle-orm/sqlite-core";
import type { TransformSettings } from "../domain/transform.ts";

/** What imports keep in D1. */

export const credentials = sqliteTable(
  "credentials",
  {
    id: text().primaryKey(),
    project_id: text().notNull(),
    name: text().notNull(),
    type: text().$type<"aws s3">().notNull(),
    /** Sealed. */
    access_key_id: text().notNull(),
    secret_access_key: text().notNull(),
    created_by: text().notNull(),
    created_at: integer().notNull(),
    description: text(),
  },
  (t) => [index("credentials_by_project").on(t.project_id, t.id)],
);

export const transforms = sqliteTable(
  "transforms",
  {
    id: text().primaryKey(),
    project_id: text().notNull(),
    name: text().notNull(),
    type: text().$type<"json" | "csv">().notNull(),
    settings: text({ mode: "json" }).$type<TransformSettings>().notNull(),
    created_at: integer().notNull(),
    updated_at: integer().notNull(),
    description: text(),
    /** At most one of those that belong to the same job, or to none. */
    is_default: integer({ mode: "boolean" }).notNull().default(false),
    /** The only job that uses it. Null: any job of the project may. */
    job_id: text(),
  },
  (t) => [
    uniqueIndex("transforms_by_name").on(t.project_id, t.name, sql`coalesce(${t.job_id}, '')`),
    index("transforms_by_project").on(t.project_id, t.id),
  ],
);
