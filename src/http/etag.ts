import type { Context } from "hono";

/** The ETag of something whose changes are counted: a job's revision, a batch's version. */
export const etagOf = (count: number): string => `"${count}"`;

const TAG = /^(?:W\/)?"(\d{1,15})"$/;

/**
 * The counts that `If-Match` names; null where it is absent or `*`, which any state fits. A tag that is none of ours fits
 * no state. Weak tags count: a proxy that compresses makes them so.
 */
export function ifMatch(c: Context): number[] | null {
  const header = c.req.header("If-Match");
  if (header === undefined || header.trim() === "*") return null;
  return header.split(",").flatMap((tag) => {
    const count = TAG.exec(tag.trim())?.[1];
    return count === undefined ? [] : [Number(count)];
  });
}
