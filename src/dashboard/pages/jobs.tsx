import type { Job } from "../../client/client.ts";
import { count, NONE, percent } from "../format.ts";
import { learnJobs } from "../job-names.ts";
import { type JobHealth, useHealths } from "../job-watch.ts";
import { Page } from "../page.tsx";
import { Listing } from "../parts/listing.tsx";
import { Empty, Panel } from "../parts/panel.tsx";
import { Status } from "../parts/status.tsx";
import type { Column } from "../parts/table.tsx";
import { place, setQuery } from "../place.ts";
import { api, usePages } from "../polling.ts";
import { hrefOf } from "../routing.ts";
import { holdingBack } from "../wording.ts";

const LIST_MS = 10_000;

/** All jobs, with what each does now and what holds it back. */
export function JobsPage() {
  const q = place.value.query.q ?? "";
  const load = async (cursor: string | undefined) => {
    const page = await api().call("GET /v1/jobs", { query: { cursor, limit: 50, q: q || undefined } });
    learnJobs(page.data);
    return page;
  };
  const pages = usePages(`jobs ${q}`, load, LIST_MS);
  const healths = useHealths(pages.rows);
  return (
    <Page title="Jobs">
      <Panel
        title="All jobs"
        aside={
          <input
            class="search"
            type="search"
            aria-label="Search jobs"
            placeholder="Search by name or slug"
            value={q}
            onInput={(event) => setQuery({ q: event.currentTarget.value || null })}
          />
        }
      >
        <Listing
          label="Jobs"
          pages={pages}
          columns={columnsWith(healths)}
          keyOf={(job) => job.id}
          empty={q === "" ? <NoJobs /> : <Empty title="No job is called like that" />}
        />
      </Panel>
    </Page>
  );
}

const columnsWith = (healths: Readonly<Record<string, JobHealth>>): Column<Job>[] => [
  {
    title: "Job",
    isMain: true,
    cell: (job) => (
      <>
        <a href={hrefOf("jobs", job.id)} title={job.name}>
          {job.name}
        </a>
        <span class="cell-sub mono one-line">{job.slug}</span>
      </>
    ),
  },
  { title: "State", width: "medium", cell: (job) => <Status of={stateOf(job, healths[job.id])} /> },
  { title: "Waiting", width: "narrow", isNumber: true, cell: ({ id }) => numberOf(healths[id]?.waiting) },
  { title: "In flight", width: "narrow", isNumber: true, cell: ({ id }) => numberOf(healths[id]?.concurrency_now) },
  { title: "Success, 24 h", width: "medium", isNumber: true, cell: ({ id }) => <Success of={healths[id]} /> },
  {
    title: "Held back",
    width: "wide",
    cell: (job) => {
      const health = healths[job.id];
      const words = health ? holdingBack(health.waiting_for, job) : null;
      return (
        <span class={words ? "clamp" : "quiet"} title={words ?? undefined}>
          {words ?? (health ? "nothing" : NONE)}
        </span>
      );
    },
  },
];

export const stateOf = (job: Job, health: JobHealth | undefined): string => {
  if (!job.enabled) return "disabled";
  if (job.paused) return "paused";
  if (health === undefined) return "ready";
  if (health.executing > 0) return "running";
  if (STANDSTILLS.some((reason) => health.waiting_for[reason])) return "held_back";
  return health.waiting > 0 ? "queued" : "ready";
};

/** What holds back every run of a job, and for longer than a look. */
const STANDSTILLS = ["breaker", "hold", "window"];

const numberOf = (n: number | undefined): string => (n === undefined ? NONE : count(n));

/** Below this something is wrong. */
const WELL = 0.9;

function Success({ of }: { of: JobHealth | undefined }) {
  const share = of?.last_24h.success_rate ?? null;
  if (share === null || share >= WELL) return <>{share === null ? NONE : percent(share)}</>;
  return <Status of="failing" label={percent(share)} />;
}

function NoJobs() {
  return (
    <Empty title="No jobs yet">
      <p>A job says which endpoint is called, and how fast. Make the first one with the command line or the API:</p>
      <pre>{"sluice jobs create name=Orders endpoint_url=https://example.com/orders"}</pre>
      <p>
        The API is described at <a href="/docs">/docs</a>.
      </p>
    </Empty>
  );
}
