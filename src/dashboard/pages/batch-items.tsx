import { useRef } from "preact/hooks";
import type { BatchItem, BatchOperation } from "../../client/client.ts";
import { count } from "../format.ts";
import { Listing } from "../parts/listing.tsx";
import { Empty, Panel } from "../parts/panel.tsx";
import { Tabs } from "../parts/tabs.tsx";
import { place } from "../place.ts";
import { api, usePages } from "../polling.ts";
import { runColumns } from "./runs.tsx";

const FAILED = ["failed", "timed_out", "crashed", "expired"] as const;
const LIST_MS = 2000;

/** Its items: what failed stands first, once something has. */
export function BatchItems({ batch }: { batch: BatchOperation }) {
  const hasFailed = useRef(false);
  hasFailed.current ||= batch.failed_count > 0;
  const tabs = [
    ["failed", `Failed ${count(batch.failed_count)}`],
    ["all", `All runs ${count(batch.created_count)}`],
    ["rejected", `Rejected ${count(batch.rejected_count)}`],
    ["duplicate", `Duplicates ${count(batch.duplicate_count)}`],
  ] as const;
  const first = hasFailed.current
    ? "failed"
    : batch.created_count === 0 && batch.rejected_count > 0
      ? "rejected"
      : "all";
  const shown = tabs.find(([id]) => id === place.value.query.tab)?.[0] ?? first;
  return (
    <Panel title="Items">
      <Tabs names={tabs} shown={shown} />
      {shown === "failed" || shown === "all" ? (
        <Runs key={shown} batch={batch} isFailedOnly={shown === "failed"} />
      ) : (
        <Items key={shown} batch={batch} outcome={shown} />
      )}
    </Panel>
  );
}

function Runs({ batch, isFailedOnly }: { batch: BatchOperation; isFailedOnly: boolean }) {
  const load = (cursor: string | undefined) =>
    api().call("GET /v1/runs", {
      query: { batch_id: batch.id, cursor, limit: 50, status: isFailedOnly ? FAILED : undefined },
    });
  // Finished, it is asked for once more, and then stands still.
  const isOver = batch.finished_at !== null;
  const pages = usePages(`items ${batch.id} ${isFailedOnly} ${isOver}`, load, isOver ? null : LIST_MS);
  return (
    <Listing
      label={isFailedOnly ? "Failed runs" : "Runs"}
      pages={pages}
      columns={runColumns({ isOfOneJob: true, isOfOneBatch: true })}
      keyOf={(run) => run.id}
      empty={<Empty title={isFailedOnly ? "Nothing has failed" : "No runs yet"} />}
    />
  );
}

function Items({ batch, outcome }: { batch: BatchOperation; outcome: "rejected" | "duplicate" }) {
  const load = (cursor: string | undefined) =>
    api().call("GET /v1/batch-operations/{id}/items", {
      params: { id: batch.id },
      query: { outcome, cursor, limit: 50 },
    });
  const pages = usePages(`items ${batch.id} ${outcome}`, load, batch.accepted_at === null ? LIST_MS : null);
  return (
    <Listing
      label={outcome === "rejected" ? "Rejected items" : "Duplicates"}
      pages={pages}
      keyOf={(item) => String(item.index)}
      columns={[
        {
          title: "Item",
          width: "narrow",
          isMain: true,
          cell: (item) => <span class="main-name">{count(item.index)}</span>,
        },
        { title: outcome === "rejected" ? "Why" : "Equals", cell: (item) => <Reason item={item} /> },
      ]}
      empty={<Empty title={outcome === "rejected" ? "Nothing was rejected" : "No duplicates"} />}
    />
  );
}

function Reason({ item }: { item: BatchItem }) {
  if (item.error === null) {
    return item.duplicate_of === null ? null : <a href={`#/runs/${item.duplicate_of}`}>the run {item.duplicate_of}</a>;
  }
  const details = item.error.details.map(({ path, message }) => `${path} ${message}`).join("; ");
  return <span>{details || item.error.message}</span>;
}
