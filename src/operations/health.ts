import { coordinatorOf } from "../coordinator/client.ts";
import type { Env } from "../env.ts";
import { logError } from "../log.ts";

export type Probe = "ok" | "failed";

export interface Readiness {
  ready: boolean;
  d1: Probe;
  coordinator: Probe;
}

/** An object of its own that belongs to no job: asking it touches nobody's work. */
const PROBE_OBJECT = "health";
/** A dependency that takes longer does not answer. */
const PROBE_MS = 5000;

/** Whether D1 and Durable Objects answer. */
export async function readiness(env: Env): Promise<Readiness> {
  const [d1, coordinator] = await Promise.all([
    probe("D1", () => env.DB.prepare("SELECT 1").first()),
    probe("Durable Objects", () => coordinatorOf(env, PROBE_OBJECT).health()),
  ]);
  return { ready: d1 === "ok" && coordinator === "ok", d1, coordinator };
}

async function probe(what: string, ask: () => Promise<unknown>): Promise<Probe> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const silence = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer in ${PROBE_MS} ms`)), PROBE_MS);
  });
  try {
    await Promise.race([ask(), silence]);
    return "ok";
  } catch (error) {
    logError("probe_failed", { part: what }, error);
    return "failed";
  } finally {
    clearTimeout(timer);
  }
}
