import type { Env } from "../env.ts";
import { logError } from "../log.ts";
import {
  type BatchArchive,
  deleteArchive,
  dropUnfinishedArchive,
  findArchive,
  saveArchive,
} from "../store/batch-archives.ts";
import {
  claimWalks,
  deleteBatch,
  deleteRuns,
  deleteSomeItems,
  deleteWorkflowRuns,
  type OldBatch,
  type RunBodies,
  releaseWalks,
  someRunsOf,
  WALK_BEGIN,
  type WalkPosition,
  type WalkStep,
  type Walks,
  walkBatches,
  walkRuns,
  walkWorkflowRuns,
} from "../store/retention.ts";
import { newArchive, type WritingBudget, writeArchive } from "./archive-writing.ts";
import { settingsOf } from "./settings.ts";

const MINUTE_MS = 60_000;
const DAY_MS = 24 * 3_600_000;
/** What one minute spends on it; the next one goes on. */
const BUDGET_MS = 20_000;
/** Steps in one minute: each is a handful of statements, and an invocation has a thousand. */
const MAX_STEPS = 100;

/** An invocation that died holds the others off no longer than the platform would have let it live. */
const CLAIM_MS = 15 * 60_000;

/** Looked at; only those that are not done with cost more. */
const BATCHES_A_STEP = 500;
const RUNS_A_STEP = 1_000;
/** Each has up to some hundred steps. */
const WORKFLOW_RUNS_A_STEP = 200;
/** R2 deletes so many objects in one call. */
const KEYS_AT_ONCE = 1_000;

/**
 * Carries out the retention: of a batch that finished so long ago the results are archived and its runs removed; runs
 * without a batch are removed, and so are the runs of workflows; later the batch itself goes, with its archive. In bounded
 * steps: what is left is for the next minute.
 *
 * @param now Unix milliseconds.
 */
export async function retain(env: Env, now: number): Promise<void> {
  const { runRetentionDays, batchRetentionDays } = settingsOf(env);
  const bounds = { runsBefore: now - runRetentionDays * DAY_MS, batchesBefore: now - batchRetentionDays * DAY_MS };
  const walks = await claimWalks(env, Date.now(), Date.now() + CLAIM_MS);
  if (walks === null) return;
  const budget = new Budget(Date.now() + BUDGET_MS);
  const steps: Record<keyof Walks, (at: WalkPosition) => Promise<WalkStep<unknown>>> = {
    batches: async (at) => {
      const step = await walkBatches(env, at, bounds, BATCHES_A_STEP);
      for (const old of step.found) await retireBatch(env, old, bounds, budget);
      return step;
    },
    runs: async (at) => {
      const step = await walkRuns(env, at, bounds.runsBefore, RUNS_A_STEP);
      const old = step.found.filter((run) => run.finished_at < bounds.runsBefore);
      for (const [project, runs] of Map.groupBy(old, (run) => run.project_id)) await removeRuns(env, project, runs);
      return step;
    },
    workflowRuns: async (at) => {
      const step = await walkWorkflowRuns(env, at, bounds.runsBefore, WORKFLOW_RUNS_A_STEP);
      const old = step.found.filter((run) => run.finished_at < bounds.runsBefore);
      await removeBodies(env, old);
      const ids = old.map(({ id }) => id);
      if (ids.length > 0) await deleteWorkflowRuns(env, ids);
      return step;
    },
  };
  const names = Object.keys(steps) as (keyof Walks)[];
  // Each of them is the first in turn, so that one with more to do than a minute allows holds none of the others up.
  const first = Math.floor(now / MINUTE_MS) % names.length;
  try {
    for (const name of [...names.slice(first), ...names.slice(0, first)]) {
      walks[name] = await walk(walks[name], budget, steps[name]);
    }
  } finally {
    await releaseWalks(env, walks);
  }
}

/** Time and steps of one minute. */
class Budget implements WritingBudget {
  private readonly until: number;
  private steps = 0;

  constructor(until: number) {
    this.until = until;
  }

