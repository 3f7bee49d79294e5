/** The jobs that name an environment or a group: how many, and the slugs of the first. Deleted jobs are no users. */
export interface JobUsers {
  count: number;
  slugs: string[];
}

const SHOWN = 100;
const COLUMN = { environments: "environment_id", job_groups: "group_id" } as const;

/** Deletes an environment or a group that no job names, in one transaction; else nothing happens. Answers the jobs that do. */
export async function deleteUnlessUsed(db: D1Database, table: keyof typeof COLUMN, id: string): Promise<JobUsers> {
  const users = `FROM jobs WHERE ${COLUMN[table]} = ?1 AND deleted_at IS NULL`;
  const [, counted, listed] = await db.batch<{ count: number; slug: string }>([
    db.prepare(`DELETE FROM ${table} WHERE id = ?1 AND NOT EXISTS (SELECT 1 ${users})`).bind(id),
    db.prepare(`SELECT count(*) AS count ${users}`).bind(id),
    db.prepare(`SELECT slug ${users} ORDER BY id LIMIT ${SHOWN}`).bind(id),
  ]);
  return { count: counted?.results[0]?.count ?? 0, slugs: (listed?.results ?? []).map((row) => row.slug) };
}
