-- What clients of Hydrolix's face say of an import beside the import itself: its name there is unique in the project.
CREATE TABLE ingest_jobs (
  import_id TEXT PRIMARY KEY NOT NULL,
  project_id TEXT NOT NULL,
  name TEXT NOT NULL,
  description TEXT,
  table_name TEXT NOT NULL,
  claimed_at INTEGER NOT NULL,
  modified_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE UNIQUE INDEX ingest_jobs_by_name ON ingest_jobs (project_id, name);
CREATE INDEX ingest_jobs_by_project ON ingest_jobs (project_id, import_id);
