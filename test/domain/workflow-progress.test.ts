import fc from "fast-check";
import { expect, test } from "vitest";
import { hasStepEnded, ON_FAILURE, type OnFailure, type SkipReason } from "../../src/domain/workflow.ts";
import { type WorkflowGraph, workflowGraph } from "../../src/domain/workflow-graph.ts";
import { nextMoves, type StepState } from "../../src/domain/workflow-progress.ts";
import { connectedSteps } from "./connected-steps.ts";

/** What a step would do, if it came to it. */
interface Fate {
  policy: OnFailure;
  /** What its condition comes to. */
  condition: boolean | "error";
  run: "completed" | "failed";
  sleeps: boolean;
}

const world = (policies: readonly OnFailure[]) =>
  connectedSteps(9).chain((steps) =>
    fc.record({
      graph: fc.constant(workflowGraph(steps) as WorkflowGraph),
      fates: fc.array(
        fc.record<Fate>({
          policy: fc.constantFrom<OnFailure[]>(...policies),
          condition: fc.constantFrom<Fate["condition"][]>(true, true, true, false, "error"),
          run: fc.constantFrom<Fate["run"][]>("completed", "completed", "failed"),
          sleeps: fc.boolean(),
        }),
        { minLength: steps.length, maxLength: steps.length },
      ),
      /** In which order what may happen happens. */
      dice: fc.infiniteStream(fc.nat()),
    }),
  );

interface Play {
  states: StepState[];
  /** In the order in which their runs began. */
  began: number[];
  /** Those that began when a failure had already ended it all. */
  beganTooLate: number[];
  end: "completed" | "failed" | null;
}

/** Lets things happen one at a time, in any order, until nothing is left. */
function play(graph: WorkflowGraph, fates: Fate[], dice: Iterator<number>): Play {
  const policies = fates.map((f) => f.policy);
  const states: StepState[] = fates.map(() => ({ status: "pending", skip_reason: null, due_at: null }));
  const result: Play = { states, began: [], beganTooLate: [], end: null };
  let now = 0;
  const begin = (index: number): void => {
    states[index] = { status: "running", skip_reason: null, due_at: null };
    result.began.push(index);
    if (states.some((s, i) => s.status === "failed" && policies[i] === "fail_workflow"))
      result.beganTooLate.push(index);
  };
  for (let turn = 0; turn < 1_000; turn++) {
    const moves = nextMoves(graph, policies, states, now);
    for (const { index, reason } of moves.skips)
      states[index] = { status: "skipped", skip_reason: reason, due_at: null };
    const running = states.flatMap((s, i) => (s.status === "running" ? [i] : []));
    const choices: (() => void)[] = [
      ...moves.ready.map((index) => () => {
        const fate = fates[index] as Fate;
        if (fate.condition === false) states[index] = { status: "skipped", skip_reason: "condition", due_at: null };
        else if (fate.condition === "error") states[index] = { status: "failed", skip_reason: null, due_at: null };
        else if (fate.sleeps) states[index] = { status: "sleeping", skip_reason: null, due_at: now + 10 };
        else begin(index);
      }),
      ...moves.awake.map((index) => () => begin(index)),
      ...running.map((index) => () => {
        states[index] = { status: (fates[index] as Fate).run, skip_reason: null, due_at: null };
      }),
      ...(moves.wake_at === null
        ? []
        : [
            () => {
              now = moves.wake_at as number;
            },
          ]),
    ];
    if (moves.end !== null) {
      expect(choices).toEqual([]);
      result.end = moves.end;
      return result;
    }
    expect(choices.length, "nothing is left to do, and it has not ended").toBeGreaterThan(0);
    choices[(dice.next().value as number) % choices.length]?.();
  }
  throw new Error("it does not end");
}

/** What becomes of a step, said once more, by recursion: nobody fails the workflow here, so the order does not matter. */
function oracle(graph: WorkflowGraph, fates: Fate[]): { status: string; reason: SkipReason | null; failed: boolean }[] {
  const known = new Map<number, { status: string; reason: SkipReason | null; failed: boolean }>();
  const fateOf = (i: number): { status: string; reason: SkipReason | null; failed: boolean } => {
    const before = (graph.dependencies[i] ?? []).map((d) => known.get(d) ?? fateOf(d));
    const parents = (graph.dependencies[i] ?? []).map((d) => fates[d] as Fate);
    const poisoned = before.some(
      (b, k) => b.failed && (b.status === "skipped" || parents[k]?.policy === "skip_dependents"),
    );
    const fate = fates[i] as Fate;
    const skip = (reason: SkipReason, failed: boolean) => ({ status: "skipped", reason, failed });
    const answer = poisoned
      ? skip("dependency_failed", true)
      : before.length > 0 && before.every((b) => b.status === "skipped")
        ? skip("dependencies_skipped", false)
        : fate.condition === false
          ? skip("condition", false)
          : fate.condition === "error" || fate.run === "failed"
            ? { status: "failed", reason: null, failed: true }
            : { status: "completed", reason: null, failed: false };
    known.set(i, answer);
    return answer;
  };
  return fates.map((_, i) => fateOf(i));
}

test("where no failure ends it all, every step ends as the oracle has it, in whatever order things happen", () => {
  fc.assert(
    fc.property(world(["skip_dependents", "continue"]), ({ graph, fates, dice }) => {
      const { states, end, began } = play(graph, fates, dice[Symbol.iterator]());
      const expected = oracle(graph, fates);
      expect(states.map((s) => [s.status, s.skip_reason])).toEqual(expected.map((e) => [e.status, e.reason]));
      expect(end).toBe("completed");
      expect(new Set(began).size).toBe(began.length);
    }),
    { numRuns: 500 },
  );
});

test("with any policies it ends; a step begins once, behind all that it depends on, and none after a failure that ends it", () => {
  fc.assert(
    fc.property(world(ON_FAILURE), ({ graph, fates, dice }) => {
      const { states, began, beganTooLate, end } = play(graph, fates, dice[Symbol.iterator]());
      expect(states.every((s) => hasStepEnded(s.status))).toBe(true);
      expect(new Set(began).size).toBe(began.length);
      expect(beganTooLate).toEqual([]);
      const fatal = states.some((s, i) => s.status === "failed" && fates[i]?.policy === "fail_workflow");
      expect(end).toBe(fatal ? "failed" : "completed");
      began.forEach((step, at) => {
        for (const d of graph.dependencies[step] ?? []) {
          const ranBefore = began.indexOf(d) !== -1 && began.indexOf(d) < at;
          expect(ranBefore || !began.includes(d)).toBe(true);
        }
      });
      if (!fatal) expect(states.some((s) => s.skip_reason === "workflow_failed")).toBe(false);
    }),
    { numRuns: 500 },
  );
});
