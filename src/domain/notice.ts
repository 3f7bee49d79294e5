import type { Sealed } from "./job.ts";
import type { TerminalStatus } from "./run.ts";
import type { Trace } from "./traceparent.ts";

/**
 * What a coordinator's commit announces to others, beside the rows that D1 keeps of it. A notice waits in the outbox as JSON
 * and lands in D1 together with the rows it speaks of. `coordinator/notices` says how to add a kind.
 */
export type Notice = WebhookNotice | WorkflowStartNotice | WorkflowSignalNotice;

export type WebhookType = `run.${TerminalStatus}` | "batch.finished";

/** Something has ended, and an address wants to hear of it. */
export interface WebhookNotice {
  kind: "webhook";
  url: string;
  secret: Sealed | null;
  /** As many as the commit has for this address. */
  events: WebhookEvent[];
}

export type WebhookEvent = [
  /** The delivery's id: it follows from what has ended, so a second arrival is none. */
  id: string,
  type: WebhookType,
  runId: string | null,
  batchId: string | null,
  /** Unix milliseconds. */
  at: number,
  /** That the run or batch belongs to. Absent in notices of before it was told. */
  trace?: Trace | null,
];

/** Runs have completed whose job starts a workflow. */
export interface WorkflowStartNotice {
  kind: "workflow_start";
  slug: string;
  mapping: Record<string, string> | null;
  starts: WorkflowStart[];
}

export type WorkflowStart = [
  /** The workflow run's id: it follows from the completed run's, so a second arrival is none. */
  id: string,
  runId: string,
  /** Of the workflow run, in its chain. */
  depth: number,
  /** Unix milliseconds. */
  at: number,
  /** That the completed run belongs to. Absent in notices of before it was told. */
  trace?: Trace | null,
];

/** Runs of steps have ended: their workflow runs can go on. */
export interface WorkflowSignalNotice {
  kind: "workflow_signal";
  workflow_run_ids: string[];
  /** Unix milliseconds. */
  at: number;
}
