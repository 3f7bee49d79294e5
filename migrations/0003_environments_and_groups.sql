-- Environments and groups: D1 is their owner.
CREATE TABLE environments (
  id TEXT PRIMARY KEY NOT NULL,
  project_id TEXT NOT NULL REFERENCES projects(id),
  name TEXT NOT NULL,
  slug TEXT NOT NULL,
  -- JSON: name to sealed value.
  variables TEXT NOT NULL,
  -- Counts every change: a consumer that holds this one need open nothing again.
  revision INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE UNIQUE INDEX environments_by_slug ON environments (project_id, slug);
CREATE INDEX environments_by_project ON environments (project_id, id);

CREATE TABLE job_groups (
  id TEXT PRIMARY KEY NOT NULL,
  project_id TEXT NOT NULL REFERENCES projects(id),
  name TEXT NOT NULL,
  slug TEXT NOT NULL,
  description TEXT,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE UNIQUE INDEX job_groups_by_slug ON job_groups (project_id, slug);
CREATE INDEX job_groups_by_project ON job_groups (project_id, id);

CREATE INDEX jobs_by_environment ON jobs (environment_id, id) WHERE environment_id IS NOT NULL;
CREATE INDEX jobs_by_group ON jobs (group_id, id) WHERE group_id IS NOT NULL;
