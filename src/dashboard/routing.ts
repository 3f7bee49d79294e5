/**
 * Where in the dashboard one is. It stands behind the `#`, which no browser sends: the server needs to know no page, and its
 * logs no id.
 */

export const SECTIONS = ["jobs", "batches", "runs", "imports", "webhooks", "workflows"] as const;
export type Section = (typeof SECTIONS)[number];

export interface Place {
  section: Section;
  /** Of the object that is shown; null for the list. */
  id: string | null;
  /** Filters and tabs, in a page's own words. */
  query: Readonly<Record<string, string>>;
}

/** The place that a location's hash names; the jobs where it names none. */
export function parsePlace(hash: string): Place {
  const [path = "", search = ""] = hash.replace(/^#?\/?/, "").split("?", 2);
  const [section, id = ""] = path.split("/");
  const query = Object.fromEntries(new URLSearchParams(search));
  return { section: SECTIONS.find((s) => s === section) ?? "jobs", id: decoded(id), query };
}

/** `#/jobs/019c…?tab=versions`, for links. */
export function hrefOf(section: Section, id: string | null = null, query: Record<string, string | null> = {}): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) if (value !== null && value !== "") search.set(name, value);
  const path = id === null ? `#/${section}` : `#/${section}/${encodeURIComponent(id)}`;
  return search.size === 0 ? path : `${path}?${search}`;
}

function decoded(text: string): string | null {
  if (text === "") return null;
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
