import type { ErrorDetail } from "./error.ts";
import { nearest } from "./nearest.ts";
import { stepProblem, type WorkflowStep } from "./workflow.ts";

/** What of a step makes the graph. */
export type GraphStep = Pick<WorkflowStep, "step_ref" | "depends_on">;

/** A workflow's steps by their dependencies, all by index. */
export interface WorkflowGraph {
  /** Every step behind all that it depends on. */
  order: readonly number[];
  dependencies: readonly (readonly number[])[];
  indexOf: ReadonlyMap<string, number>;
  /** Whether `earlier` comes before `step` on some path. */
  isAncestor(earlier: number, step: number): boolean;
}

/**
 * The graph of steps, or everything that is wrong with it: names that stand twice, dependencies that are no steps, a
 * cycle, or parts that nothing connects.
 */
export function workflowGraph(steps: readonly GraphStep[]): WorkflowGraph | ErrorDetail[] {
  const problems: ErrorDetail[] = [];
  const indexOf = new Map<string, number>();
  steps.forEach(({ step_ref }, i) => {
    const first = indexOf.get(step_ref);
    if (first === undefined) indexOf.set(step_ref, i);
    else problems.push(stepProblem(i, "step_ref", `stands twice: steps[${first}] has it too`));
  });
  const dependencies = steps.map((step, i) => dependenciesOf(step, i, indexOf, problems));
  if (problems.length > 0) return problems;
  const order = topologicalOrder(dependencies);
  if (order.length < steps.length) return [cycleProblem(steps, dependencies, new Set(order))];
  const stranger = strangerTo(0, dependencies);
  if (stranger !== null) {
    const first = steps[0]?.step_ref;
    const message = `"${steps[stranger]?.step_ref}" is connected to "${first}" by no dependencies; a workflow is one connected graph`;
    return [stepProblem(stranger, null, message)];
  }
  const ancestors = ancestorSets(order, dependencies);
  return { order, dependencies, indexOf, isAncestor: (earlier, step) => has(ancestors[step], earlier) };
}

function dependenciesOf(
  step: GraphStep,
  index: number,
  indexOf: ReadonlyMap<string, number>,
  problems: ErrorDetail[],
): number[] {
  const found = new Set<number>();
  step.depends_on.forEach((ref, j) => {
    const refuse = (message: string) => problems.push(stepProblem(index, `depends_on[${j}]`, message));
    const at = indexOf.get(ref);
    if (at === undefined) refuse(unknownStep(ref, [...indexOf.keys()]));
    else if (at === index) refuse("is the step itself");
    else if (found.has(at)) refuse("stands twice");
    else found.add(at);
  });
  return [...found];
}

/** Looking for a near name among a thousand would cost more than it helps. */
const MAX_COMPARED = 100;

export function unknownStep(ref: string, known: string[]): string {
  const near = known.length > MAX_COMPARED ? null : nearest(ref, known);
  return near === null
    ? `"${ref}" is no step of this workflow`
    : `"${ref}" is no step of this workflow; did you mean ${near}?`;
}

/** Kahn's algorithm; steps on a cycle, or behind one, are left out. Of those that are free the earliest comes first. */
function topologicalOrder(dependencies: readonly (readonly number[])[]): number[] {
  const dependents: number[][] = dependencies.map(() => []);
  dependencies.forEach((before, step) => {
    for (const d of before) dependents[d]?.push(step);
  });
  const missing = dependencies.map((before) => before.length);
  const order = missing.flatMap((n, step) => (n === 0 ? [step] : []));
  for (let at = 0; at < order.length; at++) {
    for (const next of dependents[order[at] as number] ?? []) {
      missing[next] = (missing[next] as number) - 1;
      if (missing[next] === 0) order.push(next);
    }
  }
  return order;
}

/** Names a cycle: from any step that was left out, walking to a dependency that was left out too comes round. */
function cycleProblem(
  steps: readonly GraphStep[],
  dependencies: readonly (readonly number[])[],
  sound: ReadonlySet<number>,
): ErrorDetail {
  const path: number[] = [];
  let at = steps.findIndex((_, i) => !sound.has(i));
  while (!path.includes(at)) {
    path.push(at);
    at = dependencies[at]?.find((d) => !sound.has(d)) as number;
  }
  const cycle = [...path.slice(path.indexOf(at)), at].map((i) => steps[i]?.step_ref);
  return stepProblem(at, "depends_on", `makes a cycle: ${shortened(cycle).join(" → ")}`);
}

const MAX_SHOWN = 10;
const shortened = (names: (string | undefined)[]): (string | undefined)[] =>
  names.length <= MAX_SHOWN ? names : [...names.slice(0, MAX_SHOWN - 2), "…", names.at(-1)];

/** The first step that no path of dependencies, in either direction, connects to `start`; null where there is none. */
function strangerTo(start: number, dependencies: readonly (readonly number[])[]): number | null {
  const neighbours: number[][] = dependencies.map(() => []);
  dependencies.forEach((before, step) => {
    for (const d of before) {
      neighbours[d]?.push(step);
      neighbours[step]?.push(d);
    }
  });
  const reached = new Set([start]);
  for (const step of reached) for (const next of neighbours[step] ?? []) reached.add(next);
  const stranger = dependencies.findIndex((_, i) => !reached.has(i));
  return stranger === -1 ? null : stranger;
}

/** A set of steps as bits: a thousand steps may have half a million pairs. */
type Bits = Uint32Array;
const has = (set: Bits | undefined, i: number): boolean => (((set?.[i >>> 5] ?? 0) >>> (i & 31)) & 1) === 1;

function ancestorSets(order: readonly number[], dependencies: readonly (readonly number[])[]): Bits[] {
  const words = Math.ceil(order.length / 32);
  const sets = dependencies.map(() => new Uint32Array(words));
  for (const step of order) {
    const own = sets[step] as Bits;
    for (const d of dependencies[step] as readonly number[]) {
      const theirs = sets[d] as Bits;
      for (let w = 0; w < words; w++) own[w] = (own[w] as number) | (theirs[w] as number);
      own[d >>> 5] = (own[d >>> 5] as number) | (1 << (d & 31));
    }
  }
  return sets;
}
