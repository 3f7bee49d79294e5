import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type GraphStep, type WorkflowGraph, workflowGraph } from "../../src/domain/workflow-graph.ts";
import { connectedSteps } from "./connected-steps.ts";

const graphOf = (edges: Record<string, string[]>) =>
  workflowGraph(Object.entries(edges).map(([step_ref, depends_on]) => ({ step_ref, depends_on })));

const sound = (steps: GraphStep[]): WorkflowGraph => {
  const graph = workflowGraph(steps);
  if (Array.isArray(graph)) throw new Error(JSON.stringify(graph));
  return graph;
};

test("every step comes behind all that it depends on, and ancestors are those that a walk finds", () => {
  fc.assert(
    fc.property(connectedSteps(12), (steps) => {
      const graph = sound(steps);
      expect([...graph.order].sort((a, b) => a - b)).toEqual(steps.map((_, i) => i));
      const place = new Map(graph.order.map((step, at) => [step, at]));
      graph.dependencies.forEach((before, step) => {
        for (const d of before) expect(place.get(d)).toBeLessThan(place.get(step) as number);
      });
      const walked = (from: number, found = new Set<number>()): Set<number> => {
        for (const d of graph.dependencies[from] ?? []) if (!found.has(d)) walked(d, found.add(d));
        return found;
      };
      steps.forEach((_, step) => {
        const ancestors = walked(step);
        const others = steps.map((_, other) => graph.isAncestor(other, step));
        expect(others).toEqual(steps.map((_, other) => ancestors.has(other)));
      });
    }),
  );
});

test("an edge back to where one came from is a cycle, and its steps are named", () => {
  fc.assert(
    fc.property(connectedSteps(10), fc.nat(), fc.nat(), (steps, a, b) => {
      const graph = sound(steps);
      const late = a % steps.length;
      const earlier = steps.flatMap((_, i) => (graph.isAncestor(i, late) ? [i] : []));
      fc.pre(earlier.length > 0);
      const early = earlier[b % earlier.length] as number;
      const closed = steps.map((s, i) =>
        i === early ? { ...s, depends_on: [...s.depends_on, (steps[late] as GraphStep).step_ref] } : s,
      );
      const problems = workflowGraph(closed);
      if (!Array.isArray(problems)) throw new Error("a cycle was not seen");
      const [problem] = problems;
      expect(problem?.path).toMatch(/^steps\[\d+\]\.depends_on$/);
      const names = problem?.message.replace("makes a cycle: ", "").split(" → ") ?? [];
      expect(names.length).toBeGreaterThan(1);
      expect(names.at(0)).toBe(names.at(-1));
      names.slice(1).forEach((dependency, i) => {
        if (names[i] === "…" || dependency === "…") return;
        expect(closed.find((s) => s.step_ref === names[i])?.depends_on).toContain(dependency);
      });
    }),
  );
});

test("two graphs that nothing connects are refused", () => {
  fc.assert(
    fc.property(connectedSteps(6), connectedSteps(6), (one, other) => {
      const renamed = other.map((s) => ({
        step_ref: `t${s.step_ref}`,
        depends_on: s.depends_on.map((d) => `t${d}`),
      }));
      const problems = workflowGraph([...one, ...renamed]);
      expect(problems).toMatchObject([{ path: `steps[${one.length}]` }]);
    }),
  );
});

describe("what is wrong is named:", () => {
  test.each([
    [{ load: ["b"] }, "steps[0].depends_on[0]", '"b" is no step of this workflow'],
    [{ load: [], send: ["laod"] }, "steps[1].depends_on[0]", '"laod" is no step of this workflow; did you mean load?'],
    [{ a: ["a"] }, "steps[0].depends_on[0]", "is the step itself"],
    [{ a: [], b: ["a", "a"] }, "steps[1].depends_on[1]", "stands twice"],
    [{ a: ["c"], b: ["a"], c: ["b"] }, "steps[0].depends_on", "makes a cycle: a → c → b → a"],
    [{ a: [], b: [] }, "steps[1]", '"b" is connected to "a" by no dependencies; a workflow is one connected graph'],
  ])("%j", (edges, path, message) => expect(graphOf(edges as Record<string, string[]>)).toEqual([{ path, message }]));

  test("a name that stands twice", () => {
    const problems = workflowGraph([
      { step_ref: "a", depends_on: [] },
      { step_ref: "a", depends_on: [] },
    ]);
    expect(problems).toEqual([{ path: "steps[1].step_ref", message: "stands twice: steps[0] has it too" }]);
  });

  test("a cycle of a thousand steps, in a line that can be read", () => {
    const steps = Array.from({ length: 1000 }, (_, i) => ({
      step_ref: `step${i}`,
      depends_on: [`step${(i + 1) % 1000}`],
    }));
    const [problem] = workflowGraph(steps) as { message: string }[];
    expect(problem?.message.length).toBeLessThan(200);
  });
});
