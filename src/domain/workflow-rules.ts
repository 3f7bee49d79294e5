import { readCondition } from "./condition.ts";
import type { ErrorDetail } from "./error.ts";
import { readTemplate, type TemplatePath } from "./template.ts";
import { stepProblem, type WorkflowStep } from "./workflow.ts";
import { unknownStep, type WorkflowGraph, workflowGraph } from "./workflow-graph.ts";

/** What a path may ask of a step. */
const STEP_FACTS = ["result", "status", "run_id", "error"];

/** A step before its job was looked up. */
export type NewStep = Omit<WorkflowStep, "job_id">;

/** Problems shown at most: a workflow has up to a thousand steps. */
const MAX_PROBLEMS = 100;

/**
 * Everything that is wrong with the steps of a workflow, each of which is right by its bounds: names, the graph, conditions
 * and templates. Templates and conditions may read only steps that have ended by then for certain.
 */
export function workflowProblems(steps: readonly NewStep[]): ErrorDetail[] {
  const graph = workflowGraph(steps);
  const problems = Array.isArray(graph) ? [...graph] : [];
  const sound = Array.isArray(graph) ? null : graph;
  steps.forEach((step, i) => {
    problems.push(...payloadProblems(step, i, steps, sound), ...conditionProblems(step, i, steps, sound));
  });
  return problems.slice(0, MAX_PROBLEMS);
}

function payloadProblems(
  step: NewStep,
  index: number,
  steps: readonly NewStep[],
  graph: WorkflowGraph | null,
): ErrorDetail[] {
  const { paths, problems } = readTemplate(step.payload);
  const found = problems.map(({ at, message }) => stepProblem(index, `payload${at}`, message));
  for (const path of paths) {
    const message = pathProblem(path, index, steps, graph);
    if (message !== null) found.push(stepProblem(index, "payload", `{{${path.join(".")}}} ${message}`));
  }
  return found;
}

function pathProblem(
  path: TemplatePath,
  index: number,
  steps: readonly NewStep[],
  graph: WorkflowGraph | null,
): string | null {
  const [root, ref, fact] = path;
  if (root === "payload") return null;
  if (root !== "steps") return "must begin with payload or steps";
  if (ref === undefined) return "must name a step";
  if (fact === undefined || !STEP_FACTS.includes(fact))
    return `must name one of ${STEP_FACTS.join(", ")} behind the step`;
  return ancestorProblem(ref, index, steps, graph);
}

function conditionProblems(
  { condition }: NewStep,
  index: number,
  steps: readonly NewStep[],
  graph: WorkflowGraph | null,
): ErrorDetail[] {
  if (condition === null) return [];
  const read = readCondition(condition);
  if (typeof read === "string") return [stepProblem(index, "condition", read)];
  return read.refs.flatMap((ref) => {
    const message = ancestorProblem(ref, index, steps, graph);
    return message === null ? [] : [stepProblem(index, "condition", message)];
  });
}

/** A step may read what it depends on, directly or through others. Where the graph is broken only names are judged. */
function ancestorProblem(
  ref: string,
  index: number,
  steps: readonly NewStep[],
  graph: WorkflowGraph | null,
): string | null {
  const names = steps.map((s) => s.step_ref);
  const at = graph?.indexOf.get(ref) ?? names.indexOf(ref);
  if (at === -1) return unknownStep(ref, names);
  if (graph === null || graph.isAncestor(at, index)) return null;
  return `reads "${ref}", which "${steps[index]?.step_ref}" does not depend on`;
}

/** The steps that a step reads: its condition's and its payload's. */
export function stepsRead(step: Pick<WorkflowStep, "condition" | "payload">): string[] {
  const condition = step.condition === null ? null : readCondition(step.condition);
  const refs = condition === null || typeof condition === "string" ? [] : condition.refs;
  const paths = readTemplate(step.payload).paths;
  return [
    ...new Set([...refs, ...paths.flatMap(([root, ref]) => (root === "steps" && ref !== undefined ? [ref] : []))]),
  ];
}
