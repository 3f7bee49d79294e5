import type { JobVersion } from "../domain/job.ts";
import { bill } from "./bill.ts";
import { LEDGER_MIGRATIONS } from "./ledger-schema.ts";
import type { JobConfig } from "./protocol.ts";

/** Where a waiting run stands. */
export const PLACE = { page: 0, head: 1, due: 2 } as const;
export type Place = (typeof PLACE)[keyof typeof PLACE];

/** What a run carries beside its payload; a field at its default is absent. Times are Unix milliseconds. */
export interface RunDoc {
  identity?: string;
  priority?: number;
  ckey?: string;
  limits?: string[];
  idem?: string;
  scheduled?: number;
  ttl?: number;
  /** `ttl` bounds the whole run, not only its start. */
  bounded?: true;
  tags?: Record<string, string>;
  metadata?: Record<string, string>;
  max?: number;
  timeout?: number;
  /** The version was named by the item: no policy applies. */
  pinned?: true;
  /** The version that it was triggered with, where a call has used another one. */
  from?: number;
  replayed?: string;
  /** Who triggered it; absent: as its batch. */
  by?: string;
  via?: string;
  trace?: string;
  /** The workflow run whose step this is, and its depth in its chain. */
  workflow?: [id: string, depth: number];
  /** Progress, once there is some. */
  lost?: number;
  /** The primary failed and the fallback is due. */
  fallback?: true;
  started?: number;
  /** JSON of AttemptRecord[], closed ones. */
  attempts?: unknown[];
  next?: number;
  /** The attempt that is being made, opened by its primary call while the fallback is due. */
  open?: unknown;
}

export interface LedgerRun {
  seq: number;
  place: Place;
  at: number;
  batch: number | null;
  idx: number | null;
  version: number;
  attempt: number;
  /** Null: it stands in `bodies`. */
  payload: string | null;
  doc: RunDoc;
}

/**
 * A text parameter stays below this many UTF-16 units: three bytes each at worst, so below 1.5 MB, where a value may have
 * 2 MB. The limit is not enforced locally.
 */
export const MAX_PARAMETER_CHARS = 480_000;

type Row = Record<string, SqlStorageValue>;

