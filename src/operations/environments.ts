import { environmentProblems } from "../domain/environment-rules.ts";
import { ApiError, type ErrorDetail, invalid, notFound } from "../domain/error.ts";
import { isUuid, timeOf } from "../domain/id.ts";
import type { Sealed } from "../domain/job.ts";
import { covers } from "../domain/scope.ts";
import { variableAad } from "../domain/secret.ts";
import { sameValue } from "../domain/version.ts";
import type { Env } from "../env.ts";
import * as store from "../store/environments.ts";
import { selectProject } from "../store/projects.ts";
import { isUniqueViolation } from "../store/unique.ts";
import { type Caller, projectRequired, projectScope } from "./authorize.ts";
import { endpointRules } from "./job-bindings.ts";
import { refuseInUse } from "./job-users.ts";
import { openFor, sealFor } from "./sealing.ts";
import { slugTaken, underFreeSlug } from "./slugs.ts";

/** Times are Unix milliseconds; variables stand in it sealed. */
export type Environment = store.EnvironmentRow;

/** By name. Null keeps the value that is there. */
export type WantedVariables = Record<string, string | null>;

/** Changes meet at an environment's revision: the loser reads again and tries again, so often. */
const TRIES = 5;

/**
 * @param id of the new environment; a repeat with the same id finds what the first one made.
 * @throws ApiError `validation_failed` for URLs among the variables that may not be called; `conflict` for a taken slug.
 */
export async function createEnvironment(
  env: Env,
  projectId: string,
  wanted: { name: string; slug?: string; variables?: WantedVariables },
  id: string,
): Promise<Environment> {
  if (!(await selectProject(env.DB, projectId))) throw notFound("project");
  const values = valuesOf(wanted.variables ?? {}, new Map());
  refuse(environmentProblems(values, endpointRules(env, projectId)));
  const variables = await sealAll(env, id, values);
  const at = timeOf(id);
  return underFreeSlug(wanted, "environment", async (slug) => {
    const row = { id, project_id: projectId, name: wanted.name, slug, variables, revision: 1 };
    await store.insertEnvironment(env.DB, { ...row, created_at: at, updated_at: at });
    return store.selectEnvironment(env.DB, id);
  });
}

/**
 * An environment by id or slug.
 *
 * @param named the project that the request names.
 * @throws ApiError `not_found`; `validation_failed` for a slug without a project.
 */
export async function findEnvironment(env: Env, caller: Caller, ref: string, named?: string): Promise<Environment> {
  const projectId = projectScope(caller, named);
  if (projectId === null && !isUuid(ref)) throw projectRequired();
  const row = isUuid(ref)
    ? await store.selectEnvironment(env.DB, ref)
    : await store.selectEnvironmentBySlug(env.DB, projectId ?? "", ref);
  if (!row || (projectId !== null && row.project_id !== projectId)) throw notFound("environment");
  return row;
}

/** Newest first; one more than the limit where there is another page. */
export const listEnvironments = (
  env: Env,
  projectId: string,
  page: { limit: number; before: string | null },
): Promise<Environment[]> => store.listEnvironments(env.DB, projectId, page);

/**
 * The variables as a caller may see them: values with `jobs:write`, else null for each name.
 *
 * @throws ApiError `unavailable` where the deployment's keys do not open them.
 */
export async function shownVariables(
  env: Env,
  caller: Caller,
  environment: Environment,
): Promise<Record<string, string | null>> {
  if (covers(caller.scopes, "jobs:write")) return Object.fromEntries(await openAll(env, environment));
  return Object.fromEntries(Object.keys(environment.variables).map((name) => [name, null]));
}

/** Changes an environment. Calls use the change at most 5 seconds later. Variables, where given, replace the present ones. */
export async function updateEnvironment(
  env: Env,
  environment: Environment,
  change: { name?: string; slug?: string; variables?: WantedVariables },
  now: number,
): Promise<Environment> {
  for (let attempt = 1; attempt <= TRIES; attempt++) {
    const present = await store.selectEnvironment(env.DB, environment.id);
    if (!present) throw notFound("environment");
    const { name = present.name, slug = present.slug } = change;
    const variables = change.variables ? await changed(env, present, change.variables) : present.variables;
    const isSame = name === present.name && slug === present.slug && sameValue(variables, present.variables);
    if (isSame) return present;
    try {
      const row = await store.updateEnvironment(env.DB, present, { name, slug, variables, updated_at: now });
      if (row) return row;
    } catch (error) {
      if (isUniqueViolation(error, "environments.slug")) throw slugTaken(slug);
      throw error;
    }
  }
  throw new ApiError("conflict", "the environment is being changed by many at once; try again");
}

async function changed(env: Env, present: Environment, wanted: WantedVariables): Promise<Record<string, Sealed>> {
  const before = await openAll(env, present);
  const values = valuesOf(wanted, before);
  refuse(environmentProblems(values, endpointRules(env, present.project_id)));
  const fresh = new Map([...values].filter(([name, value]) => before.get(name) !== value));
  const sealed = { ...present.variables, ...(await sealAll(env, present.id, fresh)) };
  return Object.fromEntries([...values.keys()].map((name) => [name, sealed[name] as Sealed]));
}

/** @throws ApiError `conflict` that names the jobs which use it. */
export async function deleteEnvironment(env: Env, environment: Environment): Promise<void> {
  refuseInUse("environment", await store.deleteEnvironment(env.DB, environment.id));
}

function refuse(problems: ErrorDetail[]): void {
  if (problems.length > 0) throw invalid(problems);
}

/** @throws ApiError `validation_failed` for a null that has no value to keep. */
function valuesOf(wanted: WantedVariables, present: ReadonlyMap<string, string>): Map<string, string> {
  const missing: ErrorDetail[] = [];
  const values = new Map<string, string>();
  for (const [name, value] of Object.entries(wanted)) {
    const kept = value ?? present.get(name);
    if (kept === undefined) missing.push({ path: `variables.${name}`, message: "has no value to keep" });
    else values.set(name, kept);
  }
  refuse(missing);
  return values;
}

async function openAll(env: Env, { id, variables }: Environment): Promise<Map<string, string>> {
  const open = async ([name, sealed]: [string, Sealed]): Promise<[string, string]> => [
    name,
    await openFor(env, variableAad(id, name), sealed),
  ];
  return new Map(await Promise.all(Object.entries(variables).map(open)));
}

async function sealAll(env: Env, id: string, values: ReadonlyMap<string, string>): Promise<Record<string, Sealed>> {
  const seal = async ([name, value]: [string, string]): Promise<[string, Sealed]> => [
    name,
    await sealFor(env, variableAad(id, name), value),
  ];
  return Object.fromEntries(await Promise.all([...values].map(seal)));
}
