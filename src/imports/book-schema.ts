/** Tables of an import's own SQLite. Append only. */
export const BOOK_MIGRATIONS: readonly { name: string; sql: string }[] = [
  {
    name: "0001_core",
    sql: `
CREATE TABLE state (id INTEGER PRIMARY KEY CHECK (id = 1), doc TEXT NOT NULL);
-- status: 0 pending, 1 done, 2 failed, 3 skipped. parts: ranges that are not done. progress: where a failed one was left.
CREATE TABLE files (
  number INTEGER PRIMARY KEY, key TEXT NOT NULL, etag TEXT NOT NULL, size INTEGER NOT NULL, status INTEGER NOT NULL,
  task INTEGER, parts INTEGER NOT NULL, read INTEGER NOT NULL, delivered INTEGER NOT NULL, rejected INTEGER NOT NULL,
  error TEXT, progress TEXT, floor INTEGER NOT NULL
);
CREATE TABLE tasks (
  id INTEGER PRIMARY KEY, kind TEXT NOT NULL, state TEXT NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
  range_from INTEGER, range_to INTEGER, stream INTEGER, previous INTEGER, fence INTEGER NOT NULL, boot TEXT,
  deadline INTEGER NOT NULL, lost INTEGER NOT NULL, failed INTEGER NOT NULL, current TEXT, lines INTEGER
);
CREATE INDEX tasks_by_state ON tasks (state, id);
CREATE TABLE rejects (number INTEGER PRIMARY KEY, task INTEGER NOT NULL, key TEXT NOT NULL UNIQUE, n INTEGER NOT NULL);
CREATE TABLE sample (number INTEGER PRIMARY KEY, text TEXT NOT NULL);
`,
  },
];
