import { createRoute, z } from "@hono/zod-openapi";
import type { Job } from "../../domain/job.ts";
import { everyJob } from "../../operations/jobs.ts";
import type { Project } from "../../operations/projects.ts";
import { secured } from "../auth.ts";
import type { App } from "../context.ts";
import { json } from "../wire/common.ts";
import { hydrolixErrors } from "./error.ts";
import { micros } from "./job-wire.ts";
import { noQuery, orgOf, orgParam, projectOf, projectParam, tableOf, tableParam } from "./names.ts";

const tags = ["Hydrolix: config"];
const PROJECTS = "/config/v1/orgs/{org}/projects";

const projectWire = z
  .object({ uuid: z.string(), name: z.string(), description: z.string(), org: z.string(), created: z.string() })
  .openapi("HydrolixProject");

const tableWire = z
  .object({
    uuid: z.string(),
    name: z.string(),
    description: z.string(),
    project: z.string(),
    created: z.string(),
    modified: z.string(),
  })
  .openapi("HydrolixTable");

const projects = createRoute({
  method: "get",
  path: PROJECTS,
  tags,
  summary: "List projects",
  description: "The org's one project.",
  ...secured("jobs:read"),
  request: { params: orgParam, query: noQuery },
  responses: { 200: json(z.array(projectWire), "Projects"), ...hydrolixErrors() },
});

const project = createRoute({
  method: "get",
  path: `${PROJECTS}/{project}`,
  tags,
  summary: "Get a project",
  ...secured("jobs:read"),
  request: { params: projectParam, query: noQuery },
  responses: { 200: json(projectWire, "The project"), ...hydrolixErrors() },
});

const tables = createRoute({
  method: "get",
  path: `${PROJECTS}/{project}/tables`,
  tags,
  summary: "List tables",
  description: "The project's jobs.",
  ...secured("jobs:read"),
  request: { params: projectParam, query: noQuery },
  responses: { 200: json(z.array(tableWire), "Tables"), ...hydrolixErrors() },
});

const table = createRoute({
  method: "get",
  path: `${PROJECTS}/{project}/tables/{table}`,
  tags,
  summary: "Get a table",
  ...secured("jobs:read"),
  request: { params: tableParam, query: noQuery },
  responses: { 200: json(tableWire, "The table"), ...hydrolixErrors() },
});

const projectToWire = ({ id, slug, name, created_at }: Project): z.infer<typeof projectWire> => ({
  uuid: id,
  name: slug,
  description: name,
  org: id,
  created: micros(created_at),
});

const tableToWire = (job: Job): z.infer<typeof tableWire> => ({
  uuid: job.id,
  name: job.current.spec.slug,
  description: job.current.spec.description ?? "",
  project: job.project_id,
  created: micros(job.created_at),
  modified: micros(job.updated_at),
});

export function registerTables(app: App): void {
  app.openapi(projects, async (c) => c.json([projectToWire(await orgOf(c, c.req.valid("param")))], 200));
  app.openapi(project, async (c) => c.json(projectToWire(await projectOf(c, c.req.valid("param"))), 200));
  app.openapi(tables, async (c) => {
    const { id } = await projectOf(c, c.req.valid("param"));
    const shown = [];
    for await (const job of everyJob(c.env, id)) shown.push(tableToWire(job));
    return c.json(shown, 200);
  });
  app.openapi(table, async (c) => {
    const param = c.req.valid("param");
    return c.json(tableToWire(await tableOf(c, await projectOf(c, param), param.table)), 200);
  });
}
