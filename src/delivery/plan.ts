import type { CallGrant, CallPlan } from "../coordinator/protocol.ts";
import type { CallOutcome } from "../domain/call.ts";
import { expandHeader, expandUrl, type Lookup } from "../domain/env-template.ts";
import { ENDPOINT_VARIABLE, FALLBACK_VARIABLE } from "../domain/environment-rules.ts";
import { headerProblem } from "../domain/header-rules.ts";
import { ledgerId } from "../domain/id.ts";
import { openSealed, type SecretField, secretAad } from "../domain/secret.ts";
import { judgeEndpoint } from "../domain/service-endpoint.ts";
import { type SigningKeys, signatureHeaders, signingKeys } from "../domain/signature.ts";
import type { StatusRules } from "../domain/status-pattern.ts";
import { newTraceparent, type Trace, traceHeaders } from "../domain/traceparent.ts";
import type { Settings } from "../env.ts";
import type { PreparedCall } from "./call.ts";
import type { Variables } from "./environments.ts";
import type { GrantedJob } from "./pump.ts";

type Blocked = Extract<CallOutcome, { kind: "blocked" }>;
/** `service`: the Worker that is called instead of the network. */
type Target = { kind: "allowed"; url: string; service: Fetcher | null } | Blocked;

/** A plan with its secrets open and its addresses judged: made once an invocation, used for every call. */
export interface OpenPlan {
  method: string;
  primary: Target;
  fallback: Target;
  /** The environment gives the job a fallback. */
  environmentFallback: boolean;
  /** The headers that all of a version's calls share. */
  headers: Record<string, string>;
  signing: SigningKeys | null;
  success: StatusRules;
  /** The last trace found valid, with its headers: a batch's runs share theirs. */
  goodTrace: { trace: Trace; headers: Record<string, string> } | null;
}

const blocked = (message: string): Blocked => ({ kind: "blocked", message });

function judgeTarget(template: string | null, lookup: Lookup, job: GrantedJob, settings: Settings): Target {
  if (template === null) return blocked("no address");
  const expansion = expandUrl(template, lookup);
  if (expansion.kind === "refused") return blocked(`the address ${expansion.message}`);
  const service = (name: string): Fetcher | null => settings.service(job.project_id, name);
  const endpoint = judgeEndpoint(expansion.text, settings.address, (name) => service(name) !== null);
  if (endpoint.kind === "refused") return blocked(`the address ${endpoint.message}`);
  return { kind: "allowed", url: endpoint.url, service: endpoint.service === null ? null : service(endpoint.service) };
}

type OwnHeaders = { kind: "headers"; values: Record<string, string> } | Blocked;

/** The job's own headers with their variables filled in; one that cannot be sent blocks the call. */
function expandHeaders(headers: [string, string][], lookup: Lookup): OwnHeaders {
  const values: Record<string, string> = {};
  for (const [name, template] of headers) {
    const expansion = expandHeader(template, lookup);
    if (expansion.kind === "refused") return blocked(`endpoint_headers.${name} ${expansion.message}`);
    values[name] = expansion.text;
  }
  return { kind: "headers", values };
}

/**
 * Opens what a job version's calls need.
 *
 * @param variables of the version's environment; null where it has none, or the environment is gone.
 * @throws Error where a secret does not open; it never shows the secret.
 */
export async function openPlan(
  plan: CallPlan,
  job: GrantedJob,
  settings: Settings,
  variables: Variables | null,
): Promise<OpenPlan> {
  const open = (sealed: string, field: SecretField): Promise<string> => {
    if (settings.encryptionKeys === null) throw new Error("ENCRYPTION_KEYS is not set");
    return openSealed(settings.encryptionKeys, sealed, secretAad(job.id, field));
  };
  const lookup: Lookup = (name) => variables?.values.get(name);
  // Those saved by an older rule, under a name that is ours, are not sent.
  const own = Object.entries(plan.endpoint_headers).filter(([name]) => headerProblem(name) === null);
  const opened = own.map(
    async ([name, sealed]): Promise<[string, string]> => [name, await open(sealed, `endpoint_headers.${name}`)],
  );
  const headers = expandHeaders(await Promise.all(opened), lookup);
  const secret =
    plan.endpoint_signing_secret === null ? null : await open(plan.endpoint_signing_secret, "endpoint_signing_secret");
  const target = (url: string | null): Target => {
    if (plan.environment_id !== null && variables === null) return blocked("the job's environment is not there");
    return headers.kind === "blocked" ? headers : judgeTarget(url, lookup, job, settings);
  };
  const environmentFallback = lookup(FALLBACK_VARIABLE);
  return {
    method: plan.endpoint_method,
    primary: target(lookup(ENDPOINT_VARIABLE) ?? plan.endpoint_url),
    fallback: target(environmentFallback ?? plan.fallback_endpoint_url),
    environmentFallback: environmentFallback !== undefined,
    headers: {
      ...(headers.kind === "blocked" ? {} : headers.values),
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
function traceOf(plan: OpenPlan, { traceparent: trace }: CallGrant): Record<string, string> {
  if (trace !== null) {
    if (plan.goodTrace?.trace === trace) return plan.goodTrace.headers;
    const headers = traceHeaders(trace);
    if (headers !== null) {
      plan.goodTrace = { trace, headers };
      return headers;
    }
  }
  return { traceparent: newTraceparent(crypto.getRandomValues(new Uint8Array(24))) };
}

export const runIdOf = (grant: CallGrant, job: GrantedJob): string =>
  ledgerId({ at: grant.at, seq: grant.seq, lane: job.lane, job: job.number });

/** The call that a grant stands for, ready to be made; an address that is not allowed is the outcome at once. */
export async function prepareCall(
  plan: OpenPlan,
  grant: CallGrant,
  job: GrantedJob,
  now: number,
): Promise<PreparedCall | Blocked> {
  const target = grant.fallback ? plan.fallback : plan.primary;
  if (target.kind === "blocked") return target;
  const runId = runIdOf(grant, job);
  const headers: Record<string, string> = {
    ...plan.headers,
    "X-Run-Id": runId,
    "X-Attempt": String(grant.attempt),
    "Idempotency-Key": runId,
    ...traceOf(plan, grant),
  };
  if (grant.batch_id !== null) headers["X-Batch-Id"] = grant.batch_id;
  if (grant.batch_index !== null) headers["X-Batch-Index"] = String(grant.batch_index);
  if (plan.signing) {
    Object.assign(headers, await signatureHeaders(plan.signing, runId, Math.floor(now / 1000), grant.payload));
  }
  return {
    url: target.url,
    service: target.service,
    method: plan.method,
    headers,
    body: grant.payload,
    timeout_ms: grant.timeout_ms,
    success: plan.success,
  };
}
