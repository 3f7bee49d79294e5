import { z } from "zod";
import { strictObject } from "./strict.ts";

/** Which bound bucket `r2://NAME/…` leads to, and whose imports may read it: `*` is every project's. */
export interface R2Mapping {
  binding: string;
  projects: "*" | string[];
}

const NAME = /^[A-Za-z_][A-Za-z0-9_]{0,63}$/;
/** The deployment's own bucket holds what every project has sent. */
const OWN_BUCKET = "BLOBS";

const mappings = z.record(
  z.string().regex(NAME, "is not a bucket's name"),
  strictObject({
    binding: z
      .string()
      .regex(NAME, "is not a binding's name")
      .refine((name) => name !== OWN_BUCKET, "is the deployment's own bucket"),
    projects: z.union([z.literal("*"), z.array(z.uuid("expected a project's id")).min(1)]),
  }),
);

/**
 * Parses `R2_SOURCES`: JSON `{"logs":{"binding":"LOGS","projects":["<project id>"]}}`, or `"projects":"*"`.
 *
 * @throws Error naming what is wrong.
 */
export function parseR2Sources(text: string): Map<string, R2Mapping> {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw new Error("R2_SOURCES is not JSON");
  }
  const parsed = mappings.safeParse(json);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw new Error(`R2_SOURCES ${issue?.path.join(".")} ${issue?.message}`);
  }
  return new Map(Object.entries(parsed.data));
}

export const mayRead = ({ projects }: R2Mapping, projectId: string): boolean =>
  projects === "*" || projects.includes(projectId);
