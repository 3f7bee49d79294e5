import type { AcceptItem, ItemOutcome } from "../coordinator/protocol.ts";
import { ApiError, assertNever, type ErrorCode, invalid } from "../domain/error.ts";
import { ledgerId } from "../domain/id.ts";
import type { RefusedItem } from "../domain/item.ts";
import type { Job } from "../domain/job.ts";
import type { RunStatus, WaitingFor } from "../domain/run.ts";
import type { Env } from "../env.ts";
import { askFor, type Origin } from "./bulk-accept.ts";
import { endedStatuses } from "./ended-statuses.ts";
import { JobJudge } from "./job-judge.ts";
import { payloadHash } from "./payload-hash.ts";

/** A trigger of one run (contract 4.1). */
export interface TriggerRequest {
  /** The item is `bytes[from, length)`. */
  bytes: Uint8Array;
  from: number;
  /** Fields of the body that are not the item's. */
  others: readonly string[];
  /** From the header: the item's own, said in another place. */
  idempotencyKey: string | null;
  /** What the run is known by in place of the item's own words. */
  identity?: string;
  /** Bounds the whole run, retries included; null: the job's own limits do. */
  endsWithinSecs?: number | null;
  origin: Origin;
  dryRun: boolean;
}

export interface Triggered {
  outcome: "created" | "duplicate";
  /** Null for a rehearsal of a new run. */
  id: string | null;
  status: RunStatus | null;
  waitingFor: WaitingFor | null;
  /** Unix milliseconds. */
  earliestStartAt: number | null;
  payloadHash: string;
  jobVersion: number;
}

/**
 * Triggers one run, or says what would become of it.
 *
 * @throws ApiError `bad_request`, `validation_failed` or `payload_too_large` for a bad item; `conflict` for a disabled job.
 */
export async function triggerRun(env: Env, job: Job, request: TriggerRequest): Promise<Triggered> {
  const judge = new JobJudge(env, job, request.others);
  let item: AcceptItem = { payload: "" };
  const once = crypto.randomUUID();
  const answer = await askFor(env, judge, async (coordinator, current) => {
    item = await itemOf(judge, request);
    return coordinator.accept({
      ...request.origin,
      revision: current.revision,
      versions: judge.versionsOf([item]),
      items: [item],
      once: item.identity === undefined ? once : undefined,
      dry_run: request.dryRun || undefined,
    });
  });
  if (answer.kind !== "accepted") throw new Error(`an item without a batch was answered ${answer.kind}`);
  const [outcome] = answer.outcomes;
  if (!outcome) throw new Error("an item was answered without an outcome");
  const known = await fateOf(env, judge.job, outcome, request.dryRun);
  return { ...known, payloadHash: payloadHash(item.payload), jobVersion: item.version ?? judge.job.current.version };
}

async function itemOf(
  judge: JobJudge,
  { bytes, from, idempotencyKey, identity, endsWithinSecs = null }: TriggerRequest,
): Promise<AcceptItem> {
  const judged = await judge.judged(bytes, from, bytes.length, null, Date.now());
  if ("error" in judged) throw refusalOf(judged);
  const item: AcceptItem = endsWithinSecs === null ? judged : { ...judged, ttl_secs: endsWithinSecs, bounded: true };
  if (idempotencyKey === null) return identity === undefined ? item : { ...item, identity };
  if (item.idempotency_key !== undefined && item.idempotency_key !== idempotencyKey) {
    throw invalid([{ path: "idempotency_key", message: "differs from the header Idempotency-Key" }]);
  }
  return { ...item, idempotency_key: idempotencyKey, identity: `k:${idempotencyKey}` };
}

const refusalOf = ({ error }: RefusedItem): ApiError =>
  new ApiError(error.code as ErrorCode, error.message, { details: error.details });

async function fateOf(
  env: Env,
  job: Job,
  outcome: ItemOutcome,
  dryRun: boolean,
): Promise<Omit<Triggered, "payloadHash" | "jobVersion">> {
  switch (outcome.o) {
    case "created": {
      const { at, seq, status, waiting_for = null, earliest = null } = outcome;
      const id = dryRun ? null : ledgerId({ at, seq, lane: 0, job: job.number });
      return { outcome: "created", id, status, waitingFor: waiting_for, earliestStartAt: earliest };
    }
    case "duplicate": {
      const { of } = outcome;
      const status = outcome.status ?? (await endedStatuses(env, job, [of])).get(of) ?? null;
      return { outcome: "duplicate", id: of, status, waitingFor: null, earliestStartAt: null };
    }
    case "rejected":
    case "taken":
      throw new Error(`a valid item was answered ${outcome.o}`);
    default:
      return assertNever(outcome);
  }
}
