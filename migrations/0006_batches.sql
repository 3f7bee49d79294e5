-- Replays of a selection that go on after their request: where each stands. A row leaves with the end of its work.
CREATE TABLE replay_sweeps (
  -- The new batch operation, which takes the replays in.
  batch_id TEXT PRIMARY KEY NOT NULL,
  -- Whoever carries it on has it until then.
  claimed_until INTEGER NOT NULL,
  -- Which runs, for whom, and how far.
  doc TEXT NOT NULL
) WITHOUT ROWID;

-- The results of finished batch operations, one object each in R2: they outlive the runs.
CREATE TABLE batch_archives (
  batch_id TEXT PRIMARY KEY NOT NULL,
  -- writing, done (whole in R2), purged (and its runs are gone)
  state TEXT NOT NULL,
  doc TEXT NOT NULL
) WITHOUT ROWID;

-- How far the walks over what is old have come, one row. One invocation walks at a time: two would write over each other.
CREATE TABLE retention (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  claimed_until INTEGER NOT NULL,
  doc TEXT NOT NULL
);
