import { sql } from "drizzle-orm";
import { drizzle } from "drizzle-orm/d1";
import type { RunStatus } from "../domain/run.ts";
import type { Env } from "../env.ts";

/** The statuses of a project's runs as the copy has them, by id, in one statement; unknown ids are left out. */
export async function runStatuses(
  env: Env,
  projectId: string,
  ids: readonly string[],
): Promise<Map<string, RunStatus>> {
  const rows = await drizzle(env.DB).all<{ id: string; status: RunStatus }>(sql`SELECT r.id, r.status
    FROM json_each(${JSON.stringify(ids)}) AS asked CROSS JOIN runs AS r
    WHERE r.project_id = ${projectId} AND r.id = asked.value`);
  return new Map(rows.map((row) => [row.id, row.status]));
}
