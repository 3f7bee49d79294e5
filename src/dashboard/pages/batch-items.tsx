import type { ComponentChildren } from "preact";
import { useRef } from "preact/hooks";
import type { BatchItem, BatchOperation } from "../../client/client.ts";
import { count } from "../format.ts";
import { Listing } from "../parts/listing.tsx";
import { Empty, Loading, Panel } from "../parts/panel.tsx";
import { Tabs } from "../parts/tabs.tsx";
import { place } from "../place.ts";
import { api, usePages } from "../polling.ts";
import { runColumns } from "./runs.tsx";

const FAILED = ["failed", "timed_out", "crashed", "expired"] as const;
const LIST_MS = 2000;
const CATCH_UP_MS = 300;
const CATCH_UP_TRIES = 20;

/** Its items: what failed stands first, once something has. */
export function BatchItems({ batch, about }: { batch: BatchOperation; about: ComponentChildren }) {
  const hasFailed = useRef(false);
  hasFailed.current ||= batch.failed_count > 0;
  const tabs = [
    ["failed", `Failed ${count(batch.failed_count)}`],
    ["all", `All runs ${count(batch.created_count)}`],
    ["rejected", `Rejected ${count(batch.rejected_count)}`],
    ["duplicate", `Duplicates ${count(batch.duplicate_count)}`],
    ["about", "About it"],
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
      {(shown === "failed" || shown === "all") && <Runs key={shown} batch={batch} isFailedOnly={shown === "failed"} />}
      {(shown === "rejected" || shown === "duplicate") && <Items key={shown} batch={batch} outcome={shown} />}
      {shown === "about" && <div class="panel-body">{about}</div>}
    </Panel>
  );
}

/** The list follows a second later than the stream; at the end it is asked for until it has caught up. */
async function settled<T extends { as_of: string }>(ask: () => Promise<T>, finishedAt: string | null): Promise<T> {
  for (let n = 1; ; n++) {
    const answer = await ask();
    if (finishedAt === null || answer.as_of >= finishedAt || n === CATCH_UP_TRIES) return answer;
    await new Promise((resolve) => setTimeout(resolve, CATCH_UP_MS));
  }
}

function Runs({ batch, isFailedOnly }: { batch: BatchOperation; isFailedOnly: boolean }) {
  const { id, finished_at } = batch;
  const status = isFailedOnly ? FAILED : undefined;
  const load = (cursor: string | undefined) =>
    settled(() => api().call("GET /v1/runs", { query: { batch_id: id, cursor, limit: 50, status } }), finished_at);
  const expected = isFailedOnly ? batch.failed_count : batch.created_count;
  const key = `items ${id} ${isFailedOnly} ${finished_at}`;
  const pages = usePages(key, load, finished_at === null ? LIST_MS : null);
  return (
    <Listing
      label={isFailedOnly ? "Failed runs" : "Runs"}
      pages={pages}
      columns={runColumns({ isOfOneJob: true, isOfOneBatch: true })}
      keyOf={(run) => run.id}
      empty={expected > 0 ? <Loading /> : <Empty title={isFailedOnly ? "Nothing has failed" : "No runs yet"} />}
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
        { title: outcome === "rejected" ? "Why" : "Equals", isLong: true, cell: (item) => <Reason item={item} /> },
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
