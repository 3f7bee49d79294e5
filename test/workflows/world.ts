import { inject, vi } from "vitest";
import { type Answer, ask, bindings, newJob, newProject } from "../http/ask.ts";

/** A project whose jobs call the endpoint zoo, and workflows of them, through the real face, objects, queues and instances. */

export const env = bindings;
export const zoo = (path: string): string => inject("endpointUrl") + path;

export interface World {
  id: string;
  key: string;
  /** Makes a job that calls a path of the zoo; its slug. */
  job(path: string, more?: Record<string, unknown>): Promise<string>;
  workflow(steps: Step[], more?: Record<string, unknown>): Promise<Answer["body"]>;
  start(workflow: string, payload?: unknown, idempotencyKey?: string): Promise<Answer["body"]>;
  get(path: string): Promise<Answer["body"]>;
  post(path: string, body?: unknown): Promise<Answer>;
  /** The workflow run, once it looks like this. */
  runOnce(id: string, looks: (run: Run) => boolean): Promise<Run>;
  ended(id: string): Promise<Run>;
}

export type Step = { step_ref: string; job: string } & Record<string, unknown>;

export interface Run {
  id: string;
  workflow_id: string | null;
  status: string;
  payload: unknown;
  error: { code: string; message: string } | null;
  source_run_id: string | null;
  depth: number;
  finished_at: string | null;
  steps: {
    step_ref: string;
    status: string;
    skip_reason: string | null;
    run_id: string | null;
    result: unknown;
    error: { class: string; message: string; http_status: number | null } | null;
  }[];
}

let made = 0;

export async function newWorld(): Promise<World> {
  const { id, key } = await newProject();
  const get = async (path: string) => (await ask("GET", path, { key })).body;
  const post = (path: string, body: unknown = {}) => ask("POST", path, { key, body });
  const runOnce = (runId: string, looks: (run: Run) => boolean): Promise<Run> =>
    vi.waitFor(
      async () => {
        const run: Run = await get(`/v1/workflow-runs/${runId}`);
        if (!looks(run)) throw new Error(JSON.stringify(run));
        return run;
      },
      { timeout: 25_000, interval: 50 },
    );
  return {
    ...{ id, key, get, post, runOnce },
    job: async (path, more = {}) =>
      (await newJob(key, { slug: `job-${++made}`, endpoint_url: zoo(path), max_attempts: 1, ...more })).slug,
    workflow: async (steps, more = {}) => {
      const answer = await post("/v1/workflows", { name: `W${++made}`, steps, ...more });
      if (answer.status !== 201) throw new Error(JSON.stringify(answer.body));
      return answer.body;
    },
    start: async (workflow, payload, idempotencyKey) => {
      const answer = await ask("POST", `/v1/workflows/${workflow}/trigger`, {
        key,
        body: payload === undefined ? {} : { payload },
        headers: idempotencyKey === undefined ? {} : { "Idempotency-Key": idempotencyKey },
      });
      if (answer.status !== 201) throw new Error(JSON.stringify(answer.body));
      return answer.body;
    },
    ended: (runId) => runOnce(runId, (run) => run.finished_at !== null),
  };
}

/** Each step as `ref:status` or `ref:status(reason)`. */
export const shape = (run: Run): string[] =>
  run.steps.map((s) => `${s.step_ref}:${s.status}${s.skip_reason === null ? "" : `(${s.skip_reason})`}`);

/** The calls that the zoo had for some runs, by run. */
export async function callsOf(runIds: (string | null)[]): Promise<number[]> {
  const stats = (await (await fetch(zoo("/__stats"))).json()) as { runs: Record<string, number> };
  return runIds.map((id) => (id === null ? 0 : (stats.runs[id] ?? 0)));
}
