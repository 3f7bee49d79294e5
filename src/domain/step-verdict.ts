import { type Condition, ConditionError } from "./condition.ts";
import { RenderedTooLarge, rawAt, renderTemplate, type TemplatePath } from "./template.ts";
import type { StepError, StepStatus, WorkflowStep } from "./workflow.ts";

/** What a step may read of one that has ended. */
export interface StepFacts {
  status: StepStatus;
  run_id: string | null;
  /** Raw JSON; null where it left none. */
  result: Uint8Array | null;
  error: StepError | null;
}

/** What steps read: raw JSON, as it came. */
export interface WorkflowFacts {
  payload: Uint8Array;
  steps: ReadonlyMap<string, StepFacts>;
}

export type StepVerdict = { kind: "go"; payload: string } | { kind: "skip" } | { kind: "fail"; error: StepError };

const failed = (kind: string, message: string): StepVerdict => ({
  kind: "fail",
  error: { class: kind, message, http_status: null },
});

/** Whether a step that may begin does, and with what payload. `condition` null: it is not asked (any more). */
export function judgeStep(
  step: Pick<WorkflowStep, "payload">,
  condition: Condition | null,
  facts: WorkflowFacts,
  maxChars: number,
): StepVerdict {
  try {
    if (condition !== null && !condition.holds(conditionFacts(condition, facts))) return { kind: "skip" };
    const payload =
      step.payload === null
        ? textOf(facts.payload)
        : renderTemplate(step.payload, (path) => lookup(facts, path), maxChars);
    return { kind: "go", payload };
  } catch (error) {
    if (error instanceof ConditionError) return failed("condition", `condition: ${error.message}`);
    if (error instanceof RenderedTooLarge) return failed("payload", `payload: ${error.message}`);
    throw error;
  }
}

const textOf = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
const bytesOf = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));
const parse = (raw: Uint8Array | null): unknown => (raw === null ? null : JSON.parse(textOf(raw)));

function conditionFacts(condition: Condition, { payload, steps }: WorkflowFacts) {
  const named = condition.refs.map((ref) => {
    const { status, run_id, result, error } = steps.get(ref) as StepFacts;
    return [ref, { status, run_id, result: parse(result), error }];
  });
  return { payload: parse(payload), steps: Object.fromEntries(named) as Record<string, unknown> };
}

function lookup({ payload, steps }: WorkflowFacts, [root, ...path]: TemplatePath): Uint8Array | null {
  if (root === "payload") return rawAt(payload, path);
  const [ref, fact, ...inside] = path;
  const step = ref === undefined ? undefined : steps.get(ref);
  if (step === undefined) return null;
  if (fact === "result") return step.result && rawAt(step.result, inside);
  const { status, run_id, error } = step;
  const value = new Map<string | undefined, unknown>([
    ["status", status],
    ["run_id", run_id],
    ["error", error],
  ]).get(fact);
  return value === undefined ? null : rawAt(bytesOf(value), inside);
}
