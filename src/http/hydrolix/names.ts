import { z } from "@hono/zod-openapi";
import type { Context } from "hono";
import { ApiError, invalid, notFound } from "../../domain/error.ts";
import { isUuid } from "../../domain/id.ts";
import type { Job } from "../../domain/job.ts";
import { findJob } from "../../operations/jobs.ts";
import { getProject, type Project } from "../../operations/projects.ts";
import type { AppEnv } from "../context.ts";
import { strictQuery } from "../wire/common.ts";

/** The names of this face: an org is a project (its id) and holds the one project of the same, a table is a job. */

type C = Context<AppEnv>;

const pathName = (name: string, description: string) =>
  z
    .string()
    .min(1)
    .max(128)
    .openapi({ param: { name, in: "path" }, description });

export const orgParam = z.object({ org: pathName("org", "The project's id.") });
export const jobParam = orgParam.extend({ uuid: pathName("uuid", "The batch job's id.") });
export const projectParam = orgParam.extend({ project: pathName("project", "The project's slug or id.") });
export const tableParam = projectParam.extend({ table: pathName("table", "The job's slug or id.") });

export const noQuery = strictQuery({});

/** A slug has no `_`, and names of Hydrolix have no `-`. */
export const slugOf = (name: string): string => name.replaceAll("_", "-");

/** @throws ApiError `not_found`, also for a project that is not the key's own. */
export const orgOf = (c: C, { org }: { org: string }): Promise<Project> =>
  getProject(c.env, c.var.caller, org.toLowerCase());

/** The org, where it holds a project of this name. */
export async function projectOf(c: C, param: { org: string; project: string }): Promise<Project> {
  const org = await orgOf(c, param);
  if (param.project !== org.id && slugOf(param.project) !== org.slug) throw notFound("project");
  return org;
}

/** @throws ApiError `not_found`. */
export async function tableOf(c: C, project: Project, table: string): Promise<Job> {
  try {
    return await findJob(c.env, project.id, isUuid(table) ? table : slugOf(table));
  } catch (error) {
    throw error instanceof ApiError && error.code === "not_found" ? notFound("table") : error;
  }
}

/**
 * The slug of the job that `project.table` names.
 *
 * @throws ApiError `validation_failed`.
 */
export function jobOfTable(project: Project, named: string): string {
  const at = (message: string): ApiError => invalid([{ path: "settings.source.table", message }]);
  const [head = "", table = "", ...more] = named.split(".");
  if (table === "" || more.length > 0) throw at("expected project.table");
  if (slugOf(head) !== project.slug) throw at(`names no project of this org, whose project is ${project.slug}`);
  return slugOf(table);
}
