import { type ErrorDetail, invalid } from "../domain/error.ts";
import type { JobSpec, Sealed } from "../domain/job.ts";
import type { JobChange } from "../domain/job-fields.ts";
import { type SecretField, secretAad } from "../domain/secret.ts";
import type { Env } from "../env.ts";
import { openFor, sealFor } from "./sealing.ts";

/** The secrets of a job, as its spec keeps them. */
export type SealedFields = Pick<JobSpec, "endpoint_headers" | "endpoint_signing_secret" | "webhook_secret">;

export const NO_SECRETS: SealedFields = { endpoint_headers: {}, endpoint_signing_secret: null, webhook_secret: null };

export const seal = (env: Env, jobId: string, field: SecretField, plain: string): Promise<Sealed> =>
  sealFor(env, secretAad(jobId, field), plain);

const open = (env: Env, jobId: string, field: SecretField, sealed: Sealed): Promise<string> =>
  openFor(env, secretAad(jobId, field), sealed);

/** Seals a value, unless it is the one that is there: what does not change makes no version. */
async function sealUnlessSame(
  env: Env,
  jobId: string,
  field: SecretField,
  plain: string,
  present: Sealed | null,
): Promise<Sealed> {
  if (present !== null && (await open(env, jobId, field, present)) === plain) return present;
  return seal(env, jobId, field, plain);
}

/**
 * The sealed secrets of a job after a change.
 *
 * @throws ApiError `validation_failed` for a null header that has no value yet.
 */
export async function sealChange(
  env: Env,
  jobId: string,
  change: JobChange,
  present: SealedFields,
): Promise<SealedFields> {
  const secret = async (field: "endpoint_signing_secret" | "webhook_secret"): Promise<Sealed | null> => {
    const plain = change[field];
    if (plain === undefined) return present[field];
    return plain === null ? null : sealUnlessSame(env, jobId, field, plain, present[field]);
  };
  return {
    endpoint_headers: change.endpoint_headers
      ? await sealHeaders(env, jobId, change.endpoint_headers, present.endpoint_headers)
      : present.endpoint_headers,
    endpoint_signing_secret: await secret("endpoint_signing_secret"),
    webhook_secret: await secret("webhook_secret"),
  };
}

async function sealHeaders(
  env: Env,
  jobId: string,
  headers: Record<string, string | null>,
  present: Record<string, Sealed>,
): Promise<Record<string, Sealed>> {
  const byLowerName = new Map(Object.entries(present).map(([name, sealed]) => [name.toLowerCase(), sealed]));
  const missing: ErrorDetail[] = [];
  const sealed: Record<string, Sealed> = {};
  for (const [name, value] of Object.entries(headers)) {
    const old = byLowerName.get(name.toLowerCase()) ?? null;
    if (value !== null) {
      sealed[name] = await sealUnlessSame(env, jobId, `endpoint_headers.${name}`, value, old);
    } else if (old !== null) {
      sealed[name] = old;
    } else {
      missing.push({ path: `endpoint_headers.${name}`, message: "has no value to keep" });
    }
  }
  if (missing.length > 0) throw invalid(missing);
  return sealed;
}

/** The values of a job's headers as a change leaves them: those that it keeps are opened. */
export async function openHeaders(
  env: Env,
  jobId: string,
  present: SealedFields,
  change?: Record<string, string | null>,
): Promise<Record<string, string>> {
  const kept = new Map(Object.entries(present.endpoint_headers).map(([name, sealed]) => [name.toLowerCase(), sealed]));
  const wanted = change ?? Object.fromEntries(Object.keys(present.endpoint_headers).map((name) => [name, null]));
  const values = Object.entries(wanted).map(async ([name, value]) => {
    const sealed = kept.get(name.toLowerCase());
    if (value !== null || sealed === undefined) return [name, value ?? ""];
    return [name, await open(env, jobId, `endpoint_headers.${name}`, sealed)];
  });
  return Object.fromEntries(await Promise.all(values));
}

/** The secrets of one job, sealed anew for another. */
export async function resealFor(env: Env, spec: SealedFields, fromId: string, toId: string): Promise<SealedFields> {
  const move = async (field: SecretField, sealed: Sealed): Promise<Sealed> =>
    seal(env, toId, field, await open(env, fromId, field, sealed));
  const headers = await Promise.all(
    Object.entries(spec.endpoint_headers).map(
      async ([name, sealed]) => [name, await move(`endpoint_headers.${name}`, sealed)] as const,
    ),
  );
  const secret = async (field: "endpoint_signing_secret" | "webhook_secret"): Promise<Sealed | null> => {
    const sealed = spec[field];
    return sealed === null ? null : move(field, sealed);
  };
  return {
    endpoint_headers: Object.fromEntries(headers),
    endpoint_signing_secret: await secret("endpoint_signing_secret"),
    webhook_secret: await secret("webhook_secret"),
  };
}
