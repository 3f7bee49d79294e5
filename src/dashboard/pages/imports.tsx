import type { Answer } from "../../client/client.ts";
import { IMPORT_STATUSES } from "../../domain/import.ts";
import { bytes, count, percent } from "../format.ts";
import { Page } from "../page.tsx";
import { Flow } from "../parts/flow.tsx";
import { JobLink } from "../parts/links.tsx";
import { Listing } from "../parts/listing.tsx";
import { Empty, Panel } from "../parts/panel.tsx";
import { Status } from "../parts/status.tsx";
import type { Column } from "../parts/table.tsx";
import { When } from "../parts/when.tsx";
import { place } from "../place.ts";
import { api, usePages } from "../polling.ts";
import { hrefOf } from "../routing.ts";
import { StatusFilter } from "./batches.tsx";

export type Import = Answer<"GET /v1/imports/{id}">;

const LIST_MS = 3000;

export function ImportsPage() {
  const status = IMPORT_STATUSES.find((s) => s === place.value.query.status);
  const load = (cursor: string | undefined) => api().call("GET /v1/imports", { query: { cursor, limit: 50, status } });
  const pages = usePages(`imports ${status}`, load, LIST_MS);
  return (
    <Page title="Imports">
      <Panel title="Imports" aside={<StatusFilter of={IMPORT_STATUSES} chosen={status} />}>
        <Listing
          label="Imports"
          pages={pages}
          columns={COLUMNS}
          keyOf={(i) => i.id}
          empty={
            <Empty title="No imports">
              <p>An import turns the objects of a bucket into runs of a job. The command line starts one:</p>
              <pre>sluice import create orders s3://bucket/folder/</pre>
            </Empty>
          }
        />
      </Panel>
    </Page>
  );
}

const COLUMNS: Column<Import>[] = [
  {
    title: "Import",
    isMain: true,
    cell: (i) => (
      <>
        <a href={hrefOf("imports", i.id)}>{i.name ?? i.source.url}</a>
        <span class="cell-sub one-line">
          {i.name === null ? <When at={i.created_at} /> : <span class="mono">{i.source.url}</span>}
        </span>
      </>
    ),
  },
  { title: "Job", width: "medium", cell: (i) => <JobLink id={i.job_id} /> },
  { title: "State", width: "medium", cell: (i) => <Status of={i.status} /> },
  { title: "Files", width: "narrow", isNumber: true, cell: (i) => `${count(i.files.done)} / ${count(i.files.total)}` },
  { title: "Rows", width: "narrow", isNumber: true, cell: (i) => count(i.rows.delivered) },
  { title: "Rejects", width: "narrow", isNumber: true, cell: (i) => count(i.rows.rejected) },
  {
    title: "Read",
    width: "medium",
    cell: (i) => (
      <span class="progress" title={`${bytes(i.bytes.done)} of ${bytes(i.bytes.total)}`}>
        <Flow isSmall label="Read" total={1} parts={[{ label: "share", value: i.percent_complete, kind: "good" }]} />
        <span class="number">{percent(i.percent_complete)}</span>
      </span>
    ),
  },
];
