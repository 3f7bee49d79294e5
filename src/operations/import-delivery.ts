import { coordinatorOf } from "../coordinator/client.ts";
import { ApiError } from "../domain/error.ts";
import type { ImportSpec } from "../domain/import.ts";
import { isRefused, needsVersion, type TriggerItem } from "../domain/item.ts";
import type { Job } from "../domain/job.ts";
import type { Env } from "../env.ts";
import type { Chunk, Delivery, DeliveryAnswer, JudgedItem } from "../imports/ports.ts";
import { logError } from "../log.ts";
import { askFor } from "./bulk-accept.ts";
import { JobJudge } from "./job-judge.ts";

const WAIT_MS = 1_000;
const encoder = new TextEncoder();
const BEFORE = encoder.encode('{"payload":');

/** Why something cannot be handed over now, or ever. */
export function notNow(error: unknown): { kind: "wait"; ms: number; why: string } | { kind: "gone"; why: string } {
  if (error instanceof ApiError && error.code === "not_found") return { kind: "gone", why: "the job is deleted" };
  if (error instanceof ApiError && error.status < 500) {
    return { kind: "wait", ms: WAIT_MS, why: `${error.message}: what is read waits` };
  }
  logError("import_not_handed_over", {}, error);
  return { kind: "wait", ms: WAIT_MS, why: "the job's coordinator cannot take more now: what is read waits" };
}

/** Hands an import's units to its job, judged by the rules that bind any trigger of it. */
export class JobDelivery implements Delivery {
  private readonly env: Env;
  private readonly spec: ImportSpec;
  private readonly rules: JobJudge;
  private scratch = new Uint8Array(64 * 1024);

  constructor(env: Env, job: Job, spec: ImportSpec) {
    this.env = env;
    this.spec = spec;
    this.rules = new JobJudge(env, job);
  }

  judge(payload: string): JudgedItem | { problem: string } {
    const bytes = this.itemBytes(payload);
    const verdict = this.rules.verdict(bytes, 0, bytes.length, null, Date.now());
    if (isRefused(verdict)) return { problem: verdict.error.message };
    if (needsVersion(verdict)) throw new Error("an import's item names no version");
    // An import's rows are never duplicates of what was triggered before.
    delete verdict.identity;
    return { item: verdict, revision: this.rules.job.revision };
  }

  /** `{"payload":…}`, in a buffer that the next one is written over. */
  private itemBytes(payload: string): Uint8Array {
    const needed = BEFORE.length + payload.length * 3 + 1;
    if (this.scratch.length < needed) this.scratch = new Uint8Array(2 * needed);
    this.scratch.set(BEFORE);
    const { written } = encoder.encodeInto(payload, this.scratch.subarray(BEFORE.length));
    const end = BEFORE.length + written;
    this.scratch[end] = 0x7d;
    return this.scratch.subarray(0, end + 1);
  }

  async send(chunk: Chunk): Promise<DeliveryAnswer> {
    try {
      return await this.sendOnce(chunk);
    } catch (error) {
      return notNow(error);
    }
  }

  private async sendOnce({ batchId, stream, fence, units }: Chunk): Promise<DeliveryAnswer> {
    let refused = new Map<number, string>();
    const answer = await askFor(this.env, this.rules, async (coordinator, job) => {
      refused = new Map();
      const items: TriggerItem[] = [];
      const places: { file: number; unit: number }[] = [];
      for (const [i, unit] of units.entries()) {
        const judged = unit.item.revision === job.revision ? unit.item : this.judge(unit.payload);
        if ("problem" in judged) {
          refused.set(i, judged.problem);
          continue;
        }
        items.push(judged.item);
        places.push({ file: unit.file, unit: unit.unit });
      }
      return coordinator.acceptImport({
        revision: job.revision,
        import_id: this.spec.id,
        batch_id: batchId,
        stream,
        fence,
        created_by: this.spec.created_by,
        traceparent: this.spec.traceparent,
        items,
        places,
      });
    });
    switch (answer.kind) {
      case "taken":
        return { kind: "taken", refused, waiting: answer.waiting };
      case "not_found":
        // It has ended and left the ledger, so it was closed.
        return { kind: "closed", why: "sealed" };
      default:
        return answer;
    }
  }

  async waiting(batchId: string): Promise<number> {
    const batch = await coordinatorOf(this.env, this.spec.job_id).getBatch(batchId);
    if (batch === null) return 0;
    const { delayed, queued, dequeued, executing } = batch.counts;
    return delayed + queued + dequeued + executing;
  }
}
