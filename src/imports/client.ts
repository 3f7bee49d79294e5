import type { Env } from "../env.ts";
import type { ImportCoordinatorApi } from "./protocol.ts";

const TRIES = 3;

const isRetryable = (error: unknown): boolean =>
  typeof error === "object" && error !== null && (error as { retryable?: boolean }).retryable === true;

/**
 * An import's own Durable Object. Every method may be asked for again, so a lost answer is; a stub that threw stays broken,
 * so the next try takes a new one.
 */
export function importOf(env: Env, id: string): ImportCoordinatorApi {
  type Stub = Record<string, (...args: unknown[]) => Promise<unknown>>;
  const fresh = (): Stub => env.IMPORTS.get(env.IMPORTS.idFromName(id)) as unknown as Stub;
  let stub = fresh();
  const call = async (method: string, args: unknown[]): Promise<unknown> => {
    for (let attempt = 1; ; attempt++) {
      try {
        return await (stub[method] as Stub[string])(...args);
      } catch (error) {
        stub = fresh();
        if (attempt === TRIES || !isRetryable(error)) throw error;
      }
    }
  };
  return new Proxy({} as ImportCoordinatorApi, {
    get: (_target, method) =>
      typeof method === "string" && method !== "then" ? (...args: unknown[]) => call(method, args) : undefined,
  });
}
