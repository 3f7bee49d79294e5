-- When a job's cron is due. `cron_since`: its earliest firing that has not been decided; `next_cron_at`: when it may run, then
-- or when the execution window opens after it. One indexed query finds what is due, however many jobs have a cron.
ALTER TABLE jobs ADD COLUMN cron_since INTEGER;
ALTER TABLE jobs ADD COLUMN next_cron_at INTEGER;
CREATE INDEX jobs_by_next_cron ON jobs (next_cron_at) WHERE next_cron_at IS NOT NULL AND paused = 0 AND enabled = 1;
-- Jobs saved before: the next minute looks at them, finds nothing missed since now, and sets their clocks.
UPDATE jobs SET cron_since = unixepoch() * 1000, next_cron_at = unixepoch() * 1000
WHERE deleted_at IS NULL AND spec ->> '$.cron' IS NOT NULL;
