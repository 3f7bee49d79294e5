import { env as platform } from "cloudflare:workers";
import { inject } from "vitest";
import type { BatchRecord } from "../../src/domain/batch.ts";
import { ledgerId } from "../../src/domain/id.ts";
import type { Notice, WebhookEvent } from "../../src/domain/notice.ts";
import type { TerminalStatus } from "../../src/domain/run.ts";
import type { RunDoc } from "../../src/domain/run-doc.ts";
import { sealSecret, secretAad } from "../../src/domain/secret.ts";
import type { WebhookDelivery } from "../../src/domain/webhook.ts";
import { type Env, parseSettings } from "../../src/env.ts";
import { project, type RunRow } from "../../src/store/projection.ts";
import { findDelivery } from "../../src/store/webhook-deliveries.ts";
import type { Receiver } from "../../src/store/webhook-queue.ts";
import type { WebhookRing } from "../../src/webhooks/protocol.ts";

/** Ends of runs as a coordinator's shipment brings them, and a receiver that hears of them. */

export const env = platform as unknown as Env;
export const zoo = inject("endpointUrl");
export const AT = 1_790_000_000_000;

let made = 0;

export interface Told {
  receiver: Receiver;
  jobId: string;
  /** Of the deliveries, in the order of the runs. */
  ids: string[];
  runIds: string[];
}

export interface Ending {
  status?: TerminalStatus;
  doc?: Partial<RunDoc>;
  batchId?: string | null;
}

export const seal = (jobId: string, secret: string): Promise<string> =>
  sealSecret(
    parseSettings(env).encryptionKeys ?? "",
    secret,
    secretAad(jobId, "webhook_secret"),
    crypto.getRandomValues(new Uint8Array(12)),
  );

/** Runs of a new job in a project that have just ended, as D1 hears of it. */
export async function tell(
  url: string,
  endings: Ending[],
  { secret = null, projectId }: { secret?: string | null; projectId?: string } = {},
): Promise<Told> {
  const number = ++made;
  const jobId = `01900000-0000-7000-8000-${number.toString(16).padStart(12, "0")}`;
  const receiver = { project_id: projectId ?? `project-${number}`, url };
  const idOf = (at: number, i: number): string => ledgerId({ at, seq: i + 1, lane: 0, job: number });
  const runIds = endings.map((_, i) => idOf(AT, i));
  const ids = endings.map((_, i) => idOf(AT + 5, i));
  const rows = endings.map(
    ({ status = "completed", doc, batchId = null }, i): RunRow => [
      runIds[i] as string,
      batchId,
      batchId === null ? null : i,
      status,
      1,
      "api",
      null,
      null,
      "1",
      { attempt: 1, max_attempts: 3, created_at: AT, finished_at: AT + 5, ...doc },
    ],
  );
  const events = endings.map(
    ({ status = "completed", batchId = null }, i): WebhookEvent => [
      ids[i] as string,
      `run.${status}`,
      runIds[i] as string,
      batchId,
      AT + 5,
    ],
  );
  const sealed = secret === null ? null : await seal(jobId, secret);
  await ship(receiver, jobId, [JSON.stringify(rows)], [{ kind: "webhook", url, secret: sealed, events }]);
  return { receiver, jobId, ids, runIds };
}

const ship = (receiver: Receiver, jobId: string, runs: string[], notices: Notice[], batches: BatchRecord[] = []) =>
  project(env.DB, {
    projectId: receiver.project_id,
    jobId,
    runs,
    batches: batches.map((b) => [b.id, b.status, b.ver, JSON.stringify(b)]),
    items: [],
    notices,
    busy: null,
    stats: null,
  });

/** A batch of a job that has just finished. */
export async function tellBatch(url: string, batch: BatchRecord, secret: string | null): Promise<Told> {
  const receiver = { project_id: batch.project_id, url };
  const id = ledgerId({ at: batch.finished_at ?? 0, seq: 1_000_000 + ++made, lane: 0, job: 1 });
  const sealed = secret === null ? null : await seal(batch.job_id, secret);
  const events: WebhookEvent[] = [[id, "batch.finished", null, batch.id, batch.finished_at ?? 0]];
  await ship(receiver, batch.job_id, [], [{ kind: "webhook", url, secret: sealed, events }], [batch]);
  return { receiver, jobId: batch.job_id, ids: [id], runIds: [] };
}

export async function delivery(told: Told, i = 0): Promise<WebhookDelivery> {
  const found = await findDelivery(env, told.receiver.project_id, told.ids[i] as string);
  if (!found) throw new Error("no delivery");
  return found;
}

/** Of all deliveries of a receiver, by status. */
export async function statuses({ receiver }: Told): Promise<Record<string, number>> {
  const { results } = await env.DB.prepare(
    "SELECT status, count(*) AS n FROM webhook_deliveries WHERE project_id = ? AND url = ? GROUP BY status",
  )
    .bind(receiver.project_id, receiver.url)
    .all<{ status: string; n: number }>();
  return Object.fromEntries(results.map(({ status, n }) => [status, n]));
}

/** What waits is due now. */
export const hurry = ({ receiver }: Told) =>
  env.DB.prepare("UPDATE webhook_deliveries SET next_attempt_at = 0 WHERE project_id = ? AND status = 'pending'")
    .bind(receiver.project_id)
    .run();

export interface Rung {
  body: WebhookRing;
  delaySeconds: number;
}

/** An environment whose doorbell is a list. */
export function listening(over: Partial<Env> = {}): { env: Env; rings: Rung[] } {
  const rings: Rung[] = [];
  const queue = {
    send: async (body: WebhookRing, options?: QueueSendOptions) => {
      rings.push({ body, delaySeconds: options?.delaySeconds ?? 0 });
    },
    sendBatch: async (messages: Iterable<MessageSendRequest<WebhookRing>>) => {
      for (const { body } of messages) rings.push({ body, delaySeconds: 0 });
    },
  } as unknown as Queue<WebhookRing>;
  return { env: { ...env, WEBHOOKS: queue, ...over }, rings };
}

export interface Heard {
  path: string;
  method: string;
  headers: Record<string, string>;
  body: string;
  /** Unix milliseconds. */
  began_at: number;
  ended_at: number | null;
  status: number | null;
}

/** What the zoo has heard at this path, in order. */
export async function heard(path: string): Promise<Heard[]> {
  const log = (await (await fetch(`${zoo}/__log`)).json()) as Heard[];
  return log.filter((call) => call.path === path);
}

/** A path of the zoo that nobody else uses. */
export const pathOf = (path: string): string => `${path}${path.includes("?") ? "&" : "?"}me=${crypto.randomUUID()}`;
