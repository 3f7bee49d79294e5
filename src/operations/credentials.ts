import { ApiError, notFound } from "../domain/error.ts";
import { timeOf } from "../domain/id.ts";
import { credentialAad } from "../domain/secret.ts";
import type { Env } from "../env.ts";
import type { S3Keys } from "../imports/source.ts";
import * as store from "../store/credentials.ts";
import { selectProject } from "../store/projects.ts";
import { type Caller, projectScope } from "./authorize.ts";
import { everyRow } from "./every-row.ts";
import { openFor, sealFor } from "./sealing.ts";

/** The secrets stand in it sealed: whoever shows it leaves them out. */
export type Credential = store.CredentialRow;

/** @param id of the new credential; a repeat with the same id finds what the first one made. */
export async function createCredential(
  env: Env,
  caller: Caller,
  projectId: string,
  wanted: { name: string; type: "aws s3"; details: S3Keys; description?: string | null },
  id: string,
): Promise<Credential> {
  if (!(await selectProject(env.DB, projectId))) throw notFound("project");
  const { access_key_id, secret_access_key } = wanted.details;
  const row: Credential = {
    id,
    project_id: projectId,
    name: wanted.name,
    type: wanted.type,
    access_key_id: await sealFor(env, credentialAad(id, "access_key_id"), access_key_id),
    secret_access_key: await sealFor(env, credentialAad(id, "secret_access_key"), secret_access_key),
    created_by: caller.actorId,
    created_at: timeOf(id),
    description: wanted.description ?? null,
  };
  await store.insertCredential(env.DB, row);
  return row;
}

/** @throws ApiError `not_found`. */
export async function findCredential(env: Env, caller: Caller, id: string, named?: string): Promise<Credential> {
  const projectId = projectScope(caller, named);
  const row = await store.selectCredential(env.DB, id);
  if (!row || (projectId !== null && row.project_id !== projectId)) throw notFound("credential");
  return row;
}

/** Newest first; one more than the limit where there is another page. */
export const listCredentials = (
  env: Env,
  projectId: string,
  page: { limit: number; before: string | null },
): Promise<Credential[]> => store.listCredentials(env.DB, projectId, page);

/** Of a project, newest first. */
export const everyCredential = (env: Env, projectId: string): AsyncGenerator<Credential> =>
  everyRow(
    (page) => store.listCredentials(env.DB, projectId, page),
    (row) => row.id,
  );

/** @throws ApiError `conflict` that names the imports which use it. */
export async function deleteCredential(env: Env, credential: Credential): Promise<void> {
  const users = await store.deleteCredential(env.DB, credential.id);
  if (users.length > 0) throw new ApiError("conflict", `the credential is in use by the imports ${users.join(", ")}`);
}

/** The keys in the clear; null where the credential is not there, or another project's. */
export async function openCredential(env: Env, projectId: string, id: string): Promise<S3Keys | null> {
  const row = await store.selectCredential(env.DB, id);
  if (!row || row.project_id !== projectId) return null;
  const { access_key_id, secret_access_key } = row;
  return {
    access_key_id: await openFor(env, credentialAad(id, "access_key_id"), access_key_id),
    secret_access_key: await openFor(env, credentialAad(id, "secret_access_key"), secret_access_key),
  };
}
