import { inject } from "vitest";
import { type Answer, ask, newJob, newProject } from "../ask.ts";

/** A project seen through Kernel's face, with actions that call the zoo. */

export const ZOO = inject("endpointUrl");
export const ABSENT = "019c2f6e-7d80-7a3b-9c55-0000000002a1";

export interface KernelWorld {
  id: string;
  /** The app's name. */
  app: string;
  key: string;
  /** An action whose job is paused, so that nothing of it moves; `path` of the zoo and the job's own fields make others. */
  action(slug: string, path?: string, fields?: Record<string, unknown>): Promise<{ id: string; version_id: string }>;
  send(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Answer>;
  invoke(action: string, fields?: Record<string, unknown>, headers?: Record<string, string>): Promise<Answer>;
  batch(action: string, payloads: unknown, fields?: object, headers?: Record<string, string>): Promise<Answer>;
  /** A batch job, once it has ended. */
  endOf(id: string): Promise<Answer["body"]>;
}

export async function newKernelWorld(): Promise<KernelWorld> {
  const project = await newProject();
  const { id, key, slug: app } = project;
  const send = (method: string, path: string, body?: unknown, headers?: Record<string, string>) =>
    ask(method, `/kernel${path}`, { key, body, headers });
  return {
    id,
    app,
    key,
    send,
    async action(slug, path, fields = {}) {
      const url = path === undefined ? `${ZOO}/ok` : `${ZOO}${path}`;
      const job = await newJob(key, { name: slug, slug, endpoint_url: url, retry_base_secs: 0.05, ...fields });
      if (path === undefined) await ask("POST", `/v1/jobs/${job.id}/pause`, { key });
      return job;
    },
    invoke: (action_name, fields = {}, headers) =>
      send("POST", "/invocations", { app_name: app, action_name, version: "latest", ...fields }, headers),
    batch: (action_name, payloads, fields = {}, headers) =>
      send("POST", "/invocations/batch", { app_name: app, action_name, payloads, ...fields }, headers),
    async endOf(batchId) {
      for (;;) {
        const { body } = await send("GET", `/batch_jobs/${batchId}`);
        if (body.finished_at !== null) return body;
      }
    },
  };
}

/** Code, and what is named, of an error answer in this face's shape. */
export const refusal = (answer: Answer): [number, string, string[]] => {
  const { code, message, details, ...others } = answer.body;
  if (typeof message !== "string" || Object.keys(others).length > 0) throw new Error(JSON.stringify(answer.body));
  return [answer.status, code, details.map((d: { message: string }) => d.message.split(":")[0])];
};
