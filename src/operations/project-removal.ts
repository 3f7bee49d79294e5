import { CONNECTIONS, mapBounded } from "../domain/bounded.ts";
import type { Env } from "../env.ts";
import { importOf } from "../imports/client.ts";
import { logError } from "../log.ts";
import { deleteImport, listImports } from "../store/imports.ts";
import {
  type DeletedProject,
  forgetDeletedProject,
  listDeletedProjects,
  removeRows,
} from "../store/project-remains.ts";

const PROJECTS_A_MINUTE = 20;
/** What one minute spends on it; the next one goes on. */
const BUDGET_MS = 10_000;
const MAX_ROUNDS = 20;
const ROWS = 1_000;
/** R2 lists and deletes so many objects in one call. */
const OBJECTS = 1_000;
const IMPORTS = 20;
/** Until then its jobs' coordinators have written what they still had to, and its webhooks were sent or are dead. */
const KEPT_MS = 24 * 3_600_000;

/** Everything that is kept in R2 stands below the project's id. */
const PREFIXES = ["runs", "batches", "imports", "workflow-runs"];

/**
 * Removes what projects have left that were deleted a day ago: rows, bodies and archives, and the objects of their imports. In bounded rounds: what
 * is left is for the next minute.
 *
 * @param now Unix milliseconds.
 */
export async function removeRemains(env: Env, now: number): Promise<void> {
  const until = Date.now() + BUDGET_MS;
  let rounds = 0;
  for (const project of await listDeletedProjects(env.DB, now - KEPT_MS, PROJECTS_A_MINUTE)) {
    try {
      let more = true;
      while (more && rounds++ < MAX_ROUNDS && Date.now() < until) more = await removeSome(env, project);
      if (!more) await forgetDeletedProject(env.DB, project.id);
    } catch (error) {
      logError("retention_failed", { project_id: project.id }, error);
    }
  }
}

/** @returns whether there may be more. */
async function removeSome(env: Env, project: DeletedProject): Promise<boolean> {
  const imports = await listImports(env.DB, { project_id: project.id }, { limit: IMPORTS, before: null });
  await mapBounded(imports, CONNECTIONS, async ({ spec }) => {
    await importOf(env, spec.id).erase();
    await deleteImport(env.DB, spec.id);
  });
  const hasObjects = await mapBounded(PREFIXES, PREFIXES.length, (kind) =>
    removeObjects(env, `${kind}/${project.id}/`),
  );
  const hasRows = await removeRows(env.DB, project, ROWS);
  return imports.length > IMPORTS || hasObjects.includes(true) || hasRows;
}

async function removeObjects(env: Env, prefix: string): Promise<boolean> {
  const { objects, truncated } = await env.BLOBS.list({ prefix, limit: OBJECTS });
  if (objects.length > 0) await env.BLOBS.delete(objects.map(({ key }) => key));
  return truncated;
}
