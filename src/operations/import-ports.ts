import { coordinatorOf } from "../coordinator/client.ts";
import { checkAddress } from "../domain/address.ts";
import { ApiError } from "../domain/error.ts";
import { effectiveSettings, type ImportSpec } from "../domain/import.ts";
import { parseObjectUrl } from "../domain/object-url.ts";
import type { Env } from "../env.ts";
import type { ImportPorts, OpenedBatch } from "../imports/ports.ts";
import { R2Source } from "../imports/r2-source.ts";
import { type ObjectSource, type S3Keys, S3Source, SourceError } from "../imports/source.ts";
import { type HistoryName, knownObjects, rememberObjects } from "../store/import-history.ts";
import { copyImport } from "../store/imports.ts";
import { askCoordinator } from "./coordinator-refusal.ts";
import { openCredential } from "./credentials.ts";
import { JobDelivery, notNow } from "./import-delivery.ts";
import { jobById } from "./jobs.ts";
import { settingsOf } from "./settings.ts";

/** What an import's readers need of the rest of Sluice. */
export const importPorts = (env: Env): ImportPorts => ({
  source: (spec) => sourceOf(env, spec),
  known: (spec, objects) => knownObjects(env.DB, historyOf(spec), objects),
  remember: (spec, objects) => rememberObjects(env.DB, historyOf(spec), spec.id, objects),
  openBatch: (spec, round) => openedBatch(env, spec, round),
  delivery: async (spec) => {
    const job = await jobById(env, spec.job_id);
    if (!job || job.deleted_at !== null) return { gone: "the job is deleted" };
    return new JobDelivery(env, job, spec);
  },
  fence: (spec, stream) => coordinatorOf(env, spec.job_id).fenceImport(spec.id, stream, Number.MAX_SAFE_INTEGER),
  seal: async (spec, batchId) => {
    await coordinatorOf(env, spec.job_id).sealBatch(batchId, null);
  },
  forgetStreams: (spec) => coordinatorOf(env, spec.job_id).forgetImport(spec.id),
  storeRejects: async (spec, name, text) => {
    const key = `${rejectsPrefix(spec)}${name}.ndjson`;
    await env.BLOBS.put(key, text);
    return key;
  },
  copy: (record) => copyImport(env.DB, record),
});

export const rejectsPrefix = ({ project_id, id }: Pick<ImportSpec, "project_id" | "id">): string =>
  `imports/${project_id}/${id}/rejects/`;

/** A bucket is told from another of its name by where it is. */
function historyOf({ job_id, source }: ImportSpec): HistoryName {
  const [bucket] = /^(s3|r2):\/\/[^/]+/.exec(source.url) ?? [""];
  return { job_id, origin: `${source.endpoint === null ? "" : new URL(source.endpoint).host} ${bucket}` };
}

export const endpointOf = (source: Pick<ImportSpec["source"], "endpoint" | "region">): string =>
  source.endpoint ?? `https://s3.${source.region}.amazonaws.com`;

/** @throws SourceError where the bucket may not be read (any more). */
async function sourceOf(env: Env, { project_id, source }: ImportSpec): Promise<ObjectSource> {
  const settings = settingsOf(env);
  const place = parseObjectUrl(source.url);
  if (typeof place === "string") throw new SourceError("WrongUrl", place);
  if (place.kind === "r2") {
    const bucket = settings.r2Source(project_id, place.bucket);
    if (bucket === null) throw new SourceError("NotMapped", `the deployment maps no bucket ${place.bucket}`);
    return new R2Source(bucket);
  }
  const endpoint = endpointOf(source);
  const refusal = checkAddress(endpoint, settings.address);
  if (refusal !== null) throw new SourceError("ForbiddenEndpoint", `the endpoint ${refusal}`);
  const keys = source.credential_id === null ? null : await keysOf(env, project_id, source.credential_id);
  return new S3Source({ endpoint, region: source.region, bucket: place.bucket, keys });
}

/** @throws SourceError where they are gone, or the deployment cannot open them any more: waiting would not bring them back. */
async function keysOf(env: Env, projectId: string, credentialId: string): Promise<S3Keys> {
  let keys: S3Keys | null;
  try {
    keys = await openCredential(env, projectId, credentialId);
  } catch (error) {
    if (error instanceof ApiError) throw new SourceError("CredentialNotOpened", error.message);
    throw error;
  }
  if (keys === null) throw new SourceError("NoCredential", "the credential is deleted");
  return keys;
}

/** The batch of an import's round, opened once. */
async function openedBatch(env: Env, spec: ImportSpec, round: number): Promise<OpenedBatch> {
  try {
    return await openBatch(env, spec, round);
  } catch (error) {
    return notNow(error);
  }
}

/** @throws ApiError `not_found` for a deleted job, `conflict` for a disabled one, `unavailable`. */
export async function openBatch(env: Env, spec: ImportSpec, round: number): Promise<OpenedBatch & { kind: "opened" }> {
  const job = await jobById(env, spec.job_id);
  if (!job) throw new ApiError("not_found", "job not found");
  return askCoordinator(
    env,
    job,
    () => jobById(env, spec.job_id),
    (coordinator, current) =>
      coordinator.openImport({
        revision: current.revision,
        import_id: spec.id,
        round,
        created_by: spec.created_by,
        traceparent: spec.traceparent,
        max_concurrency: effectiveSettings(spec.settings).max_active_partitions,
        metadata: { import_id: spec.id },
      }),
  );
}
