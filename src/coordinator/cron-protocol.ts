import type { Trace } from "../domain/traceparent.ts";
import type { AcceptItem, ItemOutcome, Refusal } from "./protocol.ts";

/** A firing of the job's cron, asked for by whoever looks at the clock. */
export interface CronRequest {
  /** The revision of the configuration that the firing was judged by. */
  revision: number;
  /** The minute that fires, Unix ms. */
  minute: number;
  item: AcceptItem;
  traceparent: Trace;
}

export type CronAnswer =
  | { kind: "fired"; outcome: ItemOutcome }
  /** An earlier run of the cron still lives, and `cron_overlap_policy` is `skip`. */
  | { kind: "skipped" }
  /** This minute, or a later one, was decided before. */
  | { kind: "repeated" }
  /** Earlier runs were canceled, and there are more: ask again. */
  | { kind: "canceling" }
  /** The job is paused: the minute stays undecided. */
  | { kind: "paused" }
  | Refusal;
