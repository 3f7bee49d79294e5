import type { CallGrant, CallPlan } from "../coordinator/protocol.ts";
import { checkAddress } from "../domain/address.ts";
import type { CallOutcome } from "../domain/call.ts";
import { ledgerId } from "../domain/id.ts";
import { openSealed, type SecretField, secretAad } from "../domain/secret.ts";
import { type SigningKeys, signatureHeaders, signingKeys } from "../domain/signature.ts";
import type { StatusRules } from "../domain/status-pattern.ts";
import { newTraceparent, parseTraceparent } from "../domain/traceparent.ts";
import type { Settings } from "../env.ts";
import type { PreparedCall } from "./call.ts";
import type { GrantedJob } from "./pump.ts";

type Target = { kind: "allowed"; url: string } | { kind: "blocked"; message: string };

/** A plan with its secrets open and its addresses judged: made once an invocation, used for every call. */
export interface OpenPlan {
  method: string;
  primary: Target;
  fallback: Target;
  /** The headers that all of a version's calls share. */
  headers: Record<string, string>;
  signing: SigningKeys | null;
  success: StatusRules;
  /** The last `traceparent` found valid: a batch's runs share theirs. */
  goodTrace: string | null;
}

/** Names that a job's own headers may not take from us, compared without case. */
const OURS = new Set([
  "content-type",
  "x-run-id",
  "x-job-id",
  "x-job-slug",
  "x-job-version",
  "x-batch-id",
  "x-batch-index",
  "x-attempt",
  "idempotency-key",
  "traceparent",
  "webhook-id",
  "webhook-timestamp",
  "webhook-signature",
]);

const isOurs = (name: string): boolean => OURS.has(name.toLowerCase()) || /^x-strait-/i.test(name);

function judgeTarget(url: string | null, settings: Settings): Target {
  if (url === null) return { kind: "blocked", message: "no address" };
  const refusal = checkAddress(url, settings.address);
  return refusal === null ? { kind: "allowed", url } : { kind: "blocked", message: `the address ${refusal}` };
}

/**
 * Opens what a job version's calls need.
 *
 * @throws Error where a secret does not open; it never shows the secret.
 */
export async function openPlan(plan: CallPlan, job: GrantedJob, settings: Settings): Promise<OpenPlan> {
  const open = (sealed: string, field: SecretField): Promise<string> => {
    if (settings.encryptionKeys === null) throw new Error("ENCRYPTION_KEYS is not set");
    return openSealed(settings.encryptionKeys, sealed, secretAad(job.id, field));
  };
  const own = Object.entries(plan.endpoint_headers).filter(([name]) => !isOurs(name));
  const values = await Promise.all(own.map(([name, sealed]) => open(sealed, `endpoint_headers.${name}`)));
  const headers = Object.fromEntries(own.map(([name], i) => [name, values[i] ?? ""]));
  const secret =
    plan.endpoint_signing_secret === null ? null : await open(plan.endpoint_signing_secret, "endpoint_signing_secret");
  return {
    method: plan.endpoint_method,
    primary: judgeTarget(plan.endpoint_url, settings),
    fallback: judgeTarget(plan.fallback_endpoint_url, settings),
    headers: {
      ...headers,
      "Content-Type": "application/json",
      "X-Job-Id": job.id,
      "X-Job-Slug": plan.slug,
      "X-Job-Version": String(plan.version),
    },
    signing: secret === null ? null : await signingKeys(secret),
    success: { success_statuses: plan.success_statuses ?? null },
    goodTrace: null,
  };
}

/** The trigger request's trace, as it came; a new one where none came, or one that is none. */
function traceOf(plan: OpenPlan, { traceparent }: CallGrant): string {
  if (traceparent !== null) {
    if (traceparent === plan.goodTrace) return traceparent;
    if (parseTraceparent(traceparent) !== null) {
      plan.goodTrace = traceparent;
      return traceparent;
    }
  }
  return newTraceparent(crypto.getRandomValues(new Uint8Array(24)));
}

/** The call that a grant stands for, ready to be made; an address that is not allowed is the outcome at once. */
export async function prepareCall(
  plan: OpenPlan,
  grant: CallGrant,
  job: GrantedJob,
  now: number,
): Promise<PreparedCall | Extract<CallOutcome, { kind: "blocked" }>> {
  const target = grant.fallback ? plan.fallback : plan.primary;
  if (target.kind === "blocked") return target;
  const runId = ledgerId({ at: grant.at, seq: grant.seq, lane: job.lane, job: job.number });
  const headers: Record<string, string> = {
    ...plan.headers,
    "X-Run-Id": runId,
    "X-Attempt": String(grant.attempt),
    "Idempotency-Key": runId,
    traceparent: traceOf(plan, grant),
  };
  if (grant.batch_id !== null) headers["X-Batch-Id"] = grant.batch_id;
  if (grant.batch_index !== null) headers["X-Batch-Index"] = String(grant.batch_index);
  if (plan.signing) {
    Object.assign(headers, await signatureHeaders(plan.signing, runId, Math.floor(now / 1000), grant.payload));
  }
  return {
    url: target.url,
    method: plan.method,
    headers,
    body: grant.payload,
    timeout_ms: grant.timeout_ms,
    success: plan.success,
  };
}
