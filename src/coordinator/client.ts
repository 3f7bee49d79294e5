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
 * A job's coordinator. A stub that threw stays broken, so the next try takes a new one.
 *
 * @throws whatever the last try threw; `.overloaded` errors at once.
 */
export function coordinatorOf(env: Env, jobId: string, lane = 0): CoordinatorApi {
  type Stub = Record<string, (...args: unknown[]) => Promise<unknown>>;
  const id = env.COORDINATOR.idFromName(laneName(jobId, lane));
  let stub = env.COORDINATOR.get(id) as unknown as Stub;
  const call = async (method: string, args: unknown[]): Promise<unknown> => {
    for (let attempt = 1; ; attempt++) {
      const used = stub;
      try {
        // A stub's methods are remote: `call` and `apply` would be taken for methods of the object's own.
        return await (used[method] as Stub[string])(...args);
      } catch (error) {
        if (stub === used) stub = env.COORDINATOR.get(id) as unknown as Stub;
        if (attempt >= TRIES || !isRetryable(error)) throw error;
      }
    }
  };
  return new Proxy({} as CoordinatorApi, {
    get: (_target, method) =>
      typeof method === "string" && method !== "then" ? (...args: unknown[]) => call(method, args) : undefined,
  });
}
