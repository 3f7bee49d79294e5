import { laneName } from "../domain/id.ts";
import type { Env } from "../env.ts";
import type { CoordinatorApi } from "./protocol.ts";

/** Tries of one call. */
const TRIES = 3;

const isRetryable = (error: unknown): boolean =>
  typeof error === "object" &&
  error !== null &&
  (error as { retryable?: boolean }).retryable === true &&
  (error as { overloaded?: boolean }).overloaded !== true;

type Stub = Record<string, (...args: unknown[]) => Promise<unknown>>;

/**
 * The Durable Object of this name. Its methods must be idempotent or fenced: a lost answer is asked for again. A stub that
 * threw stays broken, so the next try takes a new one.
 *
 * @throws whatever the last try threw; `.overloaded` errors at once.
 */
export function objectNamed<Api extends object>(
  objects: Pick<DurableObjectNamespace, "idFromName"> & { get(id: DurableObjectId): unknown },
  name: string,
): Api {
  const fresh = (): Stub => objects.get(objects.idFromName(name)) as Stub;
  let stub = fresh();
  const call = async (method: string, args: unknown[]): Promise<unknown> => {
    for (let attempt = 1; ; attempt++) {
      const used = stub;
      try {
        // A stub's methods are remote: `call` and `apply` would be taken for methods of the object's own.
        return await (used[method] as Stub[string])(...args);
      } catch (error) {
        if (stub === used) stub = fresh();
        if (attempt >= TRIES || !isRetryable(error)) throw error;
      }
    }
  };
  return new Proxy({} as Api, {
    get: (_target, method) =>
      typeof method === "string" && method !== "then" ? (...args: unknown[]) => call(method, args) : undefined,
  });
}

/** A job's coordinator. */
export const coordinatorOf = (env: Env, jobId: string, lane = 0): CoordinatorApi =>
  objectNamed<CoordinatorApi>(env.COORDINATOR, laneName(jobId, lane));
