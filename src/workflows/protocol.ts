import { z } from "zod";

/** The doorbell of the queue "workflows": these workflow runs have something to look at. It carries none of it. */
export const workflowRingSchema = z.object({
  v: z.literal(1),
  workflow_run_id: z.string(),
  /** It has just been made, and has no instance yet. */
  begins: z.boolean().optional(),
});
export type WorkflowRing = z.infer<typeof workflowRingSchema>;

/** What an instance of the platform's workflow is told; its id is the workflow run's own. */
export type RunnerParams = Record<string, never>;

/** The event that ends an instance's waiting. */
export const WAKE = "wake";

/** What a step's run is known by, so that no repeat makes another one. */
export const stepIdentity = (workflowRunId: string, stepRef: string): string => `w:${workflowRunId}/${stepRef}`;
