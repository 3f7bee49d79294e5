-- What imports need: credentials (sealed), transforms, and the copy of each import that its own object writes behind.
CREATE TABLE credentials (
  id TEXT PRIMARY KEY NOT NULL,
  project_id TEXT NOT NULL,
  name TEXT NOT NULL,
  type TEXT NOT NULL,
  access_key_id TEXT NOT NULL,
  secret_access_key TEXT NOT NULL,
  created_by TEXT NOT NULL,
  created_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX credentials_by_project ON credentials (project_id, id);

CREATE TABLE transforms (
  id TEXT PRIMARY KEY NOT NULL,
  project_id TEXT NOT NULL,
  name TEXT NOT NULL,
  type TEXT NOT NULL,
  settings TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE UNIQUE INDEX transforms_by_name ON transforms (project_id, name);
CREATE INDEX transforms_by_project ON transforms (project_id, id);

-- `is_open`: its own object may still have work, so the sweeper asks it. `next_at`: when its cron repeats it.
CREATE TABLE imports (
  id TEXT PRIMARY KEY NOT NULL,
  project_id TEXT NOT NULL,
  job_id TEXT NOT NULL,
  credential_id TEXT,
  repeat_of TEXT,
  status TEXT NOT NULL,
  is_open INTEGER NOT NULL,
  next_at INTEGER,
  ver INTEGER NOT NULL,
  doc TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX imports_by_project ON imports (project_id, id);
CREATE INDEX imports_by_job ON imports (job_id, id);
CREATE INDEX imports_open ON imports (id) WHERE is_open = 1;
CREATE INDEX imports_due ON imports (next_at) WHERE next_at IS NOT NULL;
CREATE INDEX imports_repeats ON imports (repeat_of) WHERE repeat_of IS NOT NULL;

-- Objects that a job has imported.
CREATE TABLE import_history (
  job_id TEXT NOT NULL,
  origin TEXT NOT NULL,
  key TEXT NOT NULL,
  etag TEXT NOT NULL,
  import_id TEXT NOT NULL,
  PRIMARY KEY (job_id, origin, key, etag)
) WITHOUT ROWID;
