/**
 * The ledger's tables: the coordinator's own SQLite. Append only: a released step is never edited, and an object that has
 * slept through several of them takes them all at its next start.
 *
 * Row counts are the bill, so nothing that is written for every run has a secondary index. A run costs one insert and one delete; its place in
 * line is a page of up to 500 sequence numbers.
 */
export const LEDGER_MIGRATIONS: readonly { name: string; sql: string }[] = [
  {
    name: "0001_core",
    sql: `
-- Counters of the lane, one row, written once a transaction.
CREATE TABLE lane (id INTEGER PRIMARY KEY CHECK (id = 1), doc TEXT NOT NULL);
-- The job as the coordinator was last told it.
CREATE TABLE config (id INTEGER PRIMARY KEY CHECK (id = 1), doc TEXT NOT NULL);
CREATE TABLE versions (version INTEGER PRIMARY KEY, doc TEXT NOT NULL);

-- Runs that are not terminal. place: 0 in a page, 1 at the head of its flow, 2 due later.
CREATE TABLE runs (
  seq INTEGER PRIMARY KEY, place INTEGER NOT NULL, at INTEGER NOT NULL, batch INTEGER, idx INTEGER,
  version INTEGER NOT NULL, attempt INTEGER NOT NULL, payload TEXT, doc TEXT
);
-- Payloads and results too big for a row of many: kind 'p' or 'r'.
CREATE TABLE bodies (seq INTEGER NOT NULL, kind TEXT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (seq, kind)) WITHOUT ROWID;

-- Runs of equal (priority, key, batch, limits), and their backlog in pages.
CREATE TABLE flows (id INTEGER PRIMARY KEY, priority INTEGER NOT NULL, ckey TEXT, batch INTEGER, limits TEXT);
CREATE TABLE pages (
  flow INTEGER NOT NULL, ord INTEGER NOT NULL, n INTEGER NOT NULL, seqs TEXT NOT NULL, PRIMARY KEY (flow, ord)
) WITHOUT ROWID;
CREATE TABLE heads (flow INTEGER NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (flow, seq)) WITHOUT ROWID;
CREATE TABLE due (at INTEGER NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (at, seq)) WITHOUT ROWID;
CREATE TABLE expiries (at INTEGER NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (at, seq)) WITHOUT ROWID;

CREATE TABLE leases (nonce TEXT PRIMARY KEY, doc TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE batches (seq INTEGER PRIMARY KEY, doc TEXT NOT NULL);
-- What a batch has taken in, until it is sealed: fingerprints tell a repeat from a conflict.
CREATE TABLE chunks (
  batch INTEGER NOT NULL, first_index INTEGER NOT NULL, n INTEGER NOT NULL, hashes TEXT NOT NULL, outcomes TEXT,
  PRIMARY KEY (batch, first_index)
) WITHOUT ROWID;
CREATE TABLE requests (
  key TEXT PRIMARY KEY, fingerprint TEXT NOT NULL, batch INTEGER NOT NULL, answer TEXT, at INTEGER NOT NULL
) WITHOUT ROWID;

-- Identities seen (contract 4.3), and in what order, so that forgetting them is a walk and not a scan.
CREATE TABLE dedup (identity TEXT PRIMARY KEY, seq INTEGER NOT NULL, at INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE dedup_log (id INTEGER PRIMARY KEY, at INTEGER NOT NULL, seqs TEXT NOT NULL, identities TEXT NOT NULL);

CREATE TABLE outbox (
  id INTEGER PRIMARY KEY, at INTEGER NOT NULL, n INTEGER NOT NULL, lo INTEGER, hi INTEGER, chars INTEGER NOT NULL,
  runs TEXT NOT NULL, notes TEXT NOT NULL
);
-- Starts that rate windows count, a row a transaction; until: the latest of them.
CREATE TABLE stamps (id INTEGER PRIMARY KEY, until INTEGER NOT NULL, doc TEXT NOT NULL);
CREATE TABLE sweeps (id TEXT PRIMARY KEY, doc TEXT NOT NULL) WITHOUT ROWID;
`,
  },
  {
    name: "0002_cron_runs",
    sql: `
-- Runs of the job's cron that are not terminal: what its overlap policy is decided by.
CREATE TABLE cron_runs (seq INTEGER PRIMARY KEY);
`,
  },
  {
    name: "0008_imports",
    sql: `
-- How far each task of an import has come in handing its rows over, and who may go on.
CREATE TABLE import_streams (
  import TEXT NOT NULL, stream INTEGER NOT NULL, fence INTEGER NOT NULL, file INTEGER NOT NULL, unit INTEGER NOT NULL,
  PRIMARY KEY (import, stream)
) WITHOUT ROWID;
`,
  },
  {
    name: "0009_holds",
    sql: `
-- Until when the endpoint asked to be left alone: by partition, or ':job'. They stood in the lane's row before.
CREATE TABLE holds (scope TEXT PRIMARY KEY, until INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO holds SELECT held.key, held.value FROM lane, json_each(lane.doc, '$.holds') held;
UPDATE lane SET doc = json_remove(doc, '$.holds');
`,
  },
  {
    name: "0017_requests_by_age",
    sql: `
-- Requests are forgotten by their age, which every alarm asks for.
CREATE INDEX requests_by_age ON requests (at);
`,
  },
];
