import { type AttemptRecord, RUN_DOC_DEFAULTS, type RunRecord } from "./run.ts";

/** What stands in columns of its own, where a run's copy is kept. */
export type RunColumns =
  | "project_id"
  | "id"
  | "job_id"
  | "batch_id"
  | "batch_index"
  | "status"
  | "triggered_by"
  | "concurrency_key"
  | "tags"
  | "payload";

/** The rest of a run as it is kept: fields at their default are left out, for there are a million of them. */
export type RunDoc = Partial<Omit<RunRecord, RunColumns | "attempts">> & { attempts?: PackedAttempt[] };

/** `[number, started_at, duration_ms, http_status, job_version, used_fallback, error]`, the last three only where needed. */
type PackedAttempt = [
  number: number,
  startedAt: number | null,
  durationMs: number | null,
  httpStatus: number | null,
  jobVersion: number,
  usedFallback?: 0 | 1,
  error?: AttemptRecord["error"],
];

const DEFAULTS = RUN_DOC_DEFAULTS as Record<string, unknown>;

const isDefault = (name: string, value: unknown): boolean => {
  const usual = DEFAULTS[name];
  if (typeof usual === "object" && usual !== null) return Object.keys(value as object).length === 0;
  return usual === value;
};

export function packRunDoc(rest: Omit<RunRecord, RunColumns>): RunDoc {
  const { attempts, ...fields } = rest;
  const doc: Record<string, unknown> = {};
  for (const name in fields) {
    const value = fields[name as keyof typeof fields];
    if (!isDefault(name, value)) doc[name] = value;
  }
  if (attempts.length > 0) doc.attempts = attempts.map(packAttempt);
  return doc as RunDoc;
}

export function unpackRunDoc(doc: RunDoc): Omit<RunRecord, RunColumns> {
  const { attempts, ...fields } = doc;
  return {
    ...structuredClone(RUN_DOC_DEFAULTS),
    ...fields,
    attempts: (attempts ?? []).map(unpackAttempt),
  } as Omit<RunRecord, RunColumns>;
}

function packAttempt(a: AttemptRecord): PackedAttempt {
  const duration = a.started_at === null || a.finished_at === null ? a.finished_at : a.finished_at - a.started_at;
  const packed: PackedAttempt = [a.number, a.started_at, duration, a.http_status, a.job_version];
  if (a.used_fallback || a.error !== null) packed.push(a.used_fallback ? 1 : 0);
  if (a.error !== null) packed.push(a.error);
  return packed;
}

function unpackAttempt(packed: PackedAttempt): AttemptRecord {
  const [number, startedAt, duration, httpStatus, jobVersion, usedFallback, error] = packed;
  return {
    number,
    started_at: startedAt,
    finished_at: startedAt === null || duration === null ? duration : startedAt + duration,
    http_status: httpStatus,
    error: error ?? null,
    used_fallback: usedFallback === 1,
    job_version: jobVersion,
  };
}
