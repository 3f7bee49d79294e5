import { z } from "@hono/zod-openapi";
import type { TerminalStatus } from "../../domain/run.ts";
import type { App } from "../context.ts";
import { batchOperation } from "./batch-operations.ts";
import { instant, uuid } from "./common.ts";
import { runError } from "./runs.ts";

/** What receivers of webhooks are sent (contract 6): for the document, and for tests to hold it against what arrives. */

const ENDS = ["completed", "failed", "timed_out", "crashed", "canceled", "expired"] as const satisfies TerminalStatus[];

export const WEBHOOK_TYPES = [...ENDS.map((end) => `run.${end}` as const), "batch.finished"] as const;

export const runEvent = z
  .strictObject({
    type: z.enum(ENDS.map((end) => `run.${end}` as const)),
    run_id: uuid(),
    job_id: uuid(),
    project_id: z.string(),
    batch_id: uuid().nullable(),
    status: z.enum(ENDS),
    attempt: z.int().openapi({ description: "0 where it never started." }),
    result: z.unknown().openapi({ description: "What the endpoint answered, byte for byte." }),
    error: runError.nullable(),
    metadata: z.record(z.string(), z.string()),
    timestamp: instant().openapi({ description: "When it ended." }),
  })
  .openapi("RunEvent");

export const batchEvent = z
  .strictObject({
    type: z.literal("batch.finished"),
    batch_id: uuid(),
    job_id: uuid(),
    project_id: z.string(),
    timestamp: instant().openapi({ description: "When it finished." }),
    data: batchOperation,
  })
  .openapi("BatchEvent");

const HEADERS = [
  ["webhook-id", "The delivery's id: the same on every try."],
  ["webhook-timestamp", "Unix seconds."],
  ["webhook-signature", "Standard Webhooks: `v1,` and base64 of HMAC-SHA256 over `id.timestamp.body`."],
  ["X-Strait-Timestamp", "Unix seconds."],
  ["X-Strait-Signature", "`v1=` and hex of HMAC-SHA256 over `timestamp.body`, with the secret as text."],
  ["X-Webhook-Signature", "The same as `X-Strait-Signature`."],
  [
    "traceparent",
    "The trace that the run or batch operation belongs to, as its trigger request brought it or began it.",
  ],
  ["tracestate", "What came beside the `traceparent`."],
] as const;

const PROMISE =
  "At least once. 2xx ends it, 410 gives it up; anything else, redirects too, is tried again: 8 times over about a day, " +
  "`Retry-After` is honoured. An address that fails 10 calls in a row rests for 5 s, is then called once, and rests for longer, up " +
  "to 5 min, until a call is taken; what has waited a day for it is dead. An answer is waited for 15 s. Without a secret there are no signatures.";

/** Puts what is sent into the document. */
export function describeWebhooks(app: App): void {
  const say = (name: string, summary: string, schema: z.ZodType): void =>
    app.openAPIRegistry.registerWebhook({
      method: "post",
      path: name,
      tags: ["Webhooks"],
      summary,
      description: PROMISE,
      parameters: HEADERS.map(([header, description]) => ({
        name: header,
        in: "header" as const,
        required: !/signature|^trace/i.test(header),
        description,
        schema: { type: "string" as const },
      })),
      request: { body: { required: true, content: { "application/json": { schema } } } },
      responses: { "2XX": { description: "Taken" }, 410: { description: "Send this one no more" } },
    });
  say("run", "A run has ended; to its job's `webhook_url`", runEvent);
  say("batch.finished", "A batch operation has finished; to its own `webhook_url`", batchEvent);
}
