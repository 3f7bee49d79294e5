import { z } from "zod";
import { MAX_CONDITION_CHARS } from "./condition.ts";
import { slugField, text } from "./job-fields.ts";
import { strictObject } from "./strict.ts";
import { MAX_STEPS, ON_FAILURE } from "./workflow.ts";

/**
 * A workflow as a caller sends it, field by field (contract 7). What needs several fields stands in `workflow-rules`. The
 * descriptions go into the OpenAPI document.
 */

const MONTH_SECS = 2_592_000;

const stepRef = z
  .string()
  .regex(/^[A-Za-z0-9_][A-Za-z0-9_-]{0,63}$/, "must have 1 to 64 of A-Z, a-z, 0-9, _ and -")
  .refine((name) => name !== "__proto__", "is not allowed");

const stepShape = {
  step_ref: stepRef.describe("Names the step, in its workflow once."),
  job: z.string().min(1).max(128).describe("Id or slug of a job of the project."),
  depends_on: z
    .array(z.string().max(128))
    .max(MAX_STEPS)
    .default([])
    .describe("Steps that must have ended before this one begins."),
  payload: z
    .unknown()
    .optional()
    .describe(
      "The run's payload. Strings take `{{payload.x}}` and `{{steps.ref.result.x}}` (also `status`, `run_id`, `error`): a string " +
        "that is one template becomes the value itself, or null where there is none; inside text what is missing is left " +
        "out. `\\{{` writes the braces. Absent or null: the workflow run's payload as it was sent.",
    ),
  condition: z
    .string()
    .max(MAX_CONDITION_CHARS)
    .nullable()
    .default(null)
    .describe(
      "CEL over `payload` and `steps`, as `steps.ref.result.ok`. False: the step is skipped; its dependents run all the same, " +
        "unless everything that they depend on was skipped. One that cannot be answered fails the step.",
    ),
  on_failure: z
    .enum(ON_FAILURE)
    .default("fail_workflow")
    .describe(
      "`fail_workflow`: nothing new starts, what runs ends, the workflow run fails. `skip_dependents`: all that depends on it, " +
        "however far, is skipped. `continue`: its dependents run, its result is null.",
    ),
  sleep_secs: z.int().min(0).max(MONTH_SECS).default(0).describe("Waits so long before the run is triggered."),
};

const stepField = strictObject(stepShape);
export type StepInput = z.output<typeof stepField>;

export const workflowShape = {
  name: text(1, 255),
  slug: slugField,
  steps: z
    .array(stepField)
    .min(1, "must have at least one step")
    .max(MAX_STEPS, `must have at most ${MAX_STEPS} steps`)
    .describe("One graph without cycles, connected by its dependencies, in any order."),
} as const;