/** The coordinator's own SQLite, statement by statement. It decides nothing. */
export class Ledger {
  private readonly sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.sql = sql;
  }

  /** True once the tables stand: a read of a lane that never was creates nothing. */
  exists(): boolean {
    return this.all("SELECT 1 FROM sqlite_master WHERE name = 'ledger_migrations'").length > 0;
  }

  migrate(upTo = LEDGER_MIGRATIONS.length): void {
    this.run("CREATE TABLE IF NOT EXISTS ledger_migrations (name TEXT PRIMARY KEY) WITHOUT ROWID");
    const applied = new Set(this.all("SELECT name FROM ledger_migrations").map((r) => r.name as string));
    for (const migration of LEDGER_MIGRATIONS.slice(0, upTo)) {
      if (applied.has(migration.name)) continue;
      this.run(migration.sql);
      this.run("INSERT INTO ledger_migrations VALUES (?)", migration.name);
    }
  }

  all(query: string, ...args: SqlStorageValue[]): Row[] {
    return this.sql.exec(query, ...args).toArray();
  }

  run(query: string, ...args: SqlStorageValue[]): void {
    const cursor = this.sql.exec(query, ...args);
    cursor.toArray();
    bill.ledger_rows_written += cursor.rowsWritten;
  }

  // ------------------------------------------------------------------ lane and configuration

  loadLane(): string | null {
    return (this.all("SELECT doc FROM lane")[0]?.doc as string | undefined) ?? null;
  }

  saveLane(doc: string): void {
    this.run("INSERT INTO lane VALUES (1, ?) ON CONFLICT (id) DO UPDATE SET doc = excluded.doc", doc);
  }

  loadConfig(): JobConfig | null {
    const doc = this.all("SELECT doc FROM config")[0]?.doc;
    return doc === undefined ? null : (JSON.parse(doc as string) as JobConfig);
  }

  saveConfig(config: JobConfig): void {
    this.run(
      "INSERT INTO config VALUES (1, ?) ON CONFLICT (id) DO UPDATE SET doc = excluded.doc",
      JSON.stringify(config),
    );
  }

  loadVersion(version: number): JobVersion | null {
    const doc = this.all("SELECT doc FROM versions WHERE version = ?", version)[0]?.doc;
    return doc === undefined ? null : (JSON.parse(doc as string) as JobVersion);
  }

  saveVersion(version: JobVersion): void {
    this.run(
      "INSERT INTO versions VALUES (?, ?) ON CONFLICT (version) DO NOTHING",
      version.version,
      JSON.stringify(version),
    );
  }

  // ------------------------------------------------------------------ runs

  /** Runs whose columns but `idx`, payload and doc are the same: the cheap way, one parameter of payloads. */
  insertUniform(
    firstSeq: number,
    at: number,
    batch: number | null,
    firstIdx: number | null,
    version: number,
    payloads: string[],
  ): void {
    this.run(
      `INSERT INTO runs (seq, place, at, batch, idx, version, attempt, payload, doc)
       SELECT ?2 + key, 0, ?3, ?4, ?5 + key, ?6, 0, value, NULL FROM json_each(?1)`,
      JSON.stringify(payloads),
      firstSeq,
      at,
      batch,
      firstIdx,
      version,
    );
  }

  insertRun(run: LedgerRun): void {
    this.run(
      "INSERT INTO runs (seq, place, at, batch, idx, version, attempt, payload, doc) VALUES (?,?,?,?,?,?,?,?,?)",
      run.seq,
      run.place,
      run.at,
      run.batch,
      run.idx,
      run.version,
      run.attempt,
      run.payload,
      docText(run.doc),
    );
  }

  /** What changes in a waiting run's life: its place, its attempt, its progress. */
  updateRun(run: LedgerRun): void {
    this.run(
      "UPDATE runs SET place = ?, version = ?, attempt = ?, doc = ? WHERE seq = ?",
      run.place,
      run.version,
      run.attempt,
      docText(run.doc),
      run.seq,
    );
  }

  /** In the order asked for; those that are not there are left out. */
  runs(seqs: number[]): LedgerRun[] {
    if (seqs.length === 0) return [];
    return this.all("SELECT r.* FROM json_each(?) j CROSS JOIN runs r ON r.seq = j.value", JSON.stringify(seqs)).map(
      toRun,
    );
  }

  run1(seq: number): LedgerRun | null {
    const row = this.all("SELECT * FROM runs WHERE seq = ?", seq)[0];
    return row === undefined ? null : toRun(row);
  }

  /** Runs from `seq` on in order of creation: how sweeps and the projection walk. */
  runsFrom(seq: number, limit: number, upTo = Number.MAX_SAFE_INTEGER): LedgerRun[] {
    return this.all("SELECT * FROM runs WHERE seq >= ? AND seq <= ? ORDER BY seq LIMIT ?", seq, upTo, limit).map(toRun);
  }

  deleteRuns(seqs: number[]): void {
    if (seqs.length === 0) return;
    this.run("DELETE FROM runs WHERE seq IN (SELECT value FROM json_each(?))", JSON.stringify(seqs));
  }

  /** The creation time of the first run from `seq` on. */
  firstRunAt(seq: number): number | null {
    return (
      (this.all("SELECT at FROM runs WHERE seq >= ? ORDER BY seq LIMIT 1", seq)[0]?.at as number | undefined) ?? null
    );
  }

  // ------------------------------------------------------------------ bodies

  putBody(seq: number, kind: "p" | "r", body: string): void {
    this.run(
      "INSERT INTO bodies VALUES (?, ?, ?) ON CONFLICT (seq, kind) DO UPDATE SET body = excluded.body",
      seq,
      kind,
      body,
    );
  }

  body(seq: number, kind: "p" | "r"): string | null {
    return (
      (this.all("SELECT body FROM bodies WHERE seq = ? AND kind = ?", seq, kind)[0]?.body as string | undefined) ?? null
    );
  }

  deleteBody(seq: number, kind: "p" | "r"): void {
    this.run("DELETE FROM bodies WHERE seq = ? AND kind = ?", seq, kind);
  }

  // ------------------------------------------------------------------ flows and their backlog

  flows(): { id: number; priority: number; ckey: string | null; batch: number | null; limits: string | null }[] {
    return this.all("SELECT * FROM flows") as never;
  }

  insertFlow(id: number, priority: number, ckey: string | null, batch: number | null, limits: string | null): void {
    this.run("INSERT INTO flows VALUES (?, ?, ?, ?, ?)", id, priority, ckey, batch, limits);
  }

  deleteFlow(id: number): void {
    this.run("DELETE FROM flows WHERE id = ?", id);
    this.run("DELETE FROM pages WHERE flow = ?", id);
    this.run("DELETE FROM heads WHERE flow = ?", id);
  }

  pageCounts(): { flow: number; n: number }[] {
    return this.all("SELECT flow, SUM(n) AS n FROM pages GROUP BY flow") as never;
  }

  heads(): { flow: number; seq: number }[] {
    return this.all("SELECT flow, seq FROM heads ORDER BY flow, seq") as never;
  }

  /** Numbers ascending; a run of neighbours is kept as its first and its length. */
  insertPage(flow: number, seqs: number[]): void {
    const first = seqs[0] as number;
    const last = seqs[seqs.length - 1] as number;
    const text = last - first + 1 === seqs.length ? `${first}+${seqs.length}` : JSON.stringify(seqs);
    this.run("INSERT INTO pages VALUES (?, ?, ?, ?)", flow, first, seqs.length, text);
  }

  /** The flow's first page, with those of its runs that still wait in it. */
  firstPage(flow: number): { ord: number; n: number; seqs: number[] } | null {
    const row = this.all("SELECT ord, n, seqs FROM pages WHERE flow = ? ORDER BY ord LIMIT 1", flow)[0];
    if (row === undefined) return null;
    const numbers = pageNumbers(row.seqs as string);
    const seqs = this.all(
      "SELECT r.seq FROM json_each(?) j CROSS JOIN runs r ON r.seq = j.value WHERE r.place = 0",
      JSON.stringify(numbers),
    ).map((r) => r.seq as number);
    return { ord: row.ord as number, n: row.n as number, seqs };
  }

  deletePage(flow: number, ord: number): void {
    this.run("DELETE FROM pages WHERE flow = ? AND ord = ?", flow, ord);
  }

  setPageCount(flow: number, ord: number, n: number): void {
    this.run("UPDATE pages SET n = ? WHERE flow = ? AND ord = ?", n, flow, ord);
  }

  /** One run of the page that holds `seq` is gone; the last one takes the page with it. */
  shrinkPage(flow: number, seq: number): void {
    const page = this.all(
      "SELECT ord, n FROM pages WHERE flow = ? AND ord <= ? ORDER BY ord DESC LIMIT 1",
      flow,
      seq,
    )[0];
    if (page === undefined) return;
    if (page.n === 1) this.deletePage(flow, page.ord as number);
    else this.run("UPDATE pages SET n = n - 1 WHERE flow = ? AND ord = ?", flow, page.ord as number);
  }

  insertHead(flow: number, seq: number): void {
    this.run("INSERT INTO heads VALUES (?, ?) ON CONFLICT DO NOTHING", flow, seq);
  }

  deleteHead(flow: number, seq: number): void {
    this.run("DELETE FROM heads WHERE flow = ? AND seq = ?", flow, seq);
  }

  // ------------------------------------------------------------------ the cron's own runs that live

  insertCronRun(seq: number): void {
    this.run("INSERT INTO cron_runs VALUES (?)", seq);
  }

  forgetCronRun(seq: number): void {
    this.run("DELETE FROM cron_runs WHERE seq = ?", seq);
  }

  /** Oldest first. */
  cronRuns(limit: number): LedgerRun[] {
    return this.all("SELECT r.* FROM cron_runs c CROSS JOIN runs r ON r.seq = c.seq ORDER BY c.seq LIMIT ?", limit).map(
      toRun,
    );
  }

  // ------------------------------------------------------------------ clocks

  insertDue(at: number, seq: number): void {
    this.run("INSERT INTO due VALUES (?, ?) ON CONFLICT DO NOTHING", at, seq);
  }

  deleteDue(at: number, seq: number): void {
    this.run("DELETE FROM due WHERE at = ? AND seq = ?", at, seq);
  }

  dueBefore(now: number, limit: number): { at: number; seq: number }[] {
    return this.all("SELECT at, seq FROM due WHERE at <= ? ORDER BY at, seq LIMIT ?", now, limit) as never;
  }

  firstDue(): number | null {
    return (this.all("SELECT at FROM due ORDER BY at LIMIT 1")[0]?.at as number | undefined) ?? null;
  }

  insertExpiry(at: number, seq: number): void {
    this.run("INSERT INTO expiries VALUES (?, ?) ON CONFLICT DO NOTHING", at, seq);
  }

  deleteExpiry(at: number, seq: number): void {
    this.run("DELETE FROM expiries WHERE at = ? AND seq = ?", at, seq);
  }

  expiriesBefore(now: number, limit: number): { at: number; seq: number }[] {
    return this.all("SELECT at, seq FROM expiries WHERE at <= ? ORDER BY at, seq LIMIT ?", now, limit) as never;
  }

  firstExpiry(): number | null {
    return (this.all("SELECT at FROM expiries ORDER BY at LIMIT 1")[0]?.at as number | undefined) ?? null;
  }
}

const docText = (doc: RunDoc): string | null => {
  const text = JSON.stringify(doc);
  return text === "{}" ? null : text;
};

function toRun(row: Row): LedgerRun {
  return {
    seq: row.seq as number,
    place: row.place as Place,
    at: row.at as number,
    batch: row.batch as number | null,
    idx: row.idx as number | null,
    version: row.version as number,
    attempt: row.attempt as number,
    payload: row.payload as string | null,
    doc: row.doc === null ? {} : (JSON.parse(row.doc as string) as RunDoc),
  };
}

function pageNumbers(text: string): number[] {
  if (text.startsWith("[")) return JSON.parse(text) as number[];
  const [first, n] = text.split("+").map(Number) as [number, number];
  return Array.from({ length: n }, (_, i) => first + i);
}
