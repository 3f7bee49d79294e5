import { z } from "@hono/zod-openapi";
import { DELIVERY_STATUSES, type WebhookDelivery } from "../../domain/webhook.ts";
import { instant, iso, isoOrNull, listOf, listParams, strictQuery, uuid } from "./common.ts";
import { queryAnyOf, queryUuid } from "./query.ts";
import { WEBHOOK_TYPES } from "./webhook-events.ts";

/** Webhook deliveries on the wire (contract 6). */

export const webhookDelivery = z
  .object({
    id: uuid().openapi({ description: "Also the `webhook-id` of every try." }),
    type: z.enum(WEBHOOK_TYPES),
    run_id: uuid().nullable(),
    batch_id: uuid().nullable(),
    url: z.string(),
    status: z.enum(DELIVERY_STATUSES).openapi({
      description:
        "`delivered`: a try was answered 2xx. `dead`: it was answered 410, can never be sent, has failed 8 times, or has " +
        "waited a day for an address that fails every call.",
    }),
    attempts: z
      .array(z.object({ at: instant(), http_status: z.int().nullable(), error: z.string().nullable() }))
      .openapi({ description: "The newest 50." }),
    next_attempt_at: instant().nullable().openapi({
      description: "Not before. An address that fails call after call rests: then, when its rest is over.",
    }),
    created_at: instant(),
  })
  .openapi("WebhookDelivery");

export const webhookDeliveryList = listOf(webhookDelivery).openapi("WebhookDeliveryList");

export const deliveryToWire = (d: WebhookDelivery): z.infer<typeof webhookDelivery> => ({
  id: d.id,
  type: d.type,
  run_id: d.run_id,
  batch_id: d.batch_id,
  url: d.url,
  status: d.status,
  attempts: d.attempts.map(({ at, http_status, error }) => ({ at: iso(at), http_status, error })),
  next_attempt_at: isoOrNull(d.next_attempt_at),
  created_at: iso(d.created_at),
});

export const webhookDeliveryQuery = strictQuery({
  ...listParams,
  run_id: queryUuid("Of this run.").optional(),
  batch_id: queryUuid("Of this batch operation and of its runs.").optional(),
  status: queryAnyOf(DELIVERY_STATUSES, "Of any of these statuses.").optional(),
});
