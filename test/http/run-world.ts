import { createExecutionContext } from "cloudflare:test";
import { env as platform } from "cloudflare:workers";
import { expect, vi } from "vitest";
import { coordinatorOf } from "../../src/coordinator/client.ts";
import type { AcceptItem, RejectedItem } from "../../src/coordinator/protocol.ts";
import { zeroCounts } from "../../src/domain/batch.ts";
import { ledgerId } from "../../src/domain/id.ts";
import type { Job, JobSpec } from "../../src/domain/job.ts";
import type { RunStatus } from "../../src/domain/run.ts";
import { packRunDoc } from "../../src/domain/run-doc.ts";
import type { Env } from "../../src/env.ts";
import { createApp } from "../../src/http/app.ts";
import { configOf } from "../../src/operations/jobs.ts";
import { SPEC as PLAIN_SPEC } from "../fixtures/job-spec.ts";

/** A project with a key, jobs that are paused so that nothing moves by itself, and requests to the real face. */

export const env = platform as unknown as Env;
export const ADMIN = "test-admin-token-0123456789abcdef0123456789";
const app = createApp();

export interface Answer<B = Record<string, unknown>> {
  status: number;
  body: B;
  text: string;
  headers: Headers;
}

export type ErrorBody = { error: { code: string; message: string; details: { path: string; message: string }[] } };
type AnyBody = Record<string, never> & ErrorBody;

