import { isUuid } from "./id.ts";

const SLUG = /^[a-z0-9-]{1,128}$/;
const MAX_SLUG = 128;

/** Lower-case letters, digits and `-`; not shaped as a UUID, because paths take either. */
export const isSlug = (text: string): boolean => SLUG.test(text) && !isUuid(text);

/** A slug made from a name: `Süd & Nord` → `sud-nord`. `fallback` stands where nothing is left of the name. */
export function slugFrom(name: string, fallback: string): string {
  const slug = name
    .normalize("NFKD")
    .replace(/\p{M}/gu, "")
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-")
    .slice(0, MAX_SLUG)
    .replace(/^-+|-+$/g, "");
  if (slug === "") return fallback;
  return isSlug(slug) ? slug : `${fallback}-${slug}`.slice(0, MAX_SLUG);
}

/** The n-th choice for a slug that is taken: `send`, `send-2`, `send-3`… */
export function numberedSlug(slug: string, n: number): string {
  if (n < 2) return slug;
  const suffix = `-${n}`;
  return slug.slice(0, MAX_SLUG - suffix.length) + suffix;
}
