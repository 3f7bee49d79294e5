/** The jobs that name an environment or a group: how many, and the slugs of the first. */
export interface JobUsers {
  count: number;
  slugs: string[];
}

const SHOWN = 100;

/** Deleted jobs are no users. */
export async function usersOf(db: D1Database, column: "environment_id" | "group_id", id: string): Promise<JobUsers> {
  const users = `FROM jobs WHERE ${column} = ?1 AND deleted_at IS NULL`;
  const [counted, listed] = await db.batch<{ count: number; slug: string }>([
    db.prepare(`SELECT count(*) AS count ${users}`).bind(id),
    db.prepare(`SELECT slug ${users} ORDER BY id LIMIT ${SHOWN}`).bind(id),
  ]);
  return { count: counted?.results[0]?.count ?? 0, slugs: (listed?.results ?? []).map((row) => row.slug) };
}
