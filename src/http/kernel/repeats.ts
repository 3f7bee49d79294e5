import type { Context } from "hono";
import { ApiError } from "../../domain/error.ts";
import { abandonRequest, beginRequest, finishRequest } from "../../operations/idempotent-requests.ts";
import { sha256Hex } from "../../operations/secrets.ts";
import type { AppEnv } from "../context.ts";
import { idempotencyKeyOf } from "../idempotency.ts";

/**
 * What a create does, and how it is answered again. The work is known to its coordinator by the key, so a repeat joins a
 * first request that is still running instead of being refused: the client repeats what it got no answer to.
 */
export interface Create<A extends object> {
  projectId: string;
  /** The body as it was sent. */
  body: string | Uint8Array;
  /** @param key the request's Idempotency-Key. */
  first(key: string | null): Promise<A>;
}

/**
 * Contract 1, idempotent requests.
 *
 * @returns what `first` gave, now or when the key came first, and whether it is given again.
 * @throws ApiError `conflict` where the key came with another body.
 */
export async function repeatable<A extends object>(
  c: Context<AppEnv>,
  { projectId, body, first }: Create<A>,
): Promise<{ given: A; replayed: boolean }> {
  const key = idempotencyKeyOf(c);
  if (key === null) return { given: await first(null), replayed: false };
  const name = { project_id: projectId, route: `${c.req.method} ${c.req.path}`, key };
  const claim = await beginRequest(c.env, name, await sha256Hex(body), Date.now(), true);
  if (claim.kind === "answered") return { given: JSON.parse(claim.answer.body) as A, replayed: true };
  try {
    const given = await first(key);
    // Whoever hung up has had no answer: the repeat is to be answered by what has become of it until then.
    if (!c.req.raw.signal.aborted) {
      await finishRequest(c.env, name, { status: 200, etag: null, body: JSON.stringify(given) });
    }
    return { given, replayed: false };
  } catch (error) {
    await abandonRequest(c.env, name, !(error instanceof ApiError) || error.status >= 500, Date.now());
    throw error;
  }
}
