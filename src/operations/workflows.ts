import { ApiError, type ErrorDetail, invalid, notFound } from "../domain/error.ts";
import { isUuid, timeOf } from "../domain/id.ts";
import type { JobSpec } from "../domain/job.ts";
import { sameValue } from "../domain/version.ts";
import { stepProblem, type WorkflowStep } from "../domain/workflow.ts";
import type { StepInput } from "../domain/workflow-fields.ts";
import { workflowProblems } from "../domain/workflow-rules.ts";
import type { Env } from "../env.ts";
import { selectProject } from "../store/projects.ts";
import { isUniqueViolation } from "../store/unique.ts";
import * as store from "../store/workflows.ts";
import { type Caller, projectRequired, projectScope } from "./authorize.ts";
import { slugTaken, underFreeSlug } from "./slugs.ts";

export type Workflow = store.WorkflowRow;

/** Changes meet at a workflow's revision: the loser reads again and tries again, so often. */
const TRIES = 5;
/** Users of a workflow that an error names. */
const USERS_SHOWN = 20;

/** What a workflow is made from. */
export interface NewWorkflow {
  name: string;
  slug?: string;
  steps: StepInput[];
}

/**
 * @param id of the new workflow; a repeat with the same id finds what the first one made.
 * @throws ApiError `validation_failed` naming every wrong step; `conflict` for a slug that is taken.
 */
export async function createWorkflow(
  env: Env,
  caller: Caller,
  projectId: string,
  wanted: NewWorkflow,
  id: string,
): Promise<Workflow> {
  if (!(await selectProject(env.DB, projectId))) throw notFound("project");
  const steps = await checkedSteps(env, projectId, wanted.steps);
  const at = timeOf(id);
  return underFreeSlug(wanted, "workflow", (slug) =>
    store.insertWorkflow(env.DB, {
      ...{ id, project_id: projectId, slug, name: wanted.name, revision: 1, steps },
      ...{ created_by: caller.actorId, updated_by: caller.actorId, created_at: at, updated_at: at },
    }),
  );
}

/** The steps with their jobs looked up. */
async function checkedSteps(env: Env, projectId: string, wanted: StepInput[]): Promise<WorkflowStep[]> {
  const steps = wanted.map((step) => ({ ...step, payload: step.payload ?? null }));
  const jobOf = await jobsOf(env, projectId, steps);
  const problems = workflowProblems(steps);
  const checked = steps.map((step, i): WorkflowStep => {
    const job = jobOf(step.job);
    if (job === undefined) problems.push(stepProblem(i, "job", "is no job of this project"));
    return { ...step, job_id: job?.id ?? "" };
  });
  if (problems.length > 0) throw invalid(problems);
  return checked;
}

/** Looks jobs up by what steps call them. An id comes before a slug, and a slug is never shaped like one. */
export async function jobsOf(
  env: Env,
  projectId: string,
  steps: readonly { job: string; job_id?: string }[],
): Promise<(ref: string) => { id: string; slug: string } | undefined> {
  const refs = new Set(steps.flatMap(({ job, job_id }) => (job_id === undefined ? [job] : [job, job_id])));
  const found = new Map<string, { id: string; slug: string }>();
  for (const job of await store.jobsByRefs(env.DB, projectId, [...refs])) {
    found.set(job.slug, job);
    found.set(job.id, job);
  }
  return (ref) => found.get(ref);
}

/**
 * A workflow by id or slug.
 *
 * @throws ApiError `not_found`; `validation_failed` where an admin names a slug and no project.
 */
export async function findWorkflow(env: Env, caller: Caller, ref: string, project?: string): Promise<Workflow> {
  const scope = projectScope(caller, project);
  if (scope === null && !isUuid(ref)) throw projectRequired();
  const workflow = isUuid(ref)
    ? await store.selectWorkflow(env.DB, ref)
    : await store.selectWorkflowBySlug(env.DB, scope ?? "", ref);
  if (!workflow || (scope !== null && workflow.project_id !== scope)) throw notFound("workflow");
  return workflow;
}

