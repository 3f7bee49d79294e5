import type { VersionPolicy } from "./job.ts";

/**
 * The version a waiting run uses (contract 5): `pin` its own, `latest` the newest, `minor` the newest that an unbroken
 * line of backwards compatible versions reaches.
 *
 * @param own the version that the run was triggered with, whatever its attempts have used since.
 * @param breakAfter the first version after `own`, up to the newest, that is not backwards compatible; null: there is none.
 */
export function resolveVersion(
  policy: VersionPolicy,
  own: number,
  newest: number,
  breakAfter: (own: number) => number | null,
): number {
  switch (policy) {
    case "pin":
      return own;
    case "latest":
      return newest;
    case "minor":
      return (breakAfter(own) ?? newest + 1) - 1;
  }
}
