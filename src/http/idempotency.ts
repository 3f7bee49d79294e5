import type { Context } from "hono";
import { createMiddleware } from "hono/factory";
import { invalid } from "../domain/error.ts";
import { uuidV7 } from "../domain/id.ts";
import { projectScope } from "../operations/authorize.ts";
import { abandonRequest, beginRequest, finishRequest } from "../operations/idempotent-requests.ts";
import { sha256Hex } from "../operations/secrets.ts";
import type { AppEnv } from "./context.ts";

const MAX_KEY = 256;

/**
 * The request's `Idempotency-Key` (or `X-Idempotency-Key`), or null.
 *
 * @throws ApiError `validation_failed` where it is empty, too long, or the two differ.
 */
export function idempotencyKeyOf(c: Context<AppEnv>): string | null {
  const standard = c.req.header("Idempotency-Key");
  const other = c.req.header("X-Idempotency-Key");
  if (standard !== undefined && other !== undefined && standard !== other) {
    throw invalid([{ path: "Idempotency-Key", message: "differs from X-Idempotency-Key" }]);
  }
  const key = standard ?? other;
  if (key === undefined) return null;
  if (key.length < 1 || key.length > MAX_KEY) {
    throw invalid([{ path: "Idempotency-Key", message: `must have 1 to ${MAX_KEY} characters` }]);
  }
  return key;
}

/** Contract 1, idempotent requests. Runs after `requireScope` and `readBodyText`. */
export const idempotent = (secretFields: readonly string[]) =>
  createMiddleware<AppEnv>(async (c, next) => {
    const key = idempotencyKeyOf(c);
    if (key === null) {
      c.set("creationId", uuidV7(Date.now(), crypto.getRandomValues(new Uint8Array(10))));
      return next();
    }
    const text = await c.req.text();
    const name = {
      project_id: projectScope(c.var.caller, namedProject(c, text)) ?? "",
      route: `${c.req.method} ${c.req.path}`,
      key,
    };
    const claim = await beginRequest(c.env, name, await sha256Hex(text), Date.now());
    if (claim.kind === "answered") {
      const { status, etag, body } = claim.answer;
      c.res = new Response(body, { status, headers: { "Content-Type": "application/json" } });
      c.res.headers.set("Idempotency-Replayed", "true");
      if (etag !== null) c.res.headers.set("ETag", etag);
      return;
    }
    c.set("creationId", claim.creationId);
    await next();
    if (c.res.ok) {
      const body = withoutSecrets(await c.res.clone().text(), secretFields);
      await finishRequest(c.env, name, { status: c.res.status, etag: c.res.headers.get("ETag"), body });
    } else {
      await abandonRequest(c.env, name, c.res.status >= 500, Date.now());
    }
  });

/** The project that an admin names, in query or body; the route itself judges whether it is well-formed. */
function namedProject(c: Context<AppEnv>, text: string): string | undefined {
  const inQuery = c.req.query("project_id");
  if (inQuery !== undefined) return inQuery;
  try {
    const body: unknown = JSON.parse(text);
    const named = typeof body === "object" && body !== null && "project_id" in body ? body.project_id : undefined;
    return typeof named === "string" ? named : undefined;
  } catch {
    return undefined;
  }
}

/** A secret is left out of what is kept; of a map of secrets the names stay. */
function withoutSecrets(body: string, secretFields: readonly string[]): string {
  if (secretFields.length === 0) return body;
  const entries = Object.entries(JSON.parse(body) as Record<string, unknown>);
  const kept = entries.flatMap(([name, value]) => {
    if (!secretFields.includes(name)) return [[name, value]];
    return typeof value === "object" && value !== null ? [[name, namesOf(value)]] : [];
  });
  return JSON.stringify(Object.fromEntries(kept));
}

const namesOf = (secrets: object): Record<string, null> =>
  Object.fromEntries(Object.keys(secrets).map((name) => [name, null]));
