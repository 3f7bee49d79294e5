import { coordinatorOf } from "../coordinator/client.ts";
import type { Job } from "../domain/job.ts";
import type { Env } from "../env.ts";
import { listVersionsFrom } from "../store/jobs.ts";
import { configOf } from "./jobs.ts";

/** A version may weigh some hundred kilobytes. */
const VERSIONS_AT_ONCE = 20;

/**
 * Tells a job's coordinator how the job is now, with the versions that it was never told of: their request died, or met an
 * outage.
 *
 * @returns the revision that the coordinator has: this one, or a newer one.
 */
export async function configure(env: Env, job: Job): Promise<number> {
  const coordinator = coordinatorOf(env, job.id);
  const config = configOf(job);
  let answer = await coordinator.configure(config);
  while (answer.kind === "versions_missing") {
    const missed = await listVersionsFrom(env.DB, job.id, answer.from, VERSIONS_AT_ONCE);
    if (missed[0]?.version !== answer.from) throw new Error(`version ${answer.from} of job ${job.id} is lost`);
    const between = missed.map(({ version, version_id, spec }) => ({ version, version_id, spec }));
    answer = await coordinator.configure(config, between);
  }
  return answer.revision;
}
