import type { Answer } from "../../client/client.ts";
import { RUN_STATUSES } from "../../domain/run.ts";
import { between, count, duration } from "../format.ts";
import { Page } from "../page.tsx";
import { IdLink, JobLink } from "../parts/links.tsx";
import { Listing } from "../parts/listing.tsx";
import { Empty, Panel } from "../parts/panel.tsx";
import { Status } from "../parts/status.tsx";
import type { Column } from "../parts/table.tsx";
import { When } from "../parts/when.tsx";
import { place } from "../place.ts";
import { api, usePages } from "../polling.ts";
import { hrefOf } from "../routing.ts";
import { errorInWords, reasonInWords } from "../wording.ts";
import { StatusFilter } from "./batches.tsx";

type Run = Answer<"GET /v1/runs">["data"][number];

const LIST_MS = 3000;

export function RunsPage() {
  return (
    <Page title="Runs">
      <RunList />
    </Page>
  );
}

/** Runs, of one job or of all. */
export function RunList({ jobId }: { jobId?: string }) {
  const status = RUN_STATUSES.find((s) => s === place.value.query.status);
  const load = (cursor: string | undefined) => api().runs.listPage({ cursor, limit: 50, status }, jobId);
  const pages = usePages(`runs ${jobId} ${status}`, load, LIST_MS);
  return (
    <Panel title="Runs" aside={<StatusFilter of={RUN_STATUSES} chosen={status} />}>
      <Listing
        label="Runs"
        pages={pages}
        columns={runColumns({ isOfOneJob: jobId !== undefined, isOfOneBatch: false })}
        keyOf={(run) => run.id}
        empty={<Empty title={status === undefined ? "No runs yet" : `No run is ${status.replaceAll("_", " ")}`} />}
      />
    </Panel>
  );
}

export function runColumns({
  isOfOneJob,
  isOfOneBatch,
}: {
  isOfOneJob: boolean;
  isOfOneBatch: boolean;
}): Column<Run>[] {
  const columns: (Column<Run> | false)[] = [
    {
      title: isOfOneBatch ? "Item" : "Run",
      isMain: true,
      width: "medium",
      cell: (run) =>
        isOfOneBatch ? (
          <a href={hrefOf("runs", run.id)} title={run.id}>
            {count(run.batch_index ?? 0)}
          </a>
        ) : (
          <IdLink section="runs" id={run.id} />
        ),
    },
    !isOfOneJob && { title: "Job", cell: (run) => <JobLink id={run.job_id} /> },
    { title: "State", width: "medium", cell: (run) => <Status of={run.status} /> },
    { title: "What happened", isLong: true, cell: (run) => <Happened run={run} /> },
    { title: "Attempt", width: "narrow", isNumber: true, cell: (run) => `${run.attempt} / ${run.max_attempts}` },
    {
      title: "Took",
      width: "narrow",
      isNumber: true,
      cell: (run) => duration(between(run.started_at, run.finished_at)),
    },
    !isOfOneBatch && { title: "Made", width: "medium", cell: (run) => <When at={run.created_at} /> },
  ];
  return columns.filter((column) => column !== false);
}

function Happened({ run }: { run: Run }) {
  if (run.error !== null) {
    return (
      <span title={run.error.message}>
        {errorInWords(run.error)}
        <span class="cell-sub one-line">{run.error.message}</span>
      </span>
    );
  }
  if (run.waiting_for !== null) return <span class="clamp quiet">waits {reasonInWords(run.waiting_for, null)}</span>;
  return <span class="quiet clamp">by {run.triggered_by}</span>;
}
