import fc from "fast-check";
import type { GraphStep } from "../../src/domain/workflow-graph.ts";

/** Steps that depend on some of those before them, shuffled, and tied together so that they are one graph. */
export const connectedSteps = (maxSteps: number): fc.Arbitrary<GraphStep[]> =>
  fc
    .integer({ min: 1, max: maxSteps })
    .chain((n) =>
      fc.tuple(
        fc.tuple(...Array.from({ length: n }, (_, i) => fc.subarray(Array.from({ length: i }, (_, k) => k)))),
        fc.shuffledSubarray(
          Array.from({ length: n }, (_, i) => i),
          { minLength: n },
        ),
      ),
    )
    .map(([edges, names]) => {
      const steps = edges.map((before, i) => ({
        step_ref: `s${names[i]}`,
        depends_on: (i > 0 && before.length === 0 ? [i - 1] : before).map((k) => `s${names[k]}`),
      }));
      return names.map((_, i) => steps[names.indexOf(i)] as GraphStep);
    });
