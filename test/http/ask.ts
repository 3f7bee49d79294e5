import { createExecutionContext } from "cloudflare:test";
import { env, exports } from "cloudflare:workers";
import type { Scope } from "../../src/domain/scope.ts";
import type { Env } from "../../src/env.ts";
import { createApp } from "../../src/http/app.ts";

/** The Worker as a client sees it. */

export const ADMIN = "test-admin-token-0123456789abcdef0123456789";

export interface Answer {
  status: number;
  headers: Headers;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into answers freely
  body: any;
}

export interface Question {
  /** A bearer token; null for none. The admin's by default. */
  key?: string | null;
  /** Sent as JSON, or as it is where it is text. */
  body?: unknown;
  headers?: Record<string, string>;
}

const worker = exports as unknown as { default: { fetch(request: Request): Promise<Response> } };
const app = createApp();

export const bindings = env as unknown as Env;

export function requestOf(method: string, path: string, { key = ADMIN, body, headers }: Question = {}): Request {
  return new Request(`http://sluice.test${path}`, {
    method,
    headers: {
      ...(key === null ? {} : { Authorization: `Bearer ${key}` }),
      ...(body === undefined ? {} : { "Content-Type": "application/json" }),
      ...headers,
    },
    body: body === undefined ? null : typeof body === "string" ? body : JSON.stringify(body),
  });
}

export async function answerOf(response: Response): Promise<Answer> {
  const text = await response.text();
  const isJson = response.headers.get("Content-Type")?.startsWith("application/json") === true;
  return { status: response.status, headers: response.headers, body: isJson ? JSON.parse(text) : text };
}

export const send = async (request: Request): Promise<Answer> => answerOf(await worker.default.fetch(request));

export const ask = (method: string, path: string, question: Question = {}): Promise<Answer> =>
  send(requestOf(method, path, question));

/** The same with other bindings: a variable that is wrong, a dependency that is down. */
export const askWith = async (other: Partial<Env>, method: string, path: string, question: Question = {}) =>
  answerOf(await app.fetch(requestOf(method, path, question), { ...bindings, ...other }, createExecutionContext()));

/** A project of its own, and a key with the scopes. */
export async function newProject(scopes: Scope[] = ["*"]): Promise<{ id: string; slug: string; key: string }> {
  const project = await ask("POST", "/v1/projects", { body: { name: "Test project" } });
  if (project.status !== 201) throw new Error(JSON.stringify(project.body));
  return { id: project.body.id, slug: project.body.slug, key: await newKey(project.body.id, scopes) };
}

export async function newKey(projectId: string, scopes: Scope[]): Promise<string> {
  const key = await ask("POST", "/v1/api-keys", { body: { project_id: projectId, name: "test", scopes } });
  if (key.status !== 201) throw new Error(JSON.stringify(key.body));
  return key.body.key;
}

export const ENDPOINT = "https://api.example.com/hook";

export async function newJob(key: string, fields: Record<string, unknown> = {}): Promise<Answer["body"]> {
  const job = await ask("POST", "/v1/jobs", { key, body: { name: "A job", endpoint_url: ENDPOINT, ...fields } });
  if (job.status !== 201) throw new Error(JSON.stringify(job.body));
  return job.body;
}
