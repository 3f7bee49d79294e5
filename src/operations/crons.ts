import type { CronAnswer } from "../coordinator/cron-protocol.ts";
import type { CoordinatorApi, Refusal } from "../coordinator/protocol.ts";
import { CONNECTIONS, mapBounded } from "../domain/bounded.ts";
import { type CronClock, clockAfter, cronDue } from "../domain/cron-clock.ts";
import { assertNever } from "../domain/error.ts";
import { isRefused } from "../domain/item.ts";
import { newTraceparent } from "../domain/traceparent.ts";
import type { Env } from "../env.ts";
import { logError } from "../log.ts";
import { type ClockUpdate, type CronCursor, listDueCrons, setCronClocks } from "../store/crons.ts";
import { type StoredJob, selectJob } from "../store/jobs.ts";
import { askCoordinator } from "./coordinator-refusal.ts";
import { JobJudge } from "./job-judge.ts";

/** A job may weigh some hundred kilobytes. */
const JOBS_PER_PAGE = 100;

/** What is decided without the coordinator. */
type Undone =
  /** Nothing fires now. */
  | { kind: "waits"; clock: CronClock }
  /** The job's own rules refuse what its cron would send. */
  | { kind: "refused" };
type Decision = Undone | Exclude<CronAnswer, { kind: "canceling" }>;

/**
 * Fires every cron that is due. It may be called twice for a minute, late, or not at all for a while: the coordinator decides
 * each minute once, and the latest one makes up for those that were missed.
 */
export async function fireDueCrons(env: Env, now: number): Promise<void> {
  let after: CronCursor | null = null;
  for (;;) {
    const due: StoredJob[] = await listDueCrons(env.DB, now, after, JOBS_PER_PAGE);
    const updates = await mapBounded(due, CONNECTIONS, (job) => fireUnlessBroken(env, job, now));
    await setCronClocks(
      env.DB,
      updates.filter((update) => update !== null),
    );
    const last = due[due.length - 1];
    if (last === undefined || due.length < JOBS_PER_PAGE) return;
    after = { next_cron_at: last.next_cron_at ?? now, number: last.number };
  }
}

/** One job's failure must not keep the others from firing. */
async function fireUnlessBroken(env: Env, job: StoredJob, now: number): Promise<ClockUpdate | null> {
  try {
    return await fire(env, job, now);
  } catch (error) {
    logError("cron_not_fired", { job_id: job.id }, error);
    return null;
  }
}

async function fire(env: Env, job: StoredJob, now: number): Promise<ClockUpdate | null> {
  const judge = new JobJudge(env, job);
  let judged = job;
  const decision = await askCoordinator<Decision, StoredJob>(
    env,
    job,
    () => selectJob(env.DB, job.id),
    (coordinator, present) => {
      judged = present;
      judge.adopt(present);
      return decide(coordinator, judge, present, now);
    },
  );
  const clock = clockOf(decision, judged, now);
  return clock && { id: job.id, revision: judged.revision, ...clock };
}

async function decide(coordinator: CoordinatorApi, judge: JobJudge, job: StoredJob, now: number): Promise<Decision> {
  const due = cronDue(job.current.spec, job, now);
  if (due.kind === "waits") return due;
  const text = JSON.stringify({ payload: { scheduled_at: new Date(due.minute).toISOString() } });
  const bytes = new TextEncoder().encode(text);
  const item = await judge.judged(bytes, 0, bytes.length, null, now);
  if (isRefused(item)) {
    const { code, message } = item.error;
    logError("cron_item_refused", { job_id: job.id, minute: due.minute, code }, message);
    return { kind: "refused" };
  }
  const traceparent = newTraceparent(crypto.getRandomValues(new Uint8Array(24)));
  for (;;) {
    const answer = await coordinator.fireCron({ revision: job.revision, minute: due.minute, item, traceparent });
    if (answer.kind !== "canceling") return answer;
  }
}

/** Where the clock goes from here; null: it stands, and the cron is due again in the next minute. */
function clockOf(decision: Exclude<Decision, Refusal>, job: StoredJob, now: number): CronClock | null {
  switch (decision.kind) {
    case "waits":
      return decision.clock;
    case "fired":
    case "skipped":
    case "repeated":
    case "refused":
      return clockAfter(job.current.spec, now);
    case "paused":
      return null;
    default:
      return assertNever(decision);
  }
}
