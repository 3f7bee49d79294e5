import { z } from "@hono/zod-openapi";
import type { BatchRecord } from "../../domain/batch.ts";
import type { BatchEvent, RunEvent } from "../../operations/watch.ts";
import type { SseEvent } from "../sse.ts";
import { batchToWire } from "./batch-operations.ts";
import { instant, projectParam, strictQuery } from "./common.ts";
import { stringifyRaw } from "./raw-json.ts";
import { runWithAttemptsToWire } from "./runs.ts";

/** Streams of events on the wire (contract 8). */

export const batchEventsQuery = strictQuery({
  project_id: projectParam,
  token: z
    .string()
    .max(512)
    .optional()
    .openapi({ description: "A token of `POST …/stream-token`, instead of the `Authorization` header." }),
});

export const streamToken = z
  .object({
    token: z.string().openapi({ description: "Send it as `?token=` to this batch operation's events." }),
    expires_at: instant(),
  })
  .openapi("StreamToken");

/** An answer that is a stream of events; `description` says which. */
export const eventStream = (description: string) => ({
  description,
  content: { "text/event-stream": { schema: z.string() } },
});

/** `counts` and the numbers beside it. */
function progressToWire(batch: BatchRecord) {
  const wire = batchToWire(batch);
  const { id, status, counts, item_count, created_count, duplicate_count, rejected_count } = wire;
  const { succeeded_count, failed_count, percent_complete, throughput_per_sec, eta_at } = wire;
  return {
    ...{ id, status, counts, item_count, created_count, duplicate_count, rejected_count },
    ...{ succeeded_count, failed_count, percent_complete, throughput_per_sec, eta_at },
  };
}

const made = { state: new WeakMap<BatchRecord, SseEvent>(), progress: new WeakMap<BatchRecord, SseEvent>() };

/** Made once for all who are told of it. */
export function batchEventToSse({ event, ver, batch }: BatchEvent): SseEvent {
  const known = made[event].get(batch);
  if (known !== undefined) return known;
  const data = JSON.stringify(event === "state" ? batchToWire(batch) : progressToWire(batch));
  const sse = { event: `batch_${event}`, id: String(ver), data };
  made[event].set(batch, sse);
  return sse;
}

export const runEventToSse = ({ ver, run }: RunEvent): SseEvent => ({
  event: "run_state",
  id: String(ver),
  data: stringifyRaw(runWithAttemptsToWire(run)),
});
