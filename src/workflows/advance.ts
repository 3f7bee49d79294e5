import { CONNECTIONS } from "../domain/bounded.ts";
import { MAX_BODY_BYTES } from "../domain/run.ts";
import { judgeStep, type StepFacts, type WorkflowFacts } from "../domain/step-verdict.ts";
import { hasRunEnded, hasStepEnded, type StepError, type WorkflowStep } from "../domain/workflow.ts";
import { type Moves, nextMoves, type StepState } from "../domain/workflow-progress.ts";
import type { Env } from "../env.ts";
import {
  type StepMove,
  type StepRow,
  saveCanceled,
  saveProgress,
  selectStepResults,
  takeStock,
  type WorkflowRunRow,
} from "../store/workflow-runs.ts";
import { type Plan, planOf } from "./plan.ts";
import type { WorkflowPorts } from "./ports.ts";
import { makePayload, payloadBytes } from "./run-payload.ts";

/** Steps judged and begun in one look. */
const STEPS_A_LOOK = 50;
/** Bytes of results that one look holds in memory. */
const RESULT_BYTES = 8 * 1024 * 1024;
/** A step whose job could not be asked is tried again after this long. */
const RETRY_MS = 5_000;
/** The sweeper asks after a run that has not been looked at for so long after it should have been. */
const GRACE_MS = 15_000;

const MAX_MESSAGE = 2_000;

/** What a look at a run has come to. */
export type Look =
  | { kind: "ended" }
  /** Look again at once. */
  | { kind: "again" }
  /** Nothing to do until something ends, or until so long from now. `moved`: something has changed. */
  | { kind: "wait"; ms: number; moved: boolean };

/**
 * Looks at a workflow run and does what may be done now: takes over what its steps' runs have come to, judges what may
 * begin, triggers it, and writes it down. Everything stands in D1; a look that is repeated, or lost half way, does no harm.
 *
 * @param patienceMs how long to wait at most before the next look.
 */
export async function look(
  env: Env,
  ports: WorkflowPorts,
  id: string,
  patienceMs: number,
  clock: () => number,
): Promise<Look> {
  const stock = await takeStock(env.DB, id);
  if (stock === null) return { kind: "ended" };
  if (stock.run.status === "canceled") {
    await clearAway(env, ports, stock.run, stock.steps, clock());
    return { kind: "ended" };
  }
  if (hasRunEnded(stock.run.status)) return { kind: "ended" };
  const run = await makePayload(env, stock.run);
  if ("refused" in run) {
    const error = { code: "validation_failed", message: run.refused };
    await saveProgress(env.DB, id, { moves: [], at: clock(), due_at: 0, end: { status: "failed", error } });
    return { kind: "again" };
  }
  const looking = new Looking(env, ports, run, await planOf(env, run), stock.steps, patienceMs, clock);
  const seen = await looking.go(stock.settled > 0);
  return stock.mayHaveMore && seen.kind === "wait" ? { kind: "again" } : seen;
}

class Looking {
  private readonly env: Env;
  private readonly ports: WorkflowPorts;
  private readonly run: WorkflowRunRow;
  private readonly plan: Plan;
  private readonly rows: Map<number, StepRow>;
  private readonly patienceMs: number;
  private readonly clock: () => number;
  private readonly moves: StepMove[] = [];
  private unavailable = false;

  constructor(
    env: Env,
    ports: WorkflowPorts,
    run: WorkflowRunRow,
    plan: Plan,
    rows: readonly StepRow[],
    patienceMs: number,
    clock: () => number,
  ) {
    this.env = env;
    this.ports = ports;
    this.run = run;
    this.plan = plan;
    this.rows = new Map(rows.map((row) => [row.index, row]));
    this.patienceMs = patienceMs;
    this.clock = clock;
  }

