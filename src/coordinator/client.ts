import { laneName } from "../domain/id.ts";
import type { Env } from "../env.ts";
import type { CoordinatorApi } from "./protocol.ts";

/** Tries of one call: every method is idempotent or fenced, so a lost answer may be asked for again. */
const TRIES = 3;

const isRetryable = (error: unknown): boolean =>
  typeof error === "object" &&
  error !== null &&
  (error as { retryable?: boolean }).retryable === true &&
  (error as { overloaded?: boolean }).overloaded !== true;

/**
 * A job's coordinator. A stub that threw stays broken, so every try takes a new one.
 *
 * @throws whatever the last try threw; `.overloaded` errors at once.
 */
export function coordinatorOf(env: Env, jobId: string, lane = 0): CoordinatorApi {
  const call = async (method: string, args: unknown[]): Promise<unknown> => {
    for (let attempt = 1; ; attempt++) {
      const id = env.COORDINATOR.idFromName(laneName(jobId, lane));
      const stub = env.COORDINATOR.get(id) as unknown as Record<string, (...a: unknown[]) => Promise<unknown>>;
      try {
        const target = stub[method];
        if (!target) throw new Error(`no such method: ${method}`);
        return await target.call(stub, ...args);
      } catch (error) {
        if (attempt >= TRIES || !isRetryable(error)) throw error;
      }
    }
  };
  return new Proxy({} as CoordinatorApi, {
    get: (_target, method) =>
      typeof method === "string" && method !== "then" ? (...args: unknown[]) => call(method, args) : undefined,
  });
}
