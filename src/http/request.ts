import type { Context } from "hono";
import { ApiError } from "../domain/error.ts";
import { receivedTrace, type Trace } from "../domain/traceparent.ts";
import type { Origin } from "../operations/bulk-accept.ts";
import type { AppEnv } from "./context.ts";

/** What handlers ask of a request beside its parameters. */

export const typeOf = (c: Context<AppEnv>): string | undefined =>
  c.req.header("Content-Type")?.split(";")[0]?.trim().toLowerCase();

/**
 * Absent means JSON.
 *
 * @throws ApiError `unsupported_media_type`.
 */
export function requireType(c: Context<AppEnv>, types: readonly string[]): void {
  const type = typeOf(c);
  if (type !== undefined && !types.includes(type)) {
    throw new ApiError("unsupported_media_type", `Content-Type: expected ${types.join(" or ")}`);
  }
}

/** The request's trace, or a new one: calls that follow from it carry it on. */
export const traceOf = (c: Context<AppEnv>): Trace =>
  receivedTrace(c.req.header("traceparent"), c.req.header("tracestate"), () =>
    crypto.getRandomValues(new Uint8Array(24)),
  );

/** Who triggers, with the request's trace or a new one. */
export const originOf = (c: Context<AppEnv>, triggeredBy: "api" | "bulk"): Origin => ({
  triggered_by: c.var.caller.kind === "service" ? "rpc" : triggeredBy,
  created_by: c.var.caller.actorId,
  traceparent: traceOf(c),
});

/** A client that hangs up ends the request; what follows from that still has to be said to the coordinator. */
export function outlivingTheClient<T>(c: Context<AppEnv>, work: Promise<T>): Promise<T> {
  c.executionCtx.waitUntil(work.catch(() => undefined));
  return work;
}
