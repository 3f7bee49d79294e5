/** Objects that a job has imported: (bucket, key, etag), `origin` being the bucket and where it is. */
export interface HistoryName {
  job_id: string;
  origin: string;
}

interface Known {
  key: string;
  etag: string;
}

/** Which of the objects are known, in order. One query, whatever their number. */
export async function knownObjects(
  db: D1Database,
  { job_id, origin }: HistoryName,
  objects: Known[],
): Promise<boolean[]> {
  if (objects.length === 0) return [];
  const { results } = await db
    .prepare(
      `SELECT j.key AS at FROM json_each(?3) AS j CROSS JOIN import_history AS h
       ON h.job_id = ?1 AND h.origin = ?2 AND h.key = j.value->>0 AND h.etag = j.value->>1`,
    )
    .bind(job_id, origin, JSON.stringify(objects.map(({ key, etag }) => [key, etag])))
    .all<{ at: number }>();
  const known = new Set(results.map((row) => row.at));
  return objects.map((_, i) => known.has(i));
}

/** Remembers objects; one that is known stays. */
export async function rememberObjects(
  db: D1Database,
  { job_id, origin }: HistoryName,
  importId: string,
  objects: Known[],
): Promise<void> {
  if (objects.length === 0) return;
  await db
    .prepare(
      `INSERT INTO import_history SELECT ?1, ?2, value->>0, value->>1, ?3 FROM json_each(?4) WHERE true
       ON CONFLICT DO NOTHING`,
    )
    .bind(job_id, origin, importId, JSON.stringify(objects.map(({ key, etag }) => [key, etag])))
    .run();
}
