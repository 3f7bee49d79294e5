import type { Context } from "hono";
import { ApiError, invalid, notFound } from "../../domain/error.ts";
import { isUuid } from "../../domain/id.ts";
import type { Job, JobVersion } from "../../domain/job.ts";
import { projectScope } from "../../operations/authorize.ts";
import { findJob, slugsOf, versionByRef } from "../../operations/jobs.ts";
import { getProject, type Project, projectBySlug } from "../../operations/projects.ts";
import type { AppEnv } from "../context.ts";

/** The names of this face: an app is a project (its slug), an action a job (its slug). */

type C = Context<AppEnv>;

/** Asked of a version: whatever the job's policy leads to. */
export const LATEST = "latest";

/** The project that the client was set up for, if it says so. With a key it must be the key's own, else 404. */
export const sentProject = (c: C): string | undefined => c.req.header("X-Kernel-Project-Id") || undefined;

/** @throws ApiError `not_found` for an app that is not there, or another project's. */
export async function appOf(c: C, name: string): Promise<Project> {
  const scope = projectScope(c.var.caller, sentProject(c));
  const project = scope === null ? await projectBySlug(c.env, name) : await getProject(c.env, c.var.caller, scope);
  if (project.slug !== name) throw notFound("app");
  return project;
}

/** The app that a list is of: the one named, else the caller's. Null: there is none such, so that the list is empty. */
export async function listedApp(c: C, name: string | undefined): Promise<Project | null> {
  const scope = projectScope(c.var.caller, sentProject(c));
  if (name !== undefined) return orNull(appOf(c, name));
  if (scope === null) throw invalid([{ path: "app_name", message: "is required with the admin token" }]);
  return getProject(c.env, c.var.caller, scope);
}

/** @throws ApiError `not_found`. */
export async function actionOf(c: C, app: Project, name: string): Promise<Job> {
  if (isUuid(name)) throw notFound("action");
  return findJob(c.env, app.id, name);
}

/** The action that a list is of; null: there is none such. */
export const listedAction = (c: C, app: Project, name: string): Promise<Job | null> => orNull(actionOf(c, app, name));

async function orNull<T>(found: Promise<T>): Promise<T | null> {
  try {
    return await found;
  } catch (error) {
    if (error instanceof ApiError && error.code === "not_found") return null;
    throw error;
  }
}

/**
 * The version that is asked for by number or version_id; null for `latest`.
 *
 * @throws ApiError `not_found`.
 */
export async function versionOf(c: C, action: Job, ref: string): Promise<JobVersion | null> {
  if (ref === LATEST) return null;
  const version = await versionByRef(c.env, action, ref);
  if (!version) throw notFound("version");
  return version;
}

/** What runs and batches are called here. */
export interface Names {
  app: string;
  /** By the job's id. */
  actionOf: (jobId: string) => string;
}

export async function namesFor(c: C, projectId: string, jobIds: readonly string[]): Promise<Names> {
  const [app, slugs] = await Promise.all([getProject(c.env, c.var.caller, projectId), slugsOf(c.env, jobIds)]);
  return { app: app.slug, actionOf: (id) => slugs.get(id) ?? id };
}
