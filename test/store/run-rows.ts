import { env as platform } from "cloudflare:workers";
import { zeroCounts } from "../../src/domain/batch.ts";
import { ledgerId } from "../../src/domain/id.ts";
import type { RunStatus, TriggeredBy } from "../../src/domain/run.ts";
import type { RunDoc } from "../../src/domain/run-doc.ts";
import type { Env } from "../../src/env.ts";

/** Rows of the copy, written by hand. */

export const env = platform as unknown as Env;
export const PROJECT = "01900000-0000-7000-8000-0000000000aa";
export const OTHER = "01900000-0000-7000-8000-0000000000bb";
export const AT = 1_800_000_000_000;

export interface Seed {
  at: number;
  seq: number;
  project?: string;
  job?: number;
  batch?: string | null;
  index?: number | null;
  status?: RunStatus;
  triggered_by?: TriggeredBy;
  key?: string | null;
  tags?: Record<string, string | undefined> | undefined;
  payload?: string | null;
}

export const jobId = (n: number): string => `01900000-0000-7000-8000-${n.toString(16).padStart(12, "0")}`;
export const runId = (s: Seed): string => ledgerId({ at: s.at, seq: s.seq, lane: 0, job: s.job ?? 1 });

export const docOf = (s: Seed): RunDoc => ({
  job_version: 1,
  job_version_id: "ver_0123456789",
  attempt: 1,
  max_attempts: 3,
  result: '{"n":12345678901234567890}',
  created_by: "admin",
  created_at: s.at,
});

/** Rows as the projection writes them, through plain SQL. */
export async function insertRuns(seeds: Seed[]): Promise<void> {
  for (let i = 0; i < seeds.length; i += 1_000) {
    const rows = seeds
      .slice(i, i + 1_000)
      .map((s) => [
        s.project ?? PROJECT,
        runId(s),
        jobId(s.job ?? 1),
        s.batch ?? null,
        s.index ?? null,
        s.status ?? "queued",
        s.triggered_by ?? "api",
        s.key ?? null,
        s.tags ? JSON.stringify(s.tags) : null,
        s.payload === undefined ? "{}" : s.payload,
        JSON.stringify(docOf(s)),
      ]);
    await env.DB.prepare(
      `INSERT INTO runs (project_id, id, job_id, batch_id, batch_index, status, triggered_by, concurrency_key, tags, payload, doc, ver)
       SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->>6, value->>7, value->>8, value->>9, value->>10, 1
       FROM json_each(?) WHERE true ON CONFLICT DO NOTHING`,
    )
      .bind(JSON.stringify(rows))
      .run();
  }
}

export async function insertBatches(rows: { id: string; project: string; job: string; status: string; at: number }[]) {
  await env.DB.prepare(
    `INSERT INTO batches (project_id, id, job_id, status, ver, doc)
     SELECT value->>0, value->>1, value->>2, value->>3, 1, value->>4 FROM json_each(?)`,
  )
    .bind(
      JSON.stringify(
        rows.map((r) => [
          r.project,
          r.id,
          r.job,
          r.status,
          JSON.stringify({ id: r.id, job_id: r.job, status: r.status, created_at: r.at, counts: zeroCounts() }),
        ]),
      ),
    )
    .run();
}
