CREATE TABLE workflows (
  id TEXT PRIMARY KEY,
  project_id TEXT NOT NULL,
  slug TEXT NOT NULL,
  name TEXT NOT NULL,
  -- Counts its states; each stays in workflow_revisions, for the runs that go by it.
  revision INTEGER NOT NULL,
  created_by TEXT NOT NULL,
  updated_by TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
);
CREATE UNIQUE INDEX workflows_by_slug ON workflows (project_id, slug);
CREATE INDEX workflows_by_project ON workflows (project_id, id);

CREATE TABLE workflow_revisions (
  workflow_id TEXT NOT NULL,
  revision INTEGER NOT NULL,
  -- JSON list of steps.
  steps TEXT NOT NULL,
  step_count INTEGER NOT NULL,
  PRIMARY KEY (workflow_id, revision)
);

-- Jobs whose runs start a workflow: it must not be deleted under them.
CREATE INDEX jobs_by_on_complete ON jobs (project_id, (spec ->> '$.on_complete_trigger_workflow'))
  WHERE deleted_at IS NULL AND spec ->> '$.on_complete_trigger_workflow' IS NOT NULL;

CREATE TABLE workflow_runs (
  id TEXT PRIMARY KEY,
  project_id TEXT NOT NULL,
  -- Null where a completed run named a workflow that is no more.
  workflow_id TEXT,
  revision INTEGER,
  status TEXT NOT NULL,
  -- How many workflows of its chain have begun, this one counted.
  depth INTEGER NOT NULL,
  -- The completed run that started it, whose payload its own is made from.
  source_run_id TEXT,
  -- JSON of the job's on_complete_payload_mapping.
  mapping TEXT,
  created_by TEXT NOT NULL,
  payload TEXT,
  payload_ref TEXT,
  -- JSON {code, message}
  error TEXT,
  created_at INTEGER NOT NULL,
  started_at INTEGER,
  finished_at INTEGER,
  -- Should it not have moved by then, the sweeper asks after it. Null once nothing is left to do.
  due_at INTEGER
) WITHOUT ROWID;
CREATE INDEX workflow_runs_by_project ON workflow_runs (project_id, id);
CREATE INDEX workflow_runs_by_workflow ON workflow_runs (workflow_id, id);
CREATE INDEX workflow_runs_due ON workflow_runs (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX workflow_runs_alive ON workflow_runs (workflow_id) WHERE due_at IS NOT NULL;

-- Where steps stand that are not pending. `ver` guards every upsert.
CREATE TABLE workflow_run_steps (
  workflow_run_id TEXT NOT NULL,
  step_index INTEGER NOT NULL,
  status TEXT NOT NULL,
  ver INTEGER NOT NULL,
  skip_reason TEXT,
  run_id TEXT,
  due_at INTEGER,
  -- Raw JSON, or the R2 object that holds it.
  result TEXT,
  result_ref TEXT,
  -- Bytes of the result, known or at most.
  result_size INTEGER NOT NULL DEFAULT 0,
  -- JSON {class, message, http_status}
  error TEXT,
  PRIMARY KEY (workflow_run_id, step_index)
) WITHOUT ROWID;
