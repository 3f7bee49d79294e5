import { z } from "zod";

/**
 * The doorbell of the queue "webhooks": something waits in D1 for this receiver. It carries none of it. A receiver is an
 * address of a project.
 */
export const webhookRingSchema = z.object({
  v: z.literal(1),
  project_id: z.string(),
  url: z.string(),
});
export type WebhookRing = z.infer<typeof webhookRingSchema>;
