import type { Context } from "hono";
import { newTraceparent, parseTraceparent } from "../domain/traceparent.ts";
import type { ReplayContext } from "../operations/replay.ts";
import type { AppEnv } from "./context.ts";
import { idempotencyKeyOf } from "./idempotency.ts";

/** What a request for replays says of itself. */
export function replayContext(c: Context<AppEnv>, project: string | undefined): ReplayContext {
  const traceparent = c.req.header("traceparent");
  return {
    requestId: idempotencyKeyOf(c) === null ? null : c.var.creationId,
    traceparent:
      traceparent !== undefined && parseTraceparent(traceparent)
        ? traceparent
        : newTraceparent(crypto.getRandomValues(new Uint8Array(24))),
    project,
  };
}

/** What the typed client is typed by. */
