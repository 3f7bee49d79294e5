import type { ItemOutcome } from "../../src/coordinator/protocol.ts";
import type { RunStatus } from "../../src/domain/run.ts";
import type { Start } from "./reference-limits.ts";

/** A run as the laws know it. */
export interface RefRun {
  id: string;
  seq: number;
  at: number;
  batch: RefBatch | null;
  index: number | null;
  payload: string;
  priority: number;
  key: string | null;
  /** The named limits that it draws from; null: every one. */
  limits: string[] | null;
  expires: number | null;
  max: number | null;
  /** Used last. */
  version: number;
  triggered: number;
  pinned: boolean;
  status: RunStatus;
  /** Attempts closed. */
  attempt: number;
  lost: number;
  fallback: boolean;
  started: boolean;
  /** For `delayed`. */
  due: number;
  /** A consumer had it before. */
  returned: boolean;
  /** Goes before the backlog of its flow. */
  head: boolean;
}

export interface RefBatch {
  id: string;
  seq: number;
  epoch: number;
  sealed: boolean;
  canceled: boolean;
  paused: boolean;
  stopped: boolean;
  max: number | null;
  threshold: { percent: number; min_items: number } | null;
  hashes: string[];
  outcomes: ItemOutcome[];
  lastPart: number;
  released: boolean;
  boot: string | null;
  finishedAt: number | null;
  /** Has a webhook of its own. */
  hooked: boolean;
}

export interface RefHeld {
  run: RefRun;
  attempt: number;
  fallback: boolean;
  version: number;
  sequence: number;
  started: boolean;
  canceled: boolean;
  grantedAt: number;
  startBy: number;
  stamps: Start[];
}

export interface RefLease {
  nonce: string;
  sequence: number;
  receivedAt: number;
  boot: string | null;
  held: Map<number, RefHeld>;
}

/** What an exchange must lead to, before anything is granted. */
export type Expected = { kind: "disowned" } | { kind: "again"; calls: RefHeld[] } | { kind: "fresh" };
