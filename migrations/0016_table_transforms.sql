-- A table of Hydrolix's face has transforms of its own, whose names other tables may have too. NULL: any job of the project may use it.
ALTER TABLE transforms ADD COLUMN job_id TEXT;
DROP INDEX transforms_by_name;
CREATE UNIQUE INDEX transforms_by_name ON transforms (project_id, name, coalesce(job_id, ''));
