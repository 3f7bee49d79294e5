import { clockAfter } from "../domain/cron-clock.ts";
import { type ErrorDetail, invalid, notFound } from "../domain/error.ts";
import { timeOf } from "../domain/id.ts";
import type { Job, JobSpec } from "../domain/job.ts";
import { JOB_DEFAULTS, type JobChange, jobShape } from "../domain/job-fields.ts";
import { fieldProblems, jobProblems } from "../domain/job-rules.ts";
import { sameValue } from "../domain/version.ts";
import type { Env } from "../env.ts";
import * as store from "../store/jobs.ts";
import { selectProject } from "../store/projects.ts";
import type { Caller } from "./authorize.ts";
import { bindingProblems, concerns, endpointRules, touchesBindings } from "./job-bindings.ts";
import { changeJob, newVersionId, nextVersion, tell } from "./job-changes.ts";
import { NO_SECRETS, openHeaders, resealFor, sealChange } from "./job-secrets.ts";
import { forgetJob, getVersion } from "./jobs.ts";
import { underFreeSlug } from "./slugs.ts";

/** What a job is created from: name and endpoint, and any other field. */
export type NewJob = JobChange & Required<Pick<JobChange, "name" | "endpoint_url">>;

/**
 * The fields that are wrong by themselves, for an answer that names every one of them.
 *
 * @param projectId null where it is not known yet: whose services may be called is judged later then.
 */
export const problemsOf = (env: Env, projectId: string | null, change: JobChange): ErrorDetail[] =>
  fieldProblems(change, endpointRules(env, projectId));

/**
 * Creates a job.
 *
 * @param id of the new job; a repeat with the same id finds what the first one made.
 */
export async function createJob(env: Env, caller: Caller, projectId: string, wanted: NewJob, id: string): Promise<Job> {
  const plain = { ...structuredClone(JOB_DEFAULTS), ...given(wanted) };
  refuse([
    ...problemsOf(env, projectId, wanted),
    ...jobProblems({ ...plain, ...NO_SECRETS }),
    ...(await bindingProblems(env, projectId, plain, plain.endpoint_headers)),
  ]);
  const sealed = await sealChange(env, id, wanted, NO_SECRETS);
  return insert(env, projectId, id, { ...plain, ...sealed }, wanted.slug, caller);
}

async function insert(
  env: Env,
  projectId: string,
  id: string,
  spec: Omit<JobSpec, "slug">,
  wantedSlug: string | undefined,
  caller: Caller,
): Promise<Job> {
  if (!(await selectProject(env.DB, projectId))) throw notFound("project");
  const clock = clockAfter(spec, timeOf(id));
  return underFreeSlug({ name: spec.name, slug: wantedSlug }, "job", async (slug) => {
    const row = { id, project_id: projectId, version_id: newVersionId(), actor: caller.actorId, at: timeOf(id) };
    const job = await store.insertJob(env.DB, { ...row, clock, spec: inModelOrder({ ...spec, slug }) });
    if (!job) {
      // Not the slug, if what it names was deleted meanwhile.
      refuse(await bindingProblems(env, projectId, spec, {}));
      return null;
    }
    forgetJob(job);
    await tell(env, job);
    return job;
  });
}

/** The fields in the order of the model, for people who read it. */
const inModelOrder = (spec: JobSpec): JobSpec =>
  Object.fromEntries(
    (Object.keys(jobShape) as (keyof JobSpec)[]).map((name) => [name, spec[name]]),
  ) as unknown as JobSpec;

/** Without the fields that are undefined: they say nothing. */
function given<T extends object>(change: T): T {
  return Object.fromEntries(Object.entries(change).filter(([, value]) => value !== undefined)) as T;
}

function refuse(problems: ErrorDetail[]): void {
  if (problems.length > 0) throw invalid(problems);
}

/** Changes fields of a job. What changes no value makes no version. */
export function editJob(
  env: Env,
  caller: Caller,
  job: Job,
  change: JobChange,
  ifRevision: number[] | null,
  now: number,
): Promise<Job> {
  const wanted = given(change);
  return changeJob(env, job, ifRevision, caller.actorId, now, async (present) => {
    const before = present.current.spec;
    const plain = { ...before, ...wanted, ...secretsOf(before) };
    const problems = [...problemsOf(env, present.project_id, wanted), ...jobProblems(plain)];
    if (touchesBindings(wanted)) {
      const headers = await openHeaders(env, present.id, before, wanted.endpoint_headers);
      const found = await bindingProblems(env, present.project_id, plain, headers);
      problems.push(...found.filter((problem) => concerns(wanted, problem)));
    }
    refuse(problems);
    const spec: JobSpec = { ...plain, ...(await sealChange(env, present.id, wanted, before)) };
    return sameValue(spec, before) ? null : { version: nextVersion(present, spec) };
  });
}

const secretsOf = ({ endpoint_headers, endpoint_signing_secret, webhook_secret }: JobSpec) => ({
  endpoint_headers,
  endpoint_signing_secret,
  webhook_secret,
});

/** Cancels what waits, lets what executes finish, and hides the job. */
export async function deleteJob(
  env: Env,
  caller: Caller,
  job: Job,
  ifRevision: number[] | null,
  now: number,
): Promise<void> {
  await changeJob(env, job, ifRevision, caller.actorId, now, async () => ({ deleted: true }));
}

/** Triggers are accepted, nothing starts. Pausing twice is the same as once. */
export const setPaused = (env: Env, caller: Caller, job: Job, paused: boolean, now: number): Promise<Job> =>
  changeJob(env, job, null, caller.actorId, now, async (present) => (present.paused === paused ? null : { paused }));

/** A new job like another one, at version 1, not paused. */
export async function cloneJob(
  env: Env,
  caller: Caller,
  job: Job,
  wanted: { name?: string; slug?: string },
  id: string,
): Promise<Job> {
  const { slug: _, ...spec } = job.current.spec;
  const sealed = await resealFor(env, spec, job.id, id);
  return insert(env, job.project_id, id, { ...spec, ...sealed, name: wanted.name ?? spec.name }, wanted.slug, caller);
}

/** A new version that equals an old one. */
export function restoreVersion(env: Env, caller: Caller, job: Job, ref: string, now: number): Promise<Job> {
  return changeJob(env, job, null, caller.actorId, now, async (present) => {
    const { spec } = await getVersion(env, present, ref);
    // The deployment may have become stricter since.
    const headers = await openHeaders(env, present.id, spec);
    refuse([
      ...problemsOf(env, present.project_id, { ...spec, endpoint_headers: {} }),
      // What it named may have been deleted since.
      ...(await bindingProblems(env, present.project_id, spec, headers)),
    ]);
    return { version: nextVersion(present, spec) };
  });
}
