import { assertNever } from "../domain/error.ts";
import { accept } from "./accept.ts";
import type { CronAnswer, CronRequest } from "./cron-protocol.ts";
import type { Lane } from "./lane.ts";
import { cancelLiving } from "./steering.ts";

/** Runs canceled in one transaction. */
const STEP_RUNS = 500;

/** Decides a minute of the job's cron, once and for all: at most one run, whoever asks and however often. */
export function fireCron(lane: Lane, request: CronRequest, now: number): CronAnswer {
  if (!lane.mayStart) return { kind: "paused" };
  if (request.minute <= lane.state.cronMinute) return { kind: "repeated" };
  const policy = lane.spec.cron_overlap_policy;
  switch (policy) {
    case "allow":
      break;
    case "skip":
      if (lane.ledger.cronRuns(1).length === 0) break;
      lane.state.cronMinute = request.minute;
      return { kind: "skipped" };
    case "cancel_running": {
      const living = lane.ledger.cronRuns(STEP_RUNS);
      for (const run of living) cancelLiving(lane, run, now);
      if (living.length === STEP_RUNS) return { kind: "canceling" };
      break;
    }
    default:
      assertNever(policy);
  }
  lane.state.cronMinute = request.minute;
  return { kind: "fired", outcome: createRun(lane, request, now) };
}

function createRun(lane: Lane, { revision, item, traceparent }: CronRequest, now: number) {
  const by = { triggered_by: "cron", created_by: "system:cron", traceparent } as const;
  const answer = accept(lane, { ...by, revision, items: [item] }, now);
  const outcome = answer.kind === "accepted" ? answer.outcomes[0] : undefined;
  if (outcome === undefined) throw new Error(`an item without a batch was answered ${answer.kind}`);
  if (outcome.o === "created") lane.ledger.insertCronRun(outcome.seq);
  return outcome;
}
