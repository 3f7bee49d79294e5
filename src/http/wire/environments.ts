import { z } from "@hono/zod-openapi";
import { MAX_VARIABLE_CHARS, MAX_VARIABLES, variableNameProblem } from "../../domain/environment-rules.ts";
import { slugField, text } from "../../domain/job-fields.ts";
import { strictObject } from "../../domain/strict.ts";
import type { Environment } from "../../operations/environments.ts";
import { instant, iso, listOf, projectParam, uuid } from "./common.ts";

const variables = z
  .record(z.string(), text(0, MAX_VARIABLE_CHARS).nullable())
  .superRefine((map, ctx) => {
    for (const name of Object.keys(map)) {
      const problem = variableNameProblem(name);
      if (problem !== null) ctx.addIssue({ code: "custom", message: problem, path: [name] });
    }
  })
  .refine((map) => Object.keys(map).length <= MAX_VARIABLES, `must have at most ${MAX_VARIABLES} entries`)
  .openapi({
    maxProperties: MAX_VARIABLES,
    description:
      "Used as `{{env.NAME}}` in the jobs' URLs and headers. `ENDPOINT_URL` and `FALLBACK_ENDPOINT_URL` replace the jobs' " +
      "URLs. The map replaces the present one; a null value keeps the value that is there. Encrypted at rest.",
    example: { ENDPOINT_URL: "https://staging.example.com/hook", REGION: "eu" },
  });

export const environmentWire = z
  .object({
    id: uuid(),
    project_id: uuid(),
    name: z.string(),
    slug: z.string(),
    variables: z.record(z.string(), z.string().nullable()).openapi({
      description: "Values are shown to callers with `jobs:write`; to others every value is null.",
    }),
    created_at: instant(),
    updated_at: instant(),
  })
  .openapi("Environment");

export const environmentList = listOf(environmentWire).openapi("EnvironmentList");

const READ_ONLY = ["id", "created_at", "updated_at"];

export const createEnvironmentBody = strictObject(
  { project_id: projectParam, name: text(1, 255), slug: slugField.optional(), variables: variables.optional() },
  READ_ONLY,
).openapi("CreateEnvironment");

export const updateEnvironmentBody = strictObject(
  {
    project_id: projectParam,
    name: text(1, 255).optional(),
    slug: slugField.optional(),
    variables: variables.optional(),
  },
  READ_ONLY,
).openapi("UpdateEnvironment", { description: "A field that is absent stays as it is." });

/** @param shown the variables as the caller may see them. */
export const toEnvironmentWire = (
  row: Environment,
  shown: Record<string, string | null>,
): z.infer<typeof environmentWire> => ({
  id: row.id,
  project_id: row.project_id,
  name: row.name,
  slug: row.slug,
  variables: shown,
  created_at: iso(row.created_at),
  updated_at: iso(row.updated_at),
});
