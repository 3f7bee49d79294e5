import { hasStepEnded, type OnFailure, type SkipReason, type StepStatus } from "./workflow.ts";
import type { WorkflowGraph } from "./workflow-graph.ts";

/** What decides of a step, by its index. */
export interface StepState {
  status: StepStatus;
  skip_reason: SkipReason | null;
  /** Unix milliseconds; set while it sleeps. */
  due_at: number | null;
}

/** What may happen now. */
export interface Moves {
  skips: { index: number; reason: SkipReason }[];
  /** All that they depend on has ended: their condition decides whether they go on. */
  ready: number[];
  /** They have slept enough. */
  awake: number[];
  /** When the next sleeper is due, Unix milliseconds; null: none sleeps. */
  wake_at: number | null;
  /** Set where nothing is left to do. */
  end: "completed" | "failed" | null;
}

/**
 * What follows from where every step stands. Skips are in force for all that is decided beside them; whoever does what is
 * `ready` or `awake` asks again afterwards.
 */
export function nextMoves(
  graph: Pick<WorkflowGraph, "order" | "dependencies">,
  policies: readonly OnFailure[],
  states: readonly StepState[],
  now: number,
): Moves {
  const moves: Moves = { skips: [], ready: [], awake: [], wake_at: null, end: null };
  const present = states.map(({ status, skip_reason }) => ({ status, skip_reason }));
  const hasFailed = present.some(({ status }, i) => status === "failed" && policies[i] === "fail_workflow");
  for (const index of graph.order) {
    const { status, due_at } = states[index] as StepState;
    if (status !== "pending" && status !== "sleeping") continue;
    const before = (graph.dependencies[index] as readonly number[]).map((d) => ({
      ...(present[d] as Omit<StepState, "due_at">),
      policy: policies[d] as OnFailure,
    }));
    const reason = hasFailed ? "workflow_failed" : status === "pending" ? skipReason(before) : null;
    if (reason !== null) {
      present[index] = { status: "skipped", skip_reason: reason };
      moves.skips.push({ index, reason });
    } else if (status === "sleeping") {
      const due = due_at ?? now;
      if (due <= now) moves.awake.push(index);
      else moves.wake_at = Math.min(moves.wake_at ?? due, due);
    } else if (before.every((d) => hasStepEnded(d.status))) moves.ready.push(index);
  }
  if (present.every(({ status }) => hasStepEnded(status))) moves.end = hasFailed ? "failed" : "completed";
  return moves;
}

type Dependency = Omit<StepState, "due_at"> & { policy: OnFailure };

/** Why a step that has not begun never will; null where it may. One failure is enough, though others still run. */
function skipReason(before: readonly Dependency[]): SkipReason | null {
  if (before.some(passesFailureOn)) return "dependency_failed";
  const allSkipped = before.length > 0 && before.every((d) => d.status === "skipped");
  return allSkipped ? "dependencies_skipped" : null;
}

const passesFailureOn = ({ status, skip_reason, policy }: Dependency): boolean =>
  (status === "failed" && policy === "skip_dependents") ||
  (status === "skipped" && skip_reason === "dependency_failed");
