/** A statement as it was asked. */
export interface Asked {
  query: string;
  args: unknown[];
}

/** A database, and what is asked of it from now on. */
export function watched(d1: D1Database): { db: D1Database; asked: Asked[] } {
  const asked: Asked[] = [];
  const prepare = (query: string) => ({
    bind: (...args: unknown[]) => {
      asked.push({ query, args });
      return d1.prepare(query).bind(...args);
    },
  });
  return { db: { prepare, batch: (all: D1PreparedStatement[]) => d1.batch(all) } as unknown as D1Database, asked };
}

/** Rows that statements look at, asked once more. */
export async function rowsRead(d1: D1Database, asked: readonly Asked[]): Promise<number> {
  let rows = 0;
  for (const { query, args } of asked) {
    const { meta } = await d1
      .prepare(query)
      .bind(...args)
      .all();
    rows += meta.rows_read;
  }
  return rows;
}