export const listWorkflows = (
  env: Env,
  projectId: string,
  page: { limit: number; before: string | null },
): Promise<{ rows: Workflow[]; next: string | null }> => store.listWorkflows(env.DB, projectId, page);

/**
 * Changes a workflow, for the runs that start from now on. What changes no value makes no revision.
 *
 * @throws ApiError as `createWorkflow`; `conflict` where jobs name the slug that it would lose.
 */
export async function updateWorkflow(
  env: Env,
  caller: Caller,
  workflow: Workflow,
  change: Partial<NewWorkflow>,
  now: number,
): Promise<Workflow> {
  const steps = change.steps === undefined ? null : await checkedSteps(env, workflow.project_id, change.steps);
  for (let attempt = 1; attempt <= TRIES; attempt++) {
    const present = attempt === 1 ? workflow : await store.selectWorkflow(env.DB, workflow.id);
    if (!present) throw notFound("workflow");
    const wanted = {
      slug: change.slug ?? present.slug,
      name: change.name ?? present.name,
      steps: steps ?? present.steps,
    };
    const { slug, name } = present;
    if (sameValue(wanted, { slug, name, steps: present.steps })) return present;
    if (await write(env, caller, present, wanted, now)) return findWorkflow(env, caller, workflow.id);
    if (wanted.slug !== slug) await refuseInUse(env, present, "its slug cannot change", false);
  }
  throw new ApiError("conflict", "the workflow is being changed by many at once; try again");
}

async function write(
  env: Env,
  caller: Caller,
  present: Workflow,
  wanted: Pick<Workflow, "slug" | "name" | "steps">,
  now: number,
): Promise<boolean> {
  try {
    const { id, revision } = present;
    return await store.updateWorkflow(env.DB, {
      id,
      from_revision: revision,
      ...wanted,
      actor: caller.actorId,
      at: now,
    });
  } catch (error) {
    if (isUniqueViolation(error, "workflows.slug")) throw slugTaken(wanted.slug);
    throw error;
  }
}

/** @throws ApiError `conflict` that names the jobs which start it, or its runs that have not ended. */
export async function deleteWorkflow(env: Env, workflow: Workflow): Promise<void> {
  if (await store.deleteWorkflow(env.DB, workflow.id)) return;
  await refuseInUse(env, workflow, "it cannot be deleted", true);
}

/** Names who needs a workflow; silent where nobody does any more. */
async function refuseInUse(env: Env, workflow: Workflow, what: string, byRunsToo: boolean): Promise<void> {
  const users = await store.usersOfWorkflow(env.DB, workflow.id, USERS_SHOWN);
  const runs = byRunsToo ? users.runs : [];
  if (users.jobs.length + runs.length === 0) return;
  const details: ErrorDetail[] = [
    ...users.jobs.map((slug) => ({ path: `jobs.${slug}`, message: "names it in on_complete_trigger_workflow" })),
    ...runs.map((id) => ({ path: `workflow_runs.${id}`, message: "has not ended" })),
  ];
  const names = [...users.jobs.map((slug) => `job ${slug}`), ...runs.map((id) => `workflow run ${id}`)];
  throw new ApiError("conflict", `the workflow is in use, ${what}: ${names.join(", ")}`, { details });
}

/** Whether the workflow that a job is to start is there. */
export async function onCompleteProblems(
  env: Env,
  projectId: string,
  { on_complete_trigger_workflow: slug }: Pick<JobSpec, "on_complete_trigger_workflow">,
): Promise<ErrorDetail[]> {
  if (slug === null || (await store.workflowExists(env.DB, projectId, slug))) return [];
  return [{ path: "on_complete_trigger_workflow", message: `no workflow has the slug ${slug}` }];
}