  async go(settled: boolean): Promise<Look> {
    const { plan, clock } = this;
    const moves = nextMoves(plan.graph, plan.policies, statesOf(plan, this.rows), clock());
    for (const { index, reason } of moves.skips) this.moves.push({ index, status: "skipped", skip_reason: reason });
    const chosen = this.choose([...moves.awake, ...moves.ready]);
    await this.begin(chosen, new Set(moves.awake));
    const waitMs = this.waitMs(moves);
    const at = clock();
    const { isAlive, kept } = await saveProgress(this.env.DB, this.run.id, {
      moves: this.moves,
      at,
      due_at: at + waitMs + GRACE_MS,
      ...(moves.end === null ? {} : { end: { status: moves.end } }),
    });
    await this.takeBack(kept);
    if (!isAlive) return { kind: "again" };
    if (moves.end !== null) return { kind: "ended" };
    const isMore = chosen.length < moves.awake.length + moves.ready.length;
    // A step that did not begin may let others begin, or end it all.
    const mayFollow = this.moves.some(({ index, status }) => hasStepEnded(status) && chosen.includes(index));
    if (!this.unavailable && (isMore || mayFollow)) return { kind: "again" };
    return { kind: "wait", ms: waitMs, moved: settled || this.moves.length > 0 };
  }

  /** Another look, or a cancel, was first: what this one has begun after all goes no further. */
  private async takeBack(kept: ReadonlySet<string>): Promise<void> {
    const late = this.moves.flatMap(({ run_id }) => (run_id && !kept.has(run_id) ? [run_id] : []));
    if (late.length > 0) await this.ports.cancelRuns(this.env, this.run.project_id, late);
  }

  /** As many as one look may take, by number and by the size of what they read. */
  private choose(candidates: number[]): number[] {
    const read = new Set<number>();
    let bytes = 0;
    const chosen: number[] = [];
    for (const index of candidates.slice(0, STEPS_A_LOOK)) {
      for (const other of this.plan.reads(index)) {
        if (!read.has(other)) bytes += this.rows.get(other)?.result_size ?? 0;
        read.add(other);
      }
      if (bytes > RESULT_BYTES && chosen.length > 0) break;
      chosen.push(index);
    }
    return chosen;
  }

  private async begin(chosen: number[], awake: ReadonlySet<number>): Promise<void> {
    if (chosen.length === 0) return;
    const facts = await this.facts(chosen);
    const starts: { index: number; payload: string }[] = [];
    for (const index of chosen) {
      const step = this.plan.steps[index] as WorkflowStep;
      const unread = this.plan.reads(index).filter((other) => !facts.steps.has(this.refOf(other)));
      if (unread.length > 0) {
        this.fail(index, {
          class: "payload",
          message: unreadMessage(unread.map((i) => this.refOf(i))),
          http_status: null,
        });
        continue;
      }
      const condition = awake.has(index) ? null : this.plan.condition(index);
      const verdict = judgeStep(step, condition, facts, MAX_BODY_BYTES);
      if (verdict.kind === "skip") this.moves.push({ index, status: "skipped", skip_reason: "condition" });
      else if (verdict.kind === "fail") this.fail(index, verdict.error);
      else if (step.sleep_secs > 0 && !awake.has(index)) {
        this.moves.push({ index, status: "sleeping", due_at: this.clock() + step.sleep_secs * 1000 });
      } else starts.push({ index, payload: verdict.payload });
    }
    for (let i = 0; i < starts.length; i += CONNECTIONS) {
      await Promise.all(starts.slice(i, i + CONNECTIONS).map(({ index, payload }) => this.start(index, payload)));
    }
  }

  private async start(index: number, payload: string): Promise<void> {
    const { step_ref, job, job_id } = this.plan.steps[index] as WorkflowStep;
    const start = await this.ports.startStep(this.env, { ...this.origin(), step_ref, job, job_id, payload });
    switch (start.kind) {
      case "started":
        this.moves.push({ index, status: "running", run_id: start.run_id });
        break;
      case "refused":
        this.fail(index, start.error);
        break;
      case "unavailable":
        this.unavailable = true;
    }
  }

