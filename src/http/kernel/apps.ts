import { createRoute, z } from "@hono/zod-openapi";
import type { Context } from "hono";
import type { Job } from "../../domain/job.ts";
import { listJobs } from "../../operations/jobs.ts";
import type { Project } from "../../operations/projects.ts";
import { secured } from "../auth.ts";
import type { App, AppEnv } from "../context.ts";
import { strictQuery } from "../wire/common.ts";
import { pageHeadersOf } from "./answers.ts";
import { kernelErrors } from "./error.ts";
import { LATEST, listedApp } from "./names.ts";
import { pageOf, pageParams } from "./wire.ts";

const DEFAULT_LIMIT = 20;
/** Actions that an app shows. */
const MAX_ACTIONS = 1_000;
/** The one region that the client's type knows. */
const REGION = "aws.us-east-1a";

const action = z.object({
  name: z.string(),
  input_schema: z.record(z.string(), z.unknown()).nullable().openapi({ description: "The job's `payload_schema`." }),
});

const appWire = z
  .object({
    id: z.string(),
    app_name: z.string(),
    version: z.string(),
    region: z.literal(REGION),
    deployment: z.string(),
    actions: z.array(action),
    env_vars: z.record(z.string(), z.string()),
  })
  .openapi("KernelApp");

const list = createRoute({
  method: "get",
  path: "/kernel/apps",
  tags: ["Kernel: apps"],
  summary: "List apps",
  description: "The project, with its jobs as actions.",
  ...secured("jobs:read"),
  request: {
    query: strictQuery({
      app_name: z.string().optional().openapi({ description: "The project's slug; needed with the admin token." }),
      version: z.string().optional(),
      query: z.string().optional().openapi({ description: "A part of the app's name." }),
      ...pageParams,
    }),
  },
  responses: { 200: pageOf(appWire, "Apps"), ...kernelErrors(404) },
});

const schemaOf = (job: Job): Record<string, unknown> | null => {
  const { payload_schema: schema } = job.current.spec;
  return typeof schema === "object" ? (schema as Record<string, unknown> | null) : null;
};

async function appToWire(c: Context<AppEnv>, project: Project): Promise<z.infer<typeof appWire>> {
  const jobs = await listJobs(c.env, project.id, { tags: [] }, { limit: MAX_ACTIONS, before: null });
  return {
    id: project.id,
    app_name: project.slug,
    version: LATEST,
    region: REGION,
    deployment: project.id,
    actions: jobs.map((job) => ({ name: job.current.spec.slug, input_schema: schemaOf(job) })),
    env_vars: {},
  };
}

export function registerApps(app: App): void {
  app.openapi(list, async (c) => {
    const { app_name, version = LATEST, query = "", limit = DEFAULT_LIMIT, offset = 0 } = c.req.valid("query");
    const project = await listedApp(c, app_name);
    const isListed = project?.slug.includes(query.toLowerCase()) && version === LATEST && offset === 0;
    const apps = project && isListed ? [await appToWire(c, project)] : [];
    return c.json(apps, 200, pageHeadersOf(limit, offset, apps.length, false));
  });
}
