/** Connections that may be open at once in one invocation of a Worker (Cloudflare's limit). */
export const CONNECTIONS = 6;

/** Works on the items side by side, `width` of them at a time; results in their order. */
export async function mapBounded<T, R>(
  items: readonly T[],
  width: number,
  work: (item: T) => Promise<R>,
): Promise<R[]> {
  const results: R[] = [];
  const queue = items.entries();
  const worker = async (): Promise<void> => {
    for (const [i, item] of queue) results[i] = await work(item);
  };
  await Promise.all(Array.from({ length: Math.min(width, items.length) }, worker));
  return results;
}
