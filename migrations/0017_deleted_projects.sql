-- Projects that were deleted, with the ids of their jobs: what is left of them is removed bit by bit, in every minute.
CREATE TABLE deleted_projects (
  id TEXT PRIMARY KEY NOT NULL,
  -- JSON list of ids.
  jobs TEXT NOT NULL,
  deleted_at INTEGER NOT NULL
) WITHOUT ROWID;
