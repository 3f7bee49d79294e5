import type { BatchOptions } from "../coordinator/protocol.ts";
import { checkAddress } from "../domain/address.ts";
import type { FailureThreshold } from "../domain/batch.ts";
import { invalid } from "../domain/error.ts";
import type { Job } from "../domain/job.ts";
import type { Env } from "../env.ts";
import { seal } from "./job-secrets.ts";
import { settingsOf } from "./settings.ts";

/** What a bulk request says of its batch, as the caller wrote it. */
export interface BulkOptions {
  max_concurrency?: number | null;
  failure_threshold?: FailureThreshold | null;
  metadata?: Record<string, string> | null;
  webhook_url?: string | null;
  webhook_secret?: string | null;
}

/**
 * The options as the coordinator keeps them, the secret sealed.
 *
 * @throws ApiError `validation_failed` for an address that may not be called; `unavailable` where no secret can be kept.
 */
export async function batchOptions(env: Env, job: Job, given: BulkOptions): Promise<BatchOptions> {
  const { webhook_url = null, webhook_secret = null } = given;
  const refusal = webhook_url === null ? null : checkAddress(webhook_url, settingsOf(env).address);
  if (refusal !== null) throw invalid([{ path: "webhook_url", message: refusal }]);
  return {
    max_concurrency: given.max_concurrency ?? null,
    failure_threshold: given.failure_threshold ?? null,
    metadata: given.metadata ?? {},
    webhook_url,
    webhook_secret: webhook_secret === null ? null : await seal(env, job.id, "webhook_secret", webhook_secret),
  };
}
