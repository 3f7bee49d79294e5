import { signal } from "@preact/signals";
import { hrefOf, type Place, parsePlace } from "./routing.ts";

/** The place that is shown. It follows the location. */
export const place = signal<Place>(parsePlace(location.hash));

addEventListener("hashchange", () => {
  place.value = parsePlace(location.hash);
});

export function goTo(href: string): void {
  location.hash = href;
}

/** Changes filters or a tab, without a step in the history. */
export function setQuery(change: Record<string, string | null>): void {
  const { section, id, query } = place.value;
  history.replaceState(null, "", hrefOf(section, id, { ...query, ...change }));
  place.value = parsePlace(location.hash);
}
