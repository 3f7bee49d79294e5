import { useEffect, useRef } from "preact/hooks";
import { BatchPage } from "./pages/batch.tsx";
import { BatchesPage } from "./pages/batches.tsx";
import { ImportPage } from "./pages/import.tsx";
import { ImportsPage } from "./pages/imports.tsx";
import { JobPage } from "./pages/job.tsx";
import { JobsPage } from "./pages/jobs.tsx";
import { RunPage } from "./pages/run.tsx";
import { RunsPage } from "./pages/runs.tsx";
import { WebhooksPage } from "./pages/webhooks.tsx";
import { WorkflowRunPage } from "./pages/workflow-run.tsx";
import { WorkflowsPage } from "./pages/workflows.tsx";
import { useScrolledTo } from "./parts/scrolled.ts";
import { place } from "./place.ts";
import { hrefOf, SECTIONS, type Section } from "./routing.ts";
import { askWho, isReachable, notice, session, signOut } from "./session.ts";
import { Logo, SignIn } from "./sign-in.tsx";
import { nextTheme, theme } from "./theme.ts";

/** A key that has run out leaves the page where it is: what was typed there is not lost. */
export function App() {
  const seen = useRef<{ wasIn: boolean; project: string | null; epoch: number }>({
    wasIn: false,
    project: null,
    epoch: 0,
  });
  useEffect(() => void askWho(), []);
  const isLapsed = session.value === null && notice.value !== null && seen.current.wasIn;
  seen.current.wasIn = session.value !== null || isLapsed;
  if (!seen.current.wasIn) return <SignIn />;
  const project = session.value?.identity?.project?.id ?? null;
  // Another project's key: nothing that is shown is its own.
  if (project !== null && seen.current.project !== null && project !== seen.current.project) seen.current.epoch += 1;
  seen.current.project = project ?? seen.current.project;
  return (
    <>
      {isLapsed && (
        <div class="veil">
          <SignIn />
        </div>
      )}
      <div inert={isLapsed}>
        <Frame key={seen.current.epoch} />
      </div>
    </>
  );
}

const TITLES: Record<Section, string> = {
  jobs: "Jobs",
  batches: "Batches",
  runs: "Runs",
  imports: "Imports",
  webhooks: "Webhooks",
  workflows: "Workflows",
};

function Frame() {
  const main = useRef<HTMLElement>(null);
  const { section, id } = place.value;
  const at = `${section}/${id}`;
  const nav = useRef<HTMLElement>(null);
  useScrolledTo(nav, '[aria-current="page"]', section);
  const before = useRef(at);
  useEffect(() => {
    if (before.current === at) return;
    before.current = at;
    // A new page is read from its beginning.
    main.current?.focus({ preventScroll: true });
    scrollTo(0, 0);
  }, [at]);
  return (
    <>
      {/* A link would change the place behind the `#`. */}
      <button type="button" class="skip" onClick={() => main.current?.focus()}>
        Skip to the content
      </button>
      <header class="top">
        <div class="top-inner">
          <a class="brand" href={hrefOf("jobs")}>
            <Logo /> Sluice
          </a>
          <nav ref={nav} class="nav" aria-label="Main">
            {SECTIONS.map((name) => (
              <a key={name} href={hrefOf(name)} aria-current={name === section ? "page" : undefined}>
                {TITLES[name]}
              </a>
            ))}
          </nav>
          <div class="top-end">
            <span class="project" title="The key's project">
              {session.value?.identity?.project?.name ?? ""}
            </span>
            <button type="button" class="plain" onClick={nextTheme} aria-label={`Colours: ${theme.value}. Change`}>
              <ThemeMark /> <span class="theme-name">{theme.value}</span>
            </button>
            <button type="button" class="plain" onClick={() => signOut(null)}>
              Sign out
            </button>
          </div>
        </div>
      </header>
      <main id="main" class="page" ref={main} tabIndex={-1}>
        <Shown key={at} section={section} id={id} />
      </main>
      <div role="status" aria-live="polite">
        {!isReachable.value && <p class="toast">Sluice cannot be reached. The page goes on when it can.</p>}
      </div>
    </>
  );
}

function ThemeMark() {
  return (
    <svg viewBox="0 0 16 16" width="14" height="14" aria-hidden="true">
      <circle cx="8" cy="8" r="6" fill="none" stroke="currentColor" stroke-width="1.5" />
      <path d="M8 2a6 6 0 0 1 0 12z" fill="currentColor" />
    </svg>
  );
}

function Shown({ section, id }: { section: Section; id: string | null }) {
  switch (section) {
    case "jobs":
      return id === null ? <JobsPage /> : <JobPage id={id} />;
    case "batches":
      return id === null ? <BatchesPage /> : <BatchPage id={id} />;
    case "runs":
      return id === null ? <RunsPage /> : <RunPage id={id} />;
    case "imports":
      return id === null ? <ImportsPage /> : <ImportPage id={id} />;
    case "webhooks":
      return <WebhooksPage />;
    case "workflows":
      return id === null ? <WorkflowsPage /> : <WorkflowRunPage id={id} />;
  }
}
