import { ApiError } from "../domain/error.ts";
import type { JobUsers } from "../store/job-users.ts";

/** @throws ApiError `conflict` that names the jobs in the way of a deletion. */
export function refuseInUse(what: string, { count, slugs }: JobUsers): void {
  if (count === 0) return;
  const more = count > slugs.length ? ` and ${count - slugs.length} more` : "";
  throw new ApiError("conflict", `the ${what} is in use by the jobs ${slugs.join(", ")}${more}`, {
    details: slugs.map((slug) => ({ path: `jobs.${slug}`, message: `uses the ${what}` })),
  });
}
