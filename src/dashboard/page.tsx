import type { ComponentChildren } from "preact";
import { useEffect } from "preact/hooks";
import { hrefOf, type Section } from "./routing.ts";

interface PageProps {
  title: string;
  /** In the tab's title, where it is shorter. */
  tabTitle?: string;
  /** The list that this is a part of. */
  crumb?: readonly [Section, string];
  sub?: ComponentChildren;
  actions?: ComponentChildren;
  children: ComponentChildren;
}

/** A page: what it shows, what one can do with it, and the rest. */
export function Page({ title, tabTitle = title, crumb, sub, actions, children }: PageProps) {
  useEffect(() => {
    document.title = `${tabTitle} · Sluice`;
  }, [tabTitle]);
  return (
    <>
      <header class="page-head">
        <div class="page-title">
          {crumb && (
            <a class="crumb" href={hrefOf(crumb[0])}>
              ← {crumb[1]}
            </a>
          )}
          <h1>{title}</h1>
          {/* Its line is there before it is known. */}
          {crumb && <div class="page-sub">{sub}</div>}
        </div>
        {/* So is that of its buttons. */}
        {(actions || crumb) && <div class="row actions">{actions}</div>}
      </header>
      <div class="stack">{children}</div>
    </>
  );
}
