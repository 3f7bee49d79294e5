import type { JobVersion, VersionPolicy } from "./job.ts";

/**
 * The version a waiting run uses (contract 5): `pin` its own, `latest` the newest, `minor` the newest that an unbroken
 * line of backwards compatible versions reaches.
 *
 * @param versionOf any version from `own + 1` to `newest`.
 */
export function resolveVersion(
  policy: VersionPolicy,
  own: number,
  newest: number,
  versionOf: (version: number) => JobVersion,
): number {
  if (policy === "pin") return own;
  if (policy === "latest") return newest;
  let reached = own;
  while (reached < newest && versionOf(reached + 1).spec.backwards_compatible) reached += 1;
  return reached;
}
