import { useRef } from "preact/hooks";
import { place, setQuery } from "../place.ts";
import { useScrolledTo } from "./scrolled.ts";

/** Parts of a page of which one is shown. Arrow keys go from one to the next. */
export function Tabs({ names, shown }: { names: readonly (readonly [string, string])[]; shown: string }) {
  const bar = useRef<HTMLDivElement>(null);
  useScrolledTo(bar, '[aria-selected="true"]', shown);
  const choose = (id: string): void => setQuery({ tab: id === names[0]?.[0] ? null : id });
  const onKey = (event: KeyboardEvent): void => {
    const step = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
    if (step === 0) return;
    const at = names.findIndex(([id]) => id === shown);
    const [next] = names[(at + step + names.length) % names.length] ?? [];
    if (next === undefined) return;
    choose(next);
    (event.currentTarget as HTMLElement).querySelector<HTMLElement>(`[data-tab="${next}"]`)?.focus();
  };
  return (
    <div ref={bar} class="tabs" role="tablist" aria-label={`Parts of ${place.value.section}`} onKeyDown={onKey}>
      {names.map(([id, title]) => (
        <button
          key={id}
          type="button"
          role="tab"
          data-tab={id}
          aria-selected={id === shown}
          tabIndex={id === shown ? 0 : -1}
          onClick={() => choose(id)}
        >
          {title}
        </button>
      ))}
    </div>
  );
}

/** The tab that the place names; the first where it names none. */
export const shownTab = <T extends string>(names: readonly (readonly [T, string])[]): T =>
  (names.find(([id]) => id === place.value.query.tab) ?? (names[0] as readonly [T, string]))[0];
