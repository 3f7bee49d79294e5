-- Environments and groups, and the law that a job names only those of its own project.
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

-- A job that is saved while its environment or group is being deleted must not be left with a name of nothing.
CREATE TRIGGER jobs_name_what_is_there_insert BEFORE INSERT ON jobs
WHEN NEW.environment_id IS NOT NULL OR NEW.group_id IS NOT NULL
BEGIN
  SELECT RAISE(ABORT, 'unknown environment_id') WHERE NEW.environment_id IS NOT NULL
    AND NOT EXISTS (SELECT 1 FROM environments WHERE id = NEW.environment_id AND project_id = NEW.project_id);
  SELECT RAISE(ABORT, 'unknown group_id') WHERE NEW.group_id IS NOT NULL
    AND NOT EXISTS (SELECT 1 FROM job_groups WHERE id = NEW.group_id AND project_id = NEW.project_id);
END;

CREATE TRIGGER jobs_name_what_is_there_update BEFORE UPDATE OF environment_id, group_id ON jobs
WHEN NEW.deleted_at IS NULL AND (NEW.environment_id IS NOT NULL OR NEW.group_id IS NOT NULL)
BEGIN
  SELECT RAISE(ABORT, 'unknown environment_id') WHERE NEW.environment_id IS NOT NULL
    AND NOT EXISTS (SELECT 1 FROM environments WHERE id = NEW.environment_id AND project_id = NEW.project_id);
  SELECT RAISE(ABORT, 'unknown group_id') WHERE NEW.group_id IS NOT NULL
    AND NOT EXISTS (SELECT 1 FROM job_groups WHERE id = NEW.group_id AND project_id = NEW.project_id);
END;
