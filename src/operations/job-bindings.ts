import { missingVariable } from "../domain/env-template.ts";
import type { ErrorDetail } from "../domain/error.ts";
import { isUuid } from "../domain/id.ts";
import type { JobSpec } from "../domain/job.ts";
import type { JobChange } from "../domain/job-fields.ts";
import { type EndpointRules, unknownNamed } from "../domain/job-rules.ts";
import type { Env } from "../env.ts";
import { selectEnvironment } from "../store/environments.ts";
import { selectGroup } from "../store/job-groups.ts";
import { settingsOf } from "./settings.ts";
import { onCompleteProblems } from "./workflows.ts";

/** What a job names outside of itself: a group, an environment and its variables, services, a workflow. */

/** @param projectId null where it is not known yet: every service counts as mapped. */
export function endpointRules(env: Env, projectId: string | null): EndpointRules {
  const settings = settingsOf(env);
  return {
    address: settings.address,
    isMapped: (service) => projectId === null || settings.service(projectId, service) !== null,
  };
}

/** The part of a job that names something else. */
type Bound = Pick<
  JobSpec,
  "group_id" | "environment_id" | "endpoint_url" | "fallback_endpoint_url" | "on_complete_trigger_workflow"
>;

/** Fields that each name one thing… */
const NAMING_ALONE = ["group_id", "on_complete_trigger_workflow"] as const;
/** …and those that name variables together. */
const NAMING_VARIABLES = ["environment_id", "endpoint_url", "fallback_endpoint_url", "endpoint_headers"] as const;

/** Whether a change is about what a job names; others need not look it up. */
export const touchesBindings = (change: JobChange): boolean =>
  [...NAMING_ALONE, ...NAMING_VARIABLES].some((field) => change[field] !== undefined);

/** Whether a change is about what a problem is about: what went wrong elsewhere since must not stand in its way. */
export function concerns(change: JobChange, { path }: ErrorDetail): boolean {
  const alone = NAMING_ALONE.find((field) => field === path);
  return (alone === undefined ? NAMING_VARIABLES : [alone]).some((field) => change[field] !== undefined);
}

/**
 * Fields that name what is not there, or is another project's: workflow, group, environment, and variables of it. What is no id at
 * all is `fieldProblems`' to say.
 *
 * @param headers their values in the clear; a null one is not judged.
 */
export async function bindingProblems(
  env: Env,
  projectId: string,
  job: Bound,
  headers: Record<string, string | null>,
): Promise<ErrorDetail[]> {
  const asked = (id: string | null): id is string => id !== null && isUuid(id);
  const [group, environment] = await Promise.all([
    asked(job.group_id) ? selectGroup(env.DB, job.group_id) : null,
    asked(job.environment_id) ? selectEnvironment(env.DB, job.environment_id) : null,
  ]);
  const details: ErrorDetail[] = await onCompleteProblems(env, projectId, job);
  if (asked(job.group_id) && group?.project_id !== projectId) {
    details.push({ path: "group_id", message: unknownNamed("group") });
  }
  if (asked(job.environment_id) && environment?.project_id !== projectId) {
    details.push({ path: "environment_id", message: unknownNamed("environment") });
  }
  if (job.environment_id !== null && environment?.project_id !== projectId) return details;
  const variables = environment?.variables ?? {};
  const has = (name: string): boolean => Object.hasOwn(variables, name);
  const templates: [string, string | null][] = [
    ["endpoint_url", job.endpoint_url],
    ["fallback_endpoint_url", job.fallback_endpoint_url],
    ...Object.entries(headers).map(([name, value]): [string, string | null] => [`endpoint_headers.${name}`, value]),
  ];
  for (const [path, template] of templates) {
    const message = template === null ? null : missingVariable(template, has);
    if (message !== null) details.push({ path, message });
  }
  return details;
}