  readonly isSpent = (): boolean => this.steps >= MAX_STEPS || Date.now() >= this.until;

  spend(): void {
    this.steps += 1;
  }
}

/** Walks on until the end is reached, which is where the next minute begins anew, or the budget is spent. */
async function walk(
  from: WalkPosition,
  budget: Budget,
  step: (at: WalkPosition) => Promise<WalkStep<unknown>>,
): Promise<WalkPosition> {
  let at = from;
  while (!budget.isSpent()) {
    budget.spend();
    const { next } = await step(at);
    // A step that ran out of time has not done all it found.
    if (budget.isSpent()) return at;
    if (next === null) return WALK_BEGIN;
    at = next;
  }
  return at;
}

/** One batch's failure must not leave the others alone. */
async function retireBatch(
  env: Env,
  { batch, archive }: OldBatch,
  { runsBefore, batchesBefore }: { runsBefore: number; batchesBefore: number },
  budget: Budget,
): Promise<void> {
  if (batch.finished_at === null || budget.isSpent()) return;
  try {
    const isExpired = batch.finished_at < batchesBefore;
    if (!isExpired && batch.finished_at >= runsBefore) return;
    budget.spend();
    const isKept = isExpired || archive === "purged" || (await archiveResults(env, batch, budget));
    if (!isKept || !(await removeRunsOf(env, batch, budget))) return;
    if (isExpired) await removeBatch(env, batch, budget);
    else if (archive !== "purged")
      await saveArchive(env, batch.id, { ...(await archiveOf(env, batch)), state: "purged" });
  } catch (error) {
    logError("retention_failed", { batch_id: batch.id }, error);
  }
}

const archiveOf = async (env: Env, batch: OldBatch["batch"]): Promise<BatchArchive> =>
  (await findArchive(env, batch.id)) ?? newArchive(batch);

/** @returns whether they are all there. */
async function archiveResults(env: Env, batch: OldBatch["batch"], budget: Budget): Promise<boolean> {
  const begun = await archiveOf(env, batch);
  if (begun.state !== "writing") return true;
  try {
    return (await writeArchive(env, batch, begun, budget)).state === "done";
  } catch (error) {
    // An upload that R2 has forgotten cannot be gone on with: it begins anew.
    if (begun.upload !== null) await dropUnfinishedArchive(env, batch.id);
    throw error;
  }
}

/** @returns whether none is left. */
async function removeRunsOf(env: Env, batch: OldBatch["batch"], budget: Budget): Promise<boolean> {
  for (;;) {
    const runs = await someRunsOf(env, batch.id, RUNS_A_STEP);
    if (runs.length === 0) return true;
    if (budget.isSpent()) return false;
    budget.spend();
    await removeRuns(env, batch.project_id, runs);
  }
}

/** Bodies first: a row that is left still names them. */
async function removeRuns(env: Env, projectId: string, runs: readonly RunBodies[]): Promise<void> {
  await removeBodies(env, runs);
  await deleteRuns(
    env,
    projectId,
    runs.map((run) => run.id),
  );
}

async function removeBodies(env: Env, runs: readonly RunBodies[]): Promise<void> {
  const keys = runs.flatMap((run) => run.keys);
  for (let i = 0; i < keys.length; i += KEYS_AT_ONCE) await env.BLOBS.delete(keys.slice(i, i + KEYS_AT_ONCE));
}

async function removeBatch(env: Env, batch: OldBatch["batch"], budget: Budget): Promise<void> {
  while (await deleteSomeItems(env, batch.id, RUNS_A_STEP)) {
    if (budget.isSpent()) return;
    budget.spend();
  }
  const archive = await findArchive(env, batch.id);
  if (archive?.upload) await env.BLOBS.resumeMultipartUpload(archive.key, archive.upload.id).abort();
  if (archive) await env.BLOBS.delete(archive.key);
  await deleteArchive(env, batch.id);
  await deleteBatch(env, batch.project_id, batch.id);
}
