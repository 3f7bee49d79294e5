-- Projects, keys, jobs and versions: D1 is their owner.
CREATE TABLE projects (
  id TEXT PRIMARY KEY NOT NULL,
  name TEXT NOT NULL,
  slug TEXT NOT NULL UNIQUE,
  max_concurrent_invocations INTEGER NOT NULL DEFAULT 1000,
  created_at INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE api_keys (
  id TEXT PRIMARY KEY NOT NULL,
  project_id TEXT NOT NULL REFERENCES projects(id),
  name TEXT NOT NULL,
  key_hash TEXT NOT NULL UNIQUE,
  key_prefix TEXT NOT NULL,
  scopes TEXT NOT NULL,
  expires_at INTEGER,
  revoked_at INTEGER,
  created_by TEXT NOT NULL,
  created_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX api_keys_by_project ON api_keys (project_id, id);

-- The rowid is the job's number: it stands inside the ids of its runs and is never reused.
CREATE TABLE jobs (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  project_id TEXT NOT NULL REFERENCES projects(id),
  slug TEXT NOT NULL,
  name TEXT NOT NULL,
  group_id TEXT,
  environment_id TEXT,
  enabled INTEGER NOT NULL,
  paused INTEGER NOT NULL DEFAULT 0,
  revision INTEGER NOT NULL,
  -- The newest revision the coordinator has acknowledged; behind `revision` the sweeper sends it again.
  told_revision INTEGER NOT NULL DEFAULT 0,
  version INTEGER NOT NULL,
  version_id TEXT NOT NULL,
  spec TEXT NOT NULL,
  created_by TEXT NOT NULL,
  updated_by TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  deleted_at INTEGER
);
CREATE UNIQUE INDEX jobs_by_slug ON jobs (project_id, slug) WHERE deleted_at IS NULL;
CREATE INDEX jobs_by_project ON jobs (project_id, id);
CREATE INDEX jobs_untold ON jobs (number) WHERE told_revision < revision;

CREATE TABLE job_versions (
  job_id TEXT NOT NULL,
  version INTEGER NOT NULL,
  version_id TEXT NOT NULL,
  spec TEXT NOT NULL,
  created_by TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  PRIMARY KEY (job_id, version)
) WITHOUT ROWID;
CREATE UNIQUE INDEX job_versions_by_id ON job_versions (version_id);

-- Answers of POST requests with an Idempotency-Key (triggers keep theirs in the coordinator).
CREATE TABLE idempotent_requests (
  project_id TEXT NOT NULL,
  route TEXT NOT NULL,
  key TEXT NOT NULL,
  fingerprint TEXT NOT NULL,
  status INTEGER,
  body TEXT,
  created_at INTEGER NOT NULL,
  PRIMARY KEY (project_id, route, key)
) WITHOUT ROWID;
CREATE INDEX idempotent_requests_by_age ON idempotent_requests (created_at);

-- The copy of what the coordinators decide, written behind. `ver` guards every upsert.
CREATE TABLE runs (
  project_id TEXT NOT NULL,
  id TEXT NOT NULL,
  job_id TEXT NOT NULL,
  batch_id TEXT,
  batch_index INTEGER,
  status TEXT NOT NULL,
  ver INTEGER NOT NULL,
  triggered_by TEXT NOT NULL,
  concurrency_key TEXT,
  tags TEXT,
  payload TEXT,
  doc TEXT NOT NULL,
  PRIMARY KEY (project_id, id)
) WITHOUT ROWID;
CREATE INDEX runs_by_job ON runs (job_id, id);
CREATE INDEX runs_by_batch ON runs (batch_id, batch_index) WHERE batch_id IS NOT NULL;
CREATE INDEX runs_dead ON runs (project_id, id) WHERE status IN ('failed', 'timed_out', 'crashed');

CREATE TABLE batches (
  project_id TEXT NOT NULL,
  id TEXT NOT NULL,
  job_id TEXT NOT NULL,
  status TEXT NOT NULL,
  ver INTEGER NOT NULL,
  doc TEXT NOT NULL,
  PRIMARY KEY (project_id, id)
) WITHOUT ROWID;
CREATE INDEX batches_by_job ON batches (job_id, id);

-- Items that made no run: duplicates and rejects.
CREATE TABLE batch_items (
  batch_id TEXT NOT NULL,
  item_index INTEGER NOT NULL,
  outcome TEXT NOT NULL,
  run_id TEXT,
  error TEXT,
  PRIMARY KEY (batch_id, item_index)
) WITHOUT ROWID;

-- Coordinators that may have work: the sweeper asks each of them every minute.
CREATE TABLE busy_lanes (
  job_id TEXT NOT NULL,
  lane INTEGER NOT NULL,
  since INTEGER NOT NULL,
  PRIMARY KEY (job_id, lane)
) WITHOUT ROWID;
