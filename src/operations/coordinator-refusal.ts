import { coordinatorOf } from "../coordinator/client.ts";
import type { CoordinatorApi, Refusal } from "../coordinator/protocol.ts";
import { ApiError } from "../domain/error.ts";
import type { Job } from "../domain/job.ts";
import type { Env } from "../env.ts";
import { configure } from "./configuring.ts";
import { noteChange } from "./copy.ts";

/** Rounds of "load anew, configure, ask again" before the caller is told to come back. */
const ROUNDS = 4;

const REFUSALS: readonly string[] = [
  "stale_config",
  "unknown_config",
  "disabled",
  "deleted",
  "overloaded",
] satisfies Refusal["kind"][];

const isRefusal = (answer: { kind: string }): answer is Refusal => REFUSALS.includes(answer.kind);

/**
 * Asks a job's coordinator for something that it may refuse, and brings the two to the same configuration: an older job
 * is loaded anew, a coordinator that has never heard of it is told.
 *
 * @param job the job that the caller has judged by.
 * @param reload reads the job past every cache; null where it is gone.
 * @param ask makes the request for a job; asked again with the newer job after `stale_config`, so it must judge again.
 * @returns the answer, never a refusal.
 * @throws ApiError `conflict` (disabled), `not_found` (deleted), `unavailable` with `Retry-After` (overloaded).
 */
export async function askCoordinator<A extends { kind: string }, J extends Job>(
  env: Env,
  job: J,
  reload: () => Promise<J | null>,
  ask: (coordinator: CoordinatorApi, job: J) => Promise<A>,
): Promise<Exclude<A, Refusal>> {
  let current = job;
  for (let round = 0; round < ROUNDS; round++) {
    const coordinator = coordinatorOf(env, current.id);
    const answer: A | Refusal = await ask(coordinator, current);
    if (!isRefusal(answer)) {
      noteChange(current, Date.now());
      return answer as Exclude<A, Refusal>;
    }
    switch (answer.kind) {
      case "stale_config":
      case "unknown_config": {
        const fresh = await reload();
        if (!fresh) throw deleted(current);
        current = fresh;
        // Ours may be the newer one as well as the older: telling is harmless, an older revision changes nothing.
        await configure(env, current);
        break;
      }
      default:
        throw refusalError(answer, current);
    }
  }
  throw new ApiError("unavailable", "the job is being changed; try again", { retryAfterSecs: 1 });
}

const deleted = (job: Job): ApiError => new ApiError("not_found", `job ${job.current.spec.slug} is deleted`);

function refusalError(refusal: Exclude<Refusal, { kind: "stale_config" | "unknown_config" }>, job: Job): ApiError {
  switch (refusal.kind) {
    case "disabled":
      return new ApiError("conflict", `job ${job.current.spec.slug} is disabled`);
    case "deleted":
      return deleted(job);
    case "overloaded":
      return new ApiError(
        "unavailable",
        "too much waits to be recorded, or too many distinct keys wait; try again later",
        {
          retryAfterSecs: refusal.retry_after_secs,
        },
      );
  }
}
