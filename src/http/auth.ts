import type { Context } from "hono";
import { createMiddleware } from "hono/factory";
import { ApiError } from "../domain/error.ts";
import { covers, type Scope } from "../domain/scope.ts";
import { authenticate } from "../operations/api-keys.ts";
import type { Caller } from "../operations/authorize.ts";
import { authenticateStream } from "../operations/stream-tokens.ts";
import { readBodyText } from "./body.ts";
import type { AppEnv } from "./context.ts";
import { idempotent } from "./idempotency.ts";

/** `admin`: only the admin token. `any`: whoever has credentials. */
export type RequiredScope = Scope | "admin" | "any";

const BEARER = /^Bearer +(\S+) *$/i;

/** Who stands behind a request that came over a service binding. No header can say this. */
const serviceCallers = new WeakMap<Request, Caller>();

/** The request, as one that needs no token: its caller is known. */
export function actingAs(request: Request, caller: Caller): Request {
  serviceCallers.set(request, caller);
  return request;
}

/** Puts the caller into `c.var.caller`, or answers 401 or 403. */
export const requireScope = (scope: RequiredScope) =>
  createMiddleware<AppEnv>(async (c, next) => {
    const caller = serviceCallers.get(c.req.raw) ?? (await callerByToken(c));
    if (!mayUse(caller, scope)) {
      throw new ApiError(
        "forbidden",
        scope === "admin" ? "only the admin token may do this" : `the API key lacks the scope ${scope}`,
      );
    }
    c.set("caller", caller);
    await next();
  });

function callerByToken(c: Context<AppEnv>): Promise<Caller> {
  const token = BEARER.exec(c.req.header("Authorization") ?? "")?.[1];
  if (!token) throw new ApiError("authentication_required", "send `Authorization: Bearer <API key>`");
  return authenticate(c.env, token, c.req.header("X-Actor-Id"), Date.now());
}

function mayUse(caller: Caller, scope: RequiredScope): boolean {
  if (caller.kind === "admin" || scope === "any") return true;
  return scope !== "admin" && covers(caller.scopes, scope);
}

/**
 * The same for the events of a batch, which `?token=` opens too: a browser's `EventSource` sends no headers. A header that
 * is there is what counts. Who has a token may read it from a page of any origin: nothing but the token opens the stream.
 */
const requireScopeOrToken = (scope: Scope) =>
  createMiddleware<AppEnv>(async (c, next) => {
    const token = c.req.query("token");
    if (token === undefined || c.req.header("Authorization") !== undefined) return requireScope(scope)(c, next);
    c.set("caller", await authenticateStream(c.env, token, c.req.param("id") ?? "", Date.now()));
    await next();
    c.header("Access-Control-Allow-Origin", "*");
  });

const described = (scope: RequiredScope) => ({ security: [{ bearer: [] as string[] }], "x-required-scope": scope });

/** Spread into `createRoute`: a route that reads, or that takes its body by itself. */
export const secured = (scope: RequiredScope) => ({
  ...described(scope),
  middleware: [requireScope(scope)],
});

/** The events of a batch: `secured`, or opened by a stream token. */
export const securedOrToken = (scope: Scope) => ({
  ...described(scope),
  middleware: [requireScopeOrToken(scope)],
});

/** A route with a JSON body that its schema checks. */
export const writes = (scope: RequiredScope) => ({
  ...described(scope),
  middleware: [requireScope(scope), readBodyText()],
});

const header = (name: string, description: string) => ({
  name,
  in: "header" as const,
  required: false,
  description,
  schema: { type: "string" as const },
});

/** For the document: spread beside `secured` in a route that answers with a stream of events. */
export const resumable = () => ({
  parameters: [header("Last-Event-ID", "The `id` of the last event seen. One of another object is ignored.")],
});

/** For the document: spread beside `secured` or `writes` in a route that honours `If-Match`. */
export const honoursIfMatch = () => ({
  parameters: [header("If-Match", "ETags of the states that may be changed; any other is 412.")],
});

/** For the document: what a route that creates takes. */
export const idempotencyParameters = [
  header("Idempotency-Key", "1 to 256 characters. The same key and body within 24 hours: done once, answered alike."),
  header("X-Idempotency-Key", "Another name of `Idempotency-Key`."),
];

/**
 * A POST that creates: its JSON body is checked, `Idempotency-Key` honoured and `c.var.creationId` set.
 *
 * @param secretFields of the answer that a replay leaves out.
 */
export const creates = (scope: RequiredScope, secretFields: readonly string[] = []) => ({
  ...described(scope),
  parameters: idempotencyParameters,
  middleware: [requireScope(scope), readBodyText(), idempotent(secretFields)],
});
