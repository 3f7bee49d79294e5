import { z } from "@hono/zod-openapi";
import { slugField, text } from "../../domain/job-fields.ts";
import { strictObject } from "../../domain/strict.ts";
import type { JobGroup } from "../../operations/job-groups.ts";
import { instant, iso, listOf, projectParam, uuid } from "./common.ts";
import { recentHealthWire } from "./jobs.ts";

export const jobGroupWire = z
  .object({
    id: uuid(),
    project_id: uuid(),
    name: z.string(),
    slug: z.string(),
    description: z.string().nullable(),
    created_at: instant(),
    updated_at: instant(),
  })
  .openapi("JobGroup");

export const jobGroupList = listOf(jobGroupWire).openapi("JobGroupList");

const READ_ONLY = ["id", "created_at", "updated_at"];
const description = () => text(0, 2000).nullable().optional();

export const createJobGroupBody = strictObject(
  { project_id: projectParam, name: text(1, 255), slug: slugField.optional(), description: description() },
  READ_ONLY,
).openapi("CreateJobGroup");

export const updateJobGroupBody = strictObject(
  { project_id: projectParam, name: text(1, 255).optional(), slug: slugField.optional(), description: description() },
  READ_ONLY,
).openapi("UpdateJobGroup", { description: "A field that is absent stays as it is." });

export const groupStatsWire = z
  .object({
    jobs: z.number().int(),
    waiting: z.number().int(),
    executing: z.number().int(),
    last_24h: recentHealthWire,
  })
  .openapi("JobGroupStats");

export const groupPauseWire = z
  .object({
    group_id: uuid(),
    paused: z.boolean(),
    changed: z.number().int().openapi({ description: "Jobs that were not so before." }),
  })
  .openapi("JobGroupPause");

export const toJobGroupWire = ({ created_at, updated_at, ...row }: JobGroup): z.infer<typeof jobGroupWire> => ({
  ...row,
  created_at: iso(created_at),
  updated_at: iso(updated_at),
});
