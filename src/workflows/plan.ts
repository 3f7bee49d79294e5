import { type Condition, readCondition } from "../domain/condition.ts";
import type { OnFailure, WorkflowStep } from "../domain/workflow.ts";
import { type WorkflowGraph, workflowGraph } from "../domain/workflow-graph.ts";
import { stepsRead } from "../domain/workflow-rules.ts";
import type { Env } from "../env.ts";
import { selectSteps, type WorkflowRunRow } from "../store/workflow-runs.ts";

/** A revision of a workflow, ready to be gone by. */
export interface Plan {
  steps: readonly WorkflowStep[];
  graph: WorkflowGraph;
  policies: readonly OnFailure[];
  /** By index, what it reads. */
  reads(index: number): readonly number[];
  condition(index: number): Condition | null;
}

/** A revision never changes, so an isolate keeps some. */
const known = new Map<string, Plan>();
const MAX_KNOWN = 20;

export async function planOf(env: Env, run: WorkflowRunRow): Promise<Plan> {
  const { workflow_id, revision } = run;
  if (workflow_id === null || revision === null) throw new Error(`the workflow run ${run.id} has no workflow`);
  const name = `${workflow_id}/${revision}`;
  const plan = known.get(name) ?? makePlan(await selectSteps(env.DB, workflow_id, revision));
  known.delete(name);
  known.set(name, plan);
  const [oldest] = known.keys();
  if (known.size > MAX_KNOWN && oldest !== undefined) known.delete(oldest);
  return plan;
}

function makePlan(steps: WorkflowStep[]): Plan {
  const graph = workflowGraph(steps);
  if (Array.isArray(graph)) throw new Error(`a workflow was saved that is none: ${JSON.stringify(graph[0])}`);
  const reads = new Map<number, readonly number[]>();
  return {
    steps,
    graph,
    policies: steps.map((step) => step.on_failure),
    reads: (index) => {
      const step = steps[index] as WorkflowStep;
      const found = reads.get(index) ?? stepsRead(step).map((ref) => graph.indexOf.get(ref) as number);
      reads.set(index, found);
      return found;
    },
    condition: (index) => {
      const text = steps[index]?.condition ?? null;
      const read = text === null ? null : readCondition(text);
      if (typeof read === "string") throw new Error(`a condition was saved that is none: ${read}`);
      return read;
    },
  };
}
