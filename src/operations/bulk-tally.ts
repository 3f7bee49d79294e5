import type { ItemOutcome } from "../coordinator/protocol.ts";
import { assertNever, type ErrorDetail } from "../domain/error.ts";
import { ledgerId } from "../domain/id.ts";
import type { Job } from "../domain/job.ts";
import type { RunStatus } from "../domain/run.ts";
import type { Env } from "../env.ts";
import { endedStatuses } from "./ended-statuses.ts";

/** Answers list what became of each item up to this many. */
const MAX_RESULTS = 1000;

/** What became of an item, as the wire shows it. */
export type ItemResult =
  | { index: number; id: string | null; status: RunStatus | null; outcome: "created"; idempotency_hit: false }
  | {
      index: number;
      id: string | null;
      status: RunStatus | null;
      outcome: "duplicate";
      duplicate_of: string | null;
      idempotency_hit: true;
    }
  | {
      index: number;
      id: null;
      status: null;
      outcome: "rejected";
      error: { code: string; message: string; details: ErrorDetail[] };
    }
  /** Taken in by an earlier request; what became of it is counted and no longer at hand (index 1,000 and up). */
  | { index: number; id: null; status: null; outcome: "taken" };

export interface BulkCounts {
  total: number;
  created: number;
  duplicates: number;
  rejected: number;
}

/** Adds up what became of the items of one request. */
export class BulkTally {
  readonly counts: BulkCounts = { total: 0, created: 0, duplicates: 0, rejected: 0 };
  private readonly env: Env;
  private readonly job: Job;
  private readonly dryRun: boolean;
  /** Items of which only an earlier request knows what became. */
  taken = 0;
  private results: ItemResult[] | null = [];

  constructor(env: Env, job: Job, dryRun: boolean) {
    this.env = env;
    this.job = job;
    this.dryRun = dryRun;
  }

  async add(firstIndex: number, outcomes: readonly ItemOutcome[]): Promise<void> {
    const { counts } = this;
    for (const outcome of outcomes) {
      if (outcome.o === "created") counts.created++;
      else if (outcome.o === "duplicate") counts.duplicates++;
      else if (outcome.o === "rejected") counts.rejected++;
      else this.taken++;
    }
    counts.total += outcomes.length;
    if (counts.total > MAX_RESULTS) this.results = null;
    if (this.results === null) return;
    const statuses = await this.forgottenStatuses(outcomes);
    for (const [i, outcome] of outcomes.entries()) this.results.push(this.result(firstIndex + i, outcome, statuses));
  }

  /** `results` and `results_truncated` of the answer. */
  shown(): { results: ItemResult[] | null; results_truncated: boolean } {
    return { results: this.results, results_truncated: this.results === null };
  }

  /** Earlier runs that the ledger has forgotten are in the copy, or will be in a moment: one query a chunk. */
  private async forgottenStatuses(outcomes: readonly ItemOutcome[]): Promise<Map<string, RunStatus>> {
    const ids = outcomes.flatMap((o) => (o.o === "duplicate" && o.status === null && o.of !== "" ? [o.of] : []));
    return ids.length === 0 ? new Map() : endedStatuses(this.env, this.job, ids);
  }

  private result(index: number, outcome: ItemOutcome, statuses: Map<string, RunStatus>): ItemResult {
    switch (outcome.o) {
      case "created": {
        const { at, seq, status } = outcome;
        const id = this.dryRun ? null : ledgerId({ at, seq, lane: 0, job: this.job.number });
        return { index, id, status, outcome: "created", idempotency_hit: false };
      }
      case "duplicate": {
        const of = outcome.of === "" ? null : outcome.of;
        const status = outcome.status ?? statuses.get(outcome.of) ?? null;
        return { index, id: of, status, outcome: "duplicate", duplicate_of: of, idempotency_hit: true };
      }
      case "rejected":
        return { index, id: null, status: null, outcome: "rejected", error: outcome.error };
      case "taken":
        return { index, id: null, status: null, outcome: "taken" };
      default:
        return assertNever(outcome);
    }
  }
}
