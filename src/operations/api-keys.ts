import { ApiError, invalid, notFound } from "../domain/error.ts";
import { timeOf } from "../domain/id.ts";
import { beyond, type Scope } from "../domain/scope.ts";
import { isSessionToken, openSession } from "../domain/session-token.ts";
import type { Env } from "../env.ts";
import {
  type ApiKeyRow,
  insertApiKey,
  listApiKeys,
  revokeApiKey,
  selectApiKey,
  selectApiKeyByHash,
} from "../store/api-keys.ts";
import { selectProject } from "../store/projects.ts";
import { type Caller, projectScope, resolveProject } from "./authorize.ts";
import { Recent } from "./recent.ts";
import { withKeys } from "./sealing.ts";
import { newApiKey, sameSecret, sha256Hex } from "./secrets.ts";
import { settingsOf } from "./settings.ts";

/** Times are Unix milliseconds. */
export type ApiKey = ApiKeyRow;

/** The key itself, shown once. */
export interface IssuedKey {
  row: ApiKey;
  key: string;
}

const KEY = /^sluice_[0-9a-f]{64}$/;
const PREFIX_LENGTH = 12;
/** A revoked key is refused within 30 s everywhere (contract 1). */
const CACHE_MS = 15_000;
const ACTOR = /^[\x21-\x7e]{1,128}$/;

const known = new Recent<ApiKey>(CACHE_MS, 2000);

/**
 * Who a bearer token belongs to.
 *
 * @param actor `X-Actor-Id`: whom the admin acts for; not read with an API key.
 * @throws ApiError `authentication_required`; `validation_failed` for a malformed actor.
 */
export async function authenticate(env: Env, token: string, actor: string | undefined, now: number): Promise<Caller> {
  const row = await keyOf(env, token, now);
  if (row && !isDead(row, now)) {
    return { kind: "key", projectId: row.project_id, scopes: row.scopes, actorId: `apikey:${row.id}` };
  }
  const { adminToken } = settingsOf(env);
  if (adminToken === null || !(await sameSecret(token, adminToken))) {
    throw new ApiError("authentication_required", "the API key is not valid");
  }
  if (actor !== undefined && !ACTOR.test(actor)) {
    throw invalid([{ path: "X-Actor-Id", message: "must have 1 to 128 visible ASCII characters" }]);
  }
  return { kind: "admin", projectId: null, scopes: ["*"], actorId: actor ?? "admin" };
}

const isDead = (row: ApiKey, now: number): boolean =>
  (row.revoked_at !== null && row.revoked_at <= now) || (row.expires_at !== null && row.expires_at <= now);

/** The key that a token is, or that a session stands for. */
async function keyOf(env: Env, token: string, now: number): Promise<ApiKey | null> {
  if (KEY.test(token)) return keyByHash(env, await sha256Hex(token), now);
  if (!isSessionToken(token)) return null;
  const session = await withKeys(env, (keys) => openSession(keys, token, now));
  return session && keyById(env, session.keyId, now);
}

async function keyById(env: Env, id: string, now: number): Promise<ApiKey | null> {
  const cached = known.get(id, now);
  if (cached) return cached;
  const row = await selectApiKey(env.DB, id);
  if (row) known.set(id, row, now);
  return row;
}

/** The key, where it is valid now; null for any other text. */
export async function validKey(env: Env, key: string, now: number): Promise<ApiKey | null> {
  const row = KEY.test(key) ? await keyByHash(env, await sha256Hex(key), now) : null;
  return row && !isDead(row, now) ? row : null;
}

async function keyByHash(env: Env, hash: string, now: number): Promise<ApiKey | null> {
  const cached = known.get(hash, now);
  if (cached) return cached;
  const row = await selectApiKeyByHash(env.DB, hash);
  if (row) known.set(hash, row, now);
  return row;
}

/**
 * Makes a key.
 *
 * @param id of the new key; a repeat with the same id replaces the secret that nobody has received.
 */
export async function createApiKey(
  env: Env,
  caller: Caller,
  wanted: { project_id?: string; name: string; scopes: Scope[]; expires_at?: number | null },
  id: string,
  now: number,
): Promise<IssuedKey> {
  const projectId = resolveProject(caller, wanted.project_id);
  const expiresAt = wanted.expires_at ?? null;
  if (expiresAt !== null && expiresAt <= now) throw invalid([{ path: "expires_at", message: "must be in the future" }]);
  refuseBeyond(caller, wanted.scopes);
  if (!(await selectProject(env.DB, projectId))) throw notFound("project");
  return issue(env, {
    id,
    project_id: projectId,
    name: wanted.name,
    scopes: [...new Set(wanted.scopes)],
    expires_at: expiresAt,
    created_by: caller.actorId,
  });
}

function refuseBeyond(caller: Caller, scopes: readonly Scope[]): void {
  const lacking = beyond(caller.scopes, scopes);
  if (lacking.length > 0) {
    throw new ApiError("forbidden", `a key cannot hand on scopes that it lacks: ${lacking.join(", ")}`);
  }
}

async function issue(
  env: Env,
  fields: Omit<ApiKey, "key_hash" | "key_prefix" | "revoked_at" | "created_at">,
): Promise<IssuedKey> {
  const key = newApiKey();
  const row: ApiKey = {
    ...fields,
    key_hash: await sha256Hex(key),
    key_prefix: key.slice(0, PREFIX_LENGTH),
    revoked_at: null,
    created_at: timeOf(fields.id),
  };
  await insertApiKey(env.DB, row);
  return { row, key };
}

/** One row more than the limit where there is another page. */
export const listKeys = (
  env: Env,
  projectId: string,
  page: { limit: number; before: string | null },
): Promise<ApiKey[]> => listApiKeys(env.DB, projectId, page);

async function findKey(env: Env, caller: Caller, id: string, namedProject?: string): Promise<ApiKey> {
  const projectId = projectScope(caller, namedProject);
  const row = await selectApiKey(env.DB, id);
  if (!row || (projectId !== null && row.project_id !== projectId)) throw notFound("API key");
  return row;
}

function forget(row: ApiKey): void {
  known.delete(row.key_hash);
  known.delete(row.id);
}

/** Refused everywhere within 30 s, here at once. Revoking twice is the same as once. */
export async function revokeKey(
  env: Env,
  caller: Caller,
  id: string,
  namedProject: string | undefined,
  now: number,
): Promise<void> {
  const row = await findKey(env, caller, id, namedProject);
  await revokeApiKey(env.DB, row.id, now);
  forget(row);
}

/**
 * Makes a key like another one, which is revoked after the grace period.
 *
 * @param newId of the new key.
 */
export async function rotateKey(
  env: Env,
  caller: Caller,
  id: string,
  wanted: { project_id?: string; grace_period_secs?: number },
  newId: string,
  now: number,
): Promise<IssuedKey> {
  const row = await findKey(env, caller, id, wanted.project_id);
  refuseBeyond(caller, row.scopes);
  if (isDead(row, now)) throw new ApiError("conflict", "the API key is revoked or expired");
  const issued = await issue(env, {
    id: newId,
    project_id: row.project_id,
    name: row.name,
    scopes: row.scopes,
    expires_at: row.expires_at,
    created_by: caller.actorId,
  });
  await revokeApiKey(env.DB, row.id, now + (wanted.grace_period_secs ?? 0) * 1000);
  forget(row);
  return issued;
}
