import { notFound } from "../domain/error.ts";
import { firstIdAt } from "../domain/id.ts";
import type { WebhookDelivery } from "../domain/webhook.ts";
import type { Env } from "../env.ts";
import { selectJob } from "../store/jobs.ts";
import type { Page } from "../store/scan.ts";
import {
  type DeliveryFilter,
  findDelivery,
  listDeliveries,
  purgeDeliveries,
  restartDelivery,
} from "../store/webhook-deliveries.ts";
import { type Receiver, receiversDue } from "../store/webhook-queue.ts";
import type { WebhookRing } from "../webhooks/protocol.ts";
import type { Caller } from "./authorize.ts";
import { homeOf } from "./ledger-home.ts";

export type { DeliveryFilter } from "../store/webhook-deliveries.ts";

const WHAT = "webhook delivery";

/** A page of webhook deliveries, newest first. */
export const pageOfDeliveries = (
  env: Env,
  filter: DeliveryFilter,
  after: string | null,
  limit: number,
): Promise<Page<WebhookDelivery>> => listDeliveries(env, filter, after, limit);

/** @throws ApiError `not_found`. */
export async function getDelivery(env: Env, caller: Caller, id: string, project?: string): Promise<WebhookDelivery> {
  const home = await homeOf(env, caller, id, WHAT, project);
  const delivery = await findDelivery(env, home.project_id, id);
  if (!delivery) throw notFound(WHAT);
  return delivery;
}

/**
 * Sends a webhook once more, whatever became of it: at once, with a round of tries of its own, under the same id. What a
 * run has to say goes where its job wants it now; a batch keeps its own address.
 *
 * @param now Unix milliseconds.
 * @throws ApiError `not_found`.
 */
export async function retryDelivery(
  env: Env,
  caller: Caller,
  id: string,
  now: number,
  project?: string,
): Promise<WebhookDelivery> {
  const { type, job_id, project_id } = await getDelivery(env, caller, id, project);
  const job = type === "batch.finished" ? null : await selectJob(env.DB, job_id);
  const url = job?.current.spec.webhook_url ?? null;
  const to = job === null || url === null ? null : { url, secret: job.current.spec.webhook_secret };
  const delivery = await restartDelivery(env, project_id, id, to, now);
  if (!delivery) throw notFound(WHAT);
  await env.WEBHOOKS.send(ringOf(delivery));
  return delivery;
}

const ringOf = ({ project_id, url }: Receiver): WebhookRing => ({ v: 1, project_id, url });

/** A queue takes this many messages at once; as many receivers are looked at in one query. */
const RECEIVERS_AT_ONCE = 100;
const RECEIVERS_PER_MINUTE = 5_000;

/** Once a minute: rings for what was not rung for, and forgets what is too old to be kept. */
export async function tendWebhooks(env: Env, now: number): Promise<void> {
  await ringDueReceivers(env, now);
  await purgeOldDeliveries(env, now);
}

/** Rings for whatever is due: rings get lost, and a queue holds none back for a day. */
async function ringDueReceivers(env: Env, now: number): Promise<void> {
  let after: Receiver | null = { project_id: "", url: "" };
  for (let seen = 0; after !== null && seen < RECEIVERS_PER_MINUTE; seen += RECEIVERS_AT_ONCE) {
    const { due, next } = await receiversDue(env.DB, after, now, RECEIVERS_AT_ONCE);
    if (due.length > 0) await env.WEBHOOKS.sendBatch(due.map((receiver) => ({ body: ringOf(receiver) })));
    after = next;
  }
}

const KEPT_MS = 30 * 86_400_000;
const PURGE_ROWS = 1_000;
const PURGE_STEPS = 5;

/** Forgets deliveries of more than 30 days ago, a bounded number a minute. */
async function purgeOldDeliveries(env: Env, now: number): Promise<void> {
  const before = firstIdAt(Math.max(0, now - KEPT_MS));
  for (let step = 0; step < PURGE_STEPS; step++) {
    if (!(await purgeDeliveries(env.DB, before, PURGE_ROWS))) return;
  }
}
