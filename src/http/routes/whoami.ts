import { createRoute, z } from "@hono/zod-openapi";
import { SCOPES } from "../../domain/scope.ts";
import { getProject } from "../../operations/projects.ts";
import { secured } from "../auth.ts";
import type { App } from "../context.ts";
import { errors, json, strictQuery } from "../wire/common.ts";
import { projectWire, toProjectWire } from "../wire/projects.ts";

const identity = z
  .object({
    actor_id: z.string().openapi({ example: "apikey:019c2f6e-7d80-7a3b-9c55-0000000002a1" }),
    project: projectWire.nullable().openapi({ description: "The key's project. Null for the admin, who has all." }),
    scopes: z.array(z.enum(SCOPES)),
  })
  .openapi("Identity");

const get = createRoute({
  method: "get",
  path: "/v1/whoami",
  tags: ["API keys"],
  summary: "Who the credentials belong to",
  ...secured("any"),
  request: { query: strictQuery({}) },
  responses: { 200: json(identity, "The caller"), ...errors(422) },
});

/** What the typed client is typed by. */
export type WhoamiRoutes = typeof get;

export function registerWhoami(app: App): void {
  app.openapi(get, async (c) => {
    const { caller } = c.var;
    const project = caller.projectId === null ? null : await getProject(c.env, caller, caller.projectId);
    return c.json(
      {
        actor_id: caller.actorId,
        project: project === null ? null : toProjectWire(project),
        scopes: [...caller.scopes],
      },
      200,
    );
  });
}
