import type { BatchOperation } from "../../client/client.ts";
import type { Part } from "../parts/flow.tsx";

/** A batch operation's runs by what became of them: what is done comes first, what waits last. */
export const partsOf = (c: BatchOperation["counts"]): Part[] => [
  { label: "completed", value: c.completed, kind: "good" },
  { label: "failed", value: c.failed, kind: "bad" },
  { label: "timed out", value: c.timed_out, kind: "bad" },
  { label: "crashed", value: c.crashed, kind: "bad" },
  { label: "expired", value: c.expired, kind: "bad" },
  { label: "canceled", value: c.canceled, kind: "held" },
  { label: "in flight", value: c.executing + c.dequeued, kind: "busy" },
  { label: "delayed", value: c.delayed, kind: "idle" },
  { label: "queued", value: c.queued, kind: "idle" },
];
