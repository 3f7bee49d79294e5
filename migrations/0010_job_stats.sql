-- What each job has done and has to do, written by its coordinator every few seconds: what metrics are read from, waking nobody.
CREATE TABLE job_stats (
  job_id TEXT PRIMARY KEY, at INTEGER NOT NULL, ver INTEGER NOT NULL, waiting INTEGER NOT NULL, executing INTEGER NOT NULL,
  doc TEXT NOT NULL
) WITHOUT ROWID;
