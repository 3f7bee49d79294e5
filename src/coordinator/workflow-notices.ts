import { ledgerId } from "../domain/id.ts";
import type { Notice, WorkflowSignalNotice, WorkflowStart, WorkflowStartNotice } from "../domain/notice.ts";
import type { RunRecord } from "../domain/run.ts";
import { sameValue } from "../domain/version.ts";
import { MAX_CHAIN_DEPTH } from "../domain/workflow.ts";
import type { WorkflowRing } from "../workflows/protocol.ts";
import type { Lane } from "./lane.ts";
import type { LedgerRun } from "./ledger.ts";
import type { JobConfig } from "./protocol.ts";
import { traceOfRun } from "./run-record.ts";

/** What the end of a run means to workflows: the one whose step it is goes on, and another may start. */
export function announceToWorkflows(lane: Lane, run: LedgerRun, record: RunRecord): void {
  const { notices } = lane.pending;
  const at = record.finished_at as number;
  const [workflowRunId, depth] = run.doc.workflow ?? [null, 0];
  if (workflowRunId !== null) signal(notices, workflowRunId, at);
  if (record.status !== "completed") return;
  const { on_complete_trigger_workflow: slug, on_complete_payload_mapping: mapping } = lane.version(run.version).spec;
  if (slug === null) return;
  const id = ledgerId({ at, seq: run.seq, lane: 0, job: (lane.config as JobConfig).number });
  start(notices, slug, mapping, [id, record.id, depth + 1, at, traceOfRun(lane, run)]);
}

function signal(notices: Notice[], workflowRunId: string, at: number): void {
  const same = notices.find((n): n is WorkflowSignalNotice => n.kind === "workflow_signal");
  if (!same) notices.push({ kind: "workflow_signal", workflow_run_ids: [workflowRunId], at });
  else if (!same.workflow_run_ids.includes(workflowRunId)) same.workflow_run_ids.push(workflowRunId);
}

function start(notices: Notice[], slug: string, mapping: Record<string, string> | null, event: WorkflowStart): void {
  const same = notices.find(
    (n): n is WorkflowStartNotice => n.kind === "workflow_start" && n.slug === slug && sameValue(n.mapping, mapping),
  );
  if (same) same.starts.push(event);
  else notices.push({ kind: "workflow_start", slug, mapping, starts: [event] });
}

/** The workflow runs that are rung for. Those that are too deep in their chain stand in D1 as failed already. */
export const ringsOf = (notices: readonly Notice[]): WorkflowRing[] =>
  notices.flatMap((notice): WorkflowRing[] => {
    if (notice.kind === "workflow_signal") {
      return notice.workflow_run_ids.map((workflow_run_id) => ({ v: 1, workflow_run_id }));
    }
    if (notice.kind !== "workflow_start") return [];
    const begun = notice.starts.filter(([, , depth]) => depth <= MAX_CHAIN_DEPTH);
    return begun.map(([workflow_run_id]) => ({ v: 1, workflow_run_id, begins: true }));
  });
