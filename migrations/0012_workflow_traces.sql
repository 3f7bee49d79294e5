-- The trace of the trigger request, or of the completed run that started it: the runs of its steps belong to it.
ALTER TABLE workflow_runs ADD COLUMN trace TEXT;
