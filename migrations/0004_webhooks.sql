-- What is to be told to the outside, and what became of it. Inserted with the run or batch that it speaks of.
CREATE TABLE webhook_deliveries (
  project_id TEXT NOT NULL,
  -- A UUIDv7 of the end's time; also the `webhook-id` of every try.
  id TEXT NOT NULL,
  job_id TEXT NOT NULL,
  type TEXT NOT NULL,
  run_id TEXT,
  batch_id TEXT,
  url TEXT NOT NULL,
  -- Sealed for the job.
  secret TEXT,
  status TEXT NOT NULL DEFAULT 'pending',
  -- Tries of this round; a retry by hand begins another.
  tries INTEGER NOT NULL DEFAULT 0,
  round INTEGER NOT NULL DEFAULT 1,
  next_attempt_at INTEGER,
  -- JSON list of {at, http_status, error}.
  attempts TEXT NOT NULL DEFAULT '[]',
  created_at INTEGER NOT NULL,
  PRIMARY KEY (project_id, id)
) WITHOUT ROWID;
CREATE INDEX webhook_deliveries_by_run ON webhook_deliveries (run_id, id) WHERE run_id IS NOT NULL;
CREATE INDEX webhook_deliveries_by_batch ON webhook_deliveries (batch_id, id) WHERE batch_id IS NOT NULL;
CREATE INDEX webhook_deliveries_dead ON webhook_deliveries (project_id, id) WHERE status = 'dead';
-- What waits, by receiver: one that is down must not stand before the others.
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (project_id, url, next_attempt_at) WHERE status = 'pending';

-- Receivers that are being called, or were: one consumer at a time calls one of them.
CREATE TABLE webhook_receivers (
  project_id TEXT NOT NULL,
  url TEXT NOT NULL,
  holder TEXT,
  held_until INTEGER NOT NULL DEFAULT 0,
  -- A ring is on its way for this time.
  rings_at INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (project_id, url)
) WITHOUT ROWID;