/** A request with a JSON body, or with a body as it stands where that is a string. */
export async function call<B = AnyBody>(
  key: string | null,
  method: string,
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<Answer<B>> {
  const request = new Request(`http://sluice.test${path}`, {
    method,
    headers: {
      ...(key === null ? {} : { Authorization: `Bearer ${key}` }),
      ...(body === undefined ? {} : { "Content-Type": "application/json" }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
  });
  const response = await app.fetch(request, env, createExecutionContext());
  const text = await response.text();
  return { status: response.status, body: JSON.parse(text) as B, text, headers: response.headers };
}

export interface RunBody {
  id: string;
  status: string;
  payload: unknown;
  payload_hash: string | null;
  result: unknown;
  tags: Record<string, string>;
  metadata: Record<string, string>;
  priority: number;
  concurrency_key: string | null;
  triggered_by: string;
  created_by: string;
  replayed_run_id: string | null;
  batch_id: string | null;
  max_attempts: number;
  attempts: { duration_ms: number | null }[];
}
/** A page of a list. */
export interface List<T> {
  data: T[];
  next_cursor: string | null;
  has_more: boolean;
  as_of: string;
}
/** What a bulk request did to a run. */
export interface Result {
  id: string;
  outcome: string;
  status: string | null;
  new_run_id: string | null;
  error: { code: string; message: string } | null;
}

/** Status and code of an error. */
export const code = (answer: Answer<unknown>) => [answer.status, (answer.body as ErrorBody).error.code];
/** The fields that an error names. */
export const paths = (answer: Answer<unknown>) => (answer.body as ErrorBody).error.details.map((d) => d.path);

/** Asks again until the copy has it. */
export const until = <T>(ask: () => Promise<T>, done: (answer: T) => boolean): Promise<T> =>
  vi.waitFor(
    async () => {
      const answer = await ask();
      expect(done(answer)).toBe(true);
      return answer;
    },
    { timeout: 10_000, interval: 20 },
  );

let made = 0;

/** A project of its own and a key with these scopes. */
export async function newProject(scopes = ["runs:read", "runs:write"]): Promise<{ id: string; key: string }> {
  const name = `p${++made}`;
  const project = await call<{ id: string }>(ADMIN, "POST", "/v1/projects", { name, slug: name });
  return { id: project.body.id, key: await newKey(project.body.id, scopes) };
}

export async function newKey(projectId: string, scopes: string[]): Promise<string> {
  const made = await call<{ key: string }>(ADMIN, "POST", "/v1/api-keys", { project_id: projectId, name: "k", scopes });
  return made.body.key;
}

const SPEC: JobSpec = {
  ...PLAIN_SPEC,
  name: "Job",
  endpoint_url: "http://127.0.0.1:9/",
  timeout_secs: 30,
  retry_max_secs: 60,
  max_concurrency: null,
};

/** A paused job, in D1 and at its coordinator. */
export async function newJob(projectId: string, spec: Partial<JobSpec> = {}): Promise<Job> {
  const id = `01900000-0000-7000-8000-${(++made).toString(16).padStart(12, "0")}`;
  const whole = { ...SPEC, slug: `job-${made}`, ...spec };
  const versionId = `ver_${String(made).padStart(10, "0")}`;
  const row = await env.DB.prepare(
    `INSERT INTO jobs (id, project_id, slug, name, enabled, paused, revision, told_revision, version, version_id, spec, created_by, updated_by, created_at, updated_at)
     VALUES (?1, ?2, ?3, 'Job', ?4, 1, 1, 1, 1, ?5, ?6, 'admin', 'admin', 0, 0) RETURNING number`,
  )
    .bind(id, projectId, whole.slug, whole.enabled ? 1 : 0, versionId, JSON.stringify(whole))
    .first<{ number: number }>();
  const job: Job = {
    id,
    number: row?.number ?? 0,
    project_id: projectId,
    revision: 1,
    paused: true,
    current: { version: 1, version_id: versionId, spec: whole },
    created_by: "admin",
    updated_by: "admin",
    created_at: 0,
    updated_at: 0,
    deleted_at: null,
  };
  await coordinatorOf(env, id).configure(configOf(job));
  return job;
}

const FRAME = { revision: 1, triggered_by: "api" as const, created_by: "admin", traceparent: null };

/** Runs at the coordinator, waiting; their ids. */
export async function accept(job: Job, items: AcceptItem[]): Promise<string[]> {
  const answer = await coordinatorOf(env, job.id).accept({ ...FRAME, items });
  if (answer.kind !== "accepted") throw new Error(answer.kind);
  return answer.outcomes.map((o) =>
    o.o === "created" ? ledgerId({ at: o.at, seq: o.seq, lane: 0, job: job.number }) : "",
  );
}

/** A batch at the coordinator; its id. */
export async function newBatch(job: Job, items: (AcceptItem | RejectedItem)[], seal = true): Promise<string> {
  const coordinator = coordinatorOf(env, job.id);
  const opened = await coordinator.openBatch({
    ...FRAME,
    triggered_by: "bulk",
    options: { max_concurrency: null, failure_threshold: null, metadata: {}, webhook_url: null, webhook_secret: null },
    request: null,
  });
  if (opened.kind !== "opened") throw new Error(opened.kind);
  const { batch_id, epoch } = opened;
  const hashes = items.map((_, i) => `h${i}`);
  const taken = await coordinator.accept({
    ...FRAME,
    triggered_by: "bulk",
    batch: { id: batch_id, epoch, first_index: 0, hashes },
    items,
  });
  if (taken.kind !== "accepted") throw new Error(taken.kind);
  await coordinator.closeBatch({ batch_id, epoch, seal, answer: null });
  return batch_id;
}

export interface CopiedRun {
  seq: number;
  status: RunStatus;
  at?: number;
  batch?: string;
  index?: number;
  payload?: string | null;
  payload_ref?: string;
  result?: string | null;
  result_ref?: string;
  tags?: Record<string, string>;
}

/** Runs that only the copy knows, as the projection writes them; their ids. */
export async function copyRuns(job: Job, runs: CopiedRun[]): Promise<string[]> {
  const rows = runs.map((r) => {
    const at = r.at ?? 1_800_000_000_000;
    const doc = {
      job_version: 1,
      job_version_id: job.current.version_id,
      waiting_for: null,
      earliest_start_at: null,
      attempt: 1,
      max_attempts: 3,
      payload_ref: r.payload_ref ?? null,
      result: r.result ?? null,
      result_ref: r.result_ref ?? null,
      result_truncated: false,
      error: r.status === "failed" ? { class: "server" as const, message: "500", http_status: 500 } : null,
      metadata: { m: "1" },
      priority: 2,
      rate_limit_keys: null,
      idempotency_key: null,
      created_by: "admin",
      scheduled_at: null,
      next_attempt_at: null,
      created_at: at,
      started_at: at + 1,
      finished_at: at + 9,
      expires_at: null,
      replayed_run_id: null,
      used_fallback: false,
      attempts: [
        {
          number: 1,
          started_at: at + 1,
          finished_at: at + 9,
          http_status: 500,
          error: null,
          used_fallback: false,
          job_version: 1,
        },
      ],
    };
    const id = ledgerId({ at, seq: r.seq, lane: 0, job: job.number });
    const tags = r.tags ? JSON.stringify(r.tags) : null;
    const payload = r.payload === undefined ? '{"n":1}' : r.payload;
    return [
      job.project_id,
      id,
      job.id,
      r.batch ?? null,
      r.index ?? null,
      r.status,
      tags,
      payload,
      JSON.stringify(packRunDoc(doc)),
    ];
  });
  await env.DB.prepare(
    `INSERT INTO runs (project_id, id, job_id, batch_id, batch_index, status, ver, triggered_by, tags, payload, doc)
     SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, 1, 'bulk', value->>6, value->>7, value->>8 FROM json_each(?)`,
  )
    .bind(JSON.stringify(rows))
    .run();
  return rows.map((row) => row[1] as string);
}

/** A finished batch that only the copy knows; its id. */
export async function copyBatch(of: Job, seq: number, over: Record<string, unknown> = {}): Promise<string> {
  const at = 1_700_000_000_000 + seq * 1000;
  const id = ledgerId({ at, seq, lane: 0, job: of.number });
  const doc = {
    id,
    project_id: of.project_id,
    job_id: of.id,
    item_count: 4,
    created_count: 4,
    duplicate_count: 0,
    rejected_count: 0,
    created_by: "admin",
    created_at: at,
    accepted_at: at,
    started_at: at,
    finished_at: at + 5,
    status: "partially_failed",
    counts: { ...zeroCounts(), completed: 1, failed: 1, expired: 1, canceled: 1 },
    max_concurrency: null,
    failure_threshold: null,
    metadata: {},
    throughput_per_sec: 800,
    eta_at: null,
    retry_of: null,
    ver: 7,
    ...over,
  };
  await env.DB.prepare("INSERT INTO batches (project_id, id, job_id, status, ver, doc) VALUES (?, ?, ?, ?, ?, ?)")
    .bind(of.project_id, id, of.id, doc.status, doc.ver, JSON.stringify(doc))
    .run();
  return id;
}
