import { z } from "zod";
import type { Env } from "../env.ts";
import { selectProject, selectProjectBySlug } from "../store/projects.ts";
import type { Caller } from "./authorize.ts";
import { Recent } from "./recent.ts";

const props = z.object({
  project: z.string().min(1).max(128),
  name: z.string().regex(/^[A-Za-z0-9._-]{1,64}$/, "must have 1 to 64 of a-z, A-Z, 0-9, ., _ and -"),
});

const CACHE_MS = 60_000;
const projectIds = new Recent<string>(CACHE_MS, 500);

/**
 * The caller that a service binding stands for. What its `props` say the deployer wrote: it is believed.
 *
 * @throws Error that tells the deployer what is wrong with the binding.
 */
export async function serviceCaller(env: Env, given: unknown): Promise<Caller> {
  const parsed = props.safeParse(given);
  if (!parsed.success) {
    const wrong = parsed.error.issues.map((i) => `${i.path.join(".") || "props"} ${i.message}`).join("; ");
    throw new Error(`the service binding to Sluice needs props = { project, name }: ${wrong}`);
  }
  const { project, name } = parsed.data;
  return {
    kind: "service",
    projectId: await projectId(env, project),
    scopes: ["jobs:read", "jobs:trigger", "runs:read", "runs:write"],
    actorId: `service:${name}`,
  };
}

async function projectId(env: Env, ref: string): Promise<string> {
  const now = Date.now();
  const cached = projectIds.get(ref, now);
  if (cached !== undefined) return cached;
  const row = (await selectProject(env.DB, ref)) ?? (await selectProjectBySlug(env.DB, ref));
  if (!row) throw new Error(`the service binding to Sluice names a project that is not there: ${ref}`);
  projectIds.set(ref, row.id, now);
  return row.id;
}
