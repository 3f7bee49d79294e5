import { createRoute } from "@hono/zod-openapi";
import { resolveProject } from "../../operations/authorize.ts";
import { copyAsOf } from "../../operations/copy.ts";
import { getDelivery, pageOfDeliveries, retryDelivery } from "../../operations/webhooks.ts";
import { creates, secured } from "../auth.ts";
import type { App } from "../context.ts";
import { pageRequest } from "../list.ts";
import { scannedAnswer } from "../scanned-list.ts";
import { errors, idParam, json, projectQuery } from "../wire/common.ts";
import {
  deliveryToWire,
  webhookDelivery,
  webhookDeliveryList,
  webhookDeliveryQuery,
} from "../wire/webhook-deliveries.ts";
import { describeWebhooks } from "../wire/webhook-events.ts";

const tags = ["Webhooks"];

const list = createRoute({
  method: "get",
  path: "/v1/webhook-deliveries",
  tags,
  summary: "List webhook deliveries",
  description:
    "What was, or is to be, told to `webhook_url`: the end of each run, and of each batch operation with an address of its " +
    "own. Newest first. Kept for 30 days. A page may be short, or empty, and still have a successor.",
  ...secured("webhooks:read"),
  request: { query: webhookDeliveryQuery },
  responses: { 200: json(webhookDeliveryList, "Webhook deliveries, newest first"), ...errors(400, 404, 422) },
});

const get = createRoute({
  method: "get",
  path: "/v1/webhook-deliveries/{id}",
  tags,
  summary: "Get a webhook delivery",
  ...secured("webhooks:read"),
  request: { params: idParam("webhook delivery"), query: projectQuery },
  responses: { 200: json(webhookDelivery, "The webhook delivery"), ...errors(404, 422) },
});

const retry = createRoute({
  method: "post",
  path: "/v1/webhook-deliveries/{id}/retry",
  tags,
  summary: "Send a webhook again",
  description:
    "At once, whatever its status, with a new round of tries, and with the same `webhook-id` and body. A run's webhook goes " +
    "to the `webhook_url` that its job has now, while it has one.",
  ...creates("webhooks:write"),
  request: { params: idParam("webhook delivery"), query: projectQuery },
  responses: { 200: json(webhookDelivery, "The webhook delivery, `pending`"), ...errors(404, 409, 413, 415, 422) },
});

/** What the typed client is typed by. */
export type WebhookDeliveryRoutes = typeof list | typeof get | typeof retry;

export function registerWebhookDeliveries(app: App): void {
  describeWebhooks(app);

  app.openapi(list, async (c) => {
    const asOf = await copyAsOf(c.env, null, Date.now());
    const { limit, cursor, project_id, status, ...rest } = c.req.valid("query");
    const filter = { ...rest, statuses: status, project_id: resolveProject(c.var.caller, project_id) };
    const binding = { list: "webhook-deliveries", ...filter };
    const request = pageRequest({ limit, cursor }, binding);
    const page = await pageOfDeliveries(c.env, filter, request.before, request.limit);
    return c.json(scannedAnswer(page, binding, asOf, deliveryToWire), 200);
  });

  app.openapi(get, async (c) => {
    const { id } = c.req.valid("param");
    const delivery = await getDelivery(c.env, c.var.caller, id, c.req.valid("query").project_id);
    return c.json(deliveryToWire(delivery), 200);
  });

  app.openapi(retry, async (c) => {
    const { id } = c.req.valid("param");
    const { project_id } = c.req.valid("query");
    return c.json(deliveryToWire(await retryDelivery(c.env, c.var.caller, id, Date.now(), project_id)), 200);
  });
}