  private origin() {
    const { id, project_id, depth, trace } = this.run;
    return { workflow_run_id: id, project_id, depth, trace };
  }

  private fail(index: number, error: StepError): void {
    this.moves.push({ index, status: "failed", error: { ...error, message: error.message.slice(0, MAX_MESSAGE) } });
  }

  private refOf(index: number): string {
    return (this.plan.steps[index] as WorkflowStep).step_ref;
  }

  /** What these steps read; of results that are too much together, or no longer kept, the step is missing. */
  private async facts(chosen: number[]): Promise<WorkflowFacts> {
    const read = [...new Set(chosen.flatMap((index) => this.plan.reads(index)))];
    const size = read.reduce((sum, index) => sum + (this.rows.get(index)?.result_size ?? 0), 0);
    const rows = size > RESULT_BYTES ? [] : await selectStepResults(this.env.DB, this.run.id, read);
    const steps = new Map<string, StepFacts>();
    for (const { index, status } of this.moves) {
      steps.set(this.refOf(index), { status, run_id: null, error: null, result: null });
    }
    for (const { index, status, run_id, error, result, result_ref } of rows) {
      const inline = result === null ? null : new TextEncoder().encode(result);
      const kept = result_ref === null ? inline : await this.object(result_ref);
      if (result_ref !== null && kept === null) continue;
      steps.set(this.refOf(index), { status, run_id, error, result: kept });
    }
    return { payload: await payloadBytes(this.env, this.run), steps };
  }

  private async object(key: string): Promise<Uint8Array | null> {
    const object = await this.env.BLOBS.get(key);
    return object && new Uint8Array(await object.arrayBuffer());
  }

  private waitMs({ wake_at }: Moves): number {
    const sleeping = this.moves.flatMap(({ due_at }) => due_at ?? []);
    const next = Math.min(wake_at ?? Number.POSITIVE_INFINITY, ...sleeping) - this.clock();
    return Math.max(1, Math.min(this.unavailable ? RETRY_MS : this.patienceMs, next));
  }
}

const unreadMessage = (refs: string[]): string =>
  `payload: the results of ${refs.join(", ")} are no longer kept, or are more than ${RESULT_BYTES} bytes together`;

const PENDING: StepState = { status: "pending", skip_reason: null, due_at: null };

const statesOf = (plan: Plan, rows: ReadonlyMap<number, StepRow>): StepState[] =>
  plan.steps.map((_, index) => rows.get(index) ?? PENDING);

/**
 * Cancels all that a canceled run has begun: what is known to run, and what a look that died may have triggered without
 * writing it down. Only a step that could begin can have done so.
 */
async function clearAway(
  env: Env,
  ports: WorkflowPorts,
  run: WorkflowRunRow,
  rows: readonly StepRow[],
  now: number,
): Promise<void> {
  if (run.workflow_id === null) return;
  const plan = await planOf(env, run);
  const states = statesOf(plan, new Map(rows.map((row) => [row.index, row])));
  const { ready, awake } = nextMoves(plan.graph, plan.policies, states, now);
  const found = new Map<number, string>();
  for (const { index, status, run_id } of rows) if (status === "running" && run_id !== null) found.set(index, run_id);
  for (const index of [...ready, ...awake]) {
    const { step_ref, job, job_id } = plan.steps[index] as WorkflowStep;
    const { id, project_id } = run;
    const runId = await ports.findStepRun(env, { workflow_run_id: id, project_id, step_ref, job, job_id });
    if (runId !== null) found.set(index, runId);
  }
  if (found.size > 0) await ports.cancelRuns(env, run.project_id, [...found.values()]);
  const moves = states.flatMap((state, index): StepMove[] =>
    hasStepEnded(state.status) ? [] : [{ index, status: "canceled", run_id: found.get(index) ?? null }],
  );
  await saveCanceled(env.DB, run.id, moves);
}
