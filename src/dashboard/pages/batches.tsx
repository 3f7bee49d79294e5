import type { BatchOperation } from "../../client/client.ts";
import { count, percent } from "../format.ts";
import { Page } from "../page.tsx";
import { Flow } from "../parts/flow.tsx";
import { IdLink, JobLink } from "../parts/links.tsx";
import { Listing } from "../parts/listing.tsx";
import { Empty, Panel } from "../parts/panel.tsx";
import { Status } from "../parts/status.tsx";
import type { Column } from "../parts/table.tsx";
import { When } from "../parts/when.tsx";
import { place, setQuery } from "../place.ts";
import { api, usePages } from "../polling.ts";
import { partsOf } from "./batch-parts.ts";

const LIST_MS = 2000;
const STATUSES = [
  ...["accepting", "interrupted", "queued", "running", "paused", "canceling"],
  ...["succeeded", "partially_failed", "failed", "canceled"],
] as BatchOperation["status"][];

export function BatchesPage() {
  return (
    <Page title="Batches">
      <BatchList />
    </Page>
  );
}

/** Batch operations, of one job or of all. */
export function BatchList({ jobId }: { jobId?: string }) {
  const status = STATUSES.find((s) => s === place.value.query.status);
  const load = (cursor: string | undefined) =>
    api().call("GET /v1/batch-operations", { query: { cursor, limit: 50, job_id: jobId, status } });
  const pages = usePages(`batches ${jobId} ${status}`, load, LIST_MS);
  return (
    <Panel title="Batch operations" aside={<StatusFilter of={STATUSES} chosen={status} />}>
      <Listing
        label="Batch operations"
        pages={pages}
        columns={jobId === undefined ? COLUMNS : COLUMNS.filter(({ title }) => title !== "Job")}
        keyOf={(batch) => batch.id}
        empty={
          <Empty title="No batches">
            <p>A bulk trigger makes one: from a job's page, with the command line or over the API.</p>
          </Empty>
        }
      />
    </Panel>
  );
}

/** Shows one status only. */
export function StatusFilter({ of, chosen }: { of: readonly string[]; chosen: string | undefined }) {
  return (
    <select
      class="short"
      aria-label="Status"
      value={chosen ?? ""}
      onChange={(event) => setQuery({ status: event.currentTarget.value || null })}
    >
      <option value="">every status</option>
      {of.map((status) => (
        <option key={status} value={status}>
          {status.replaceAll("_", " ")}
        </option>
      ))}
    </select>
  );
}

const COLUMNS: Column<BatchOperation>[] = [
  {
    title: "Batch",
    isMain: true,
    width: "medium",
    cell: (b) => (
      <>
        <IdLink section="batches" id={b.id} />
        <span class="cell-sub">
          <When at={b.created_at} />
        </span>
      </>
    ),
  },
  { title: "Job", cell: (b) => <JobLink id={b.job_id} /> },
  { title: "State", width: "medium", cell: (b) => <Status of={b.status} /> },
  { title: "Items", width: "narrow", isNumber: true, cell: (b) => count(b.item_count) },
  { title: "Failed", width: "narrow", isNumber: true, cell: (b) => count(b.failed_count) },
  {
    title: "Progress",
    width: "wide",
    cell: (b) => (
      <span class="progress">
        <Flow isSmall label="Runs" parts={partsOf(b.counts)} total={b.created_count} />
        <span class="number">{percent(b.percent_complete)}</span>
      </span>
    ),
  },
];
