import type { Context } from "hono";
import type { ReplayContext } from "../operations/replay.ts";
import type { AppEnv } from "./context.ts";
import { idempotencyKeyOf } from "./idempotency.ts";
import { traceOf } from "./request.ts";

/** What a request for replays says of itself. */
export function replayContext(c: Context<AppEnv>, project: string | undefined): ReplayContext {
  return {
    requestId: idempotencyKeyOf(c) === null ? null : c.var.creationId,
    traceparent: traceOf(c),
    project,
  };
}

/** What the typed client is typed by. */
