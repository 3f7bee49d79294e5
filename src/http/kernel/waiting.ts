import type { Context } from "hono";
import { isTerminal } from "../../domain/run.ts";
import { getRun, type ShownRun } from "../../operations/runs.ts";
import { watchRun } from "../../operations/watch.ts";
import type { AppEnv } from "../context.ts";
import { sentProject } from "./names.ts";

/** A synchronous invocation is answered after this long whether it is done or not; its client waits for 60 s. */
export const SYNC_WAIT_MS = 50_000;

/** The run once it has ended, or as it is when the time is over or the client has gone. */
export async function endOf(c: Context<AppEnv>, id: string, waitMs: number): Promise<ShownRun> {
  const project = sentProject(c);
  const signal = AbortSignal.any([AbortSignal.timeout(waitMs), c.req.raw.signal]);
  for await (const { run: shown } of await watchRun(c.env, c.var.caller, id, { project, signal })) {
    if (isTerminal(shown.run.status)) break;
  }
  return getRun(c.env, c.var.caller, id, project);
}
