import { z } from "@hono/zod-openapi";
import { isSlug } from "../../domain/slug.ts";
import { strictObject } from "../../domain/strict.ts";
import type { Project } from "../../operations/projects.ts";
import { instant, iso, listOf, uuid } from "./common.ts";

const name = () => z.string().min(1).max(255);
const slug = () =>
  z
    .string()
    .refine(isSlug, "must have 1 to 128 of a-z, 0-9 and -, and not look like a UUID")
    .openapi({ pattern: "^[a-z0-9-]{1,128}$", example: "acme" });
const maxInvocations = () =>
  z.number().int().min(1).max(100_000).openapi({
    description: "`max_concurrency` of a Kernel batch that names none. 1000 by default.",
  });

export const projectWire = z
  .object({
    id: uuid(),
    name: name(),
    slug: z.string(),
    max_concurrent_invocations: maxInvocations(),
    created_at: instant(),
  })
  .openapi("Project");

export const projectList = listOf(projectWire).openapi("ProjectList");

export const createProjectBody = strictObject({
  name: name(),
  slug: slug().optional().openapi({ description: "Made from the name when absent." }),
  max_concurrent_invocations: maxInvocations().optional(),
}).openapi("CreateProject");

export const updateProjectBody = strictObject({
  name: name().optional(),
  slug: slug().optional(),
  max_concurrent_invocations: maxInvocations().optional(),
}).openapi("UpdateProject");

export const toProjectWire = (project: Project): z.infer<typeof projectWire> => ({
  id: project.id,
  name: project.name,
  slug: project.slug,
  max_concurrent_invocations: project.max_concurrent_invocations,
  created_at: iso(project.created_at),
});
