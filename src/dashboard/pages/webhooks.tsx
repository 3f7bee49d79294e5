import type { Answer } from "../../client/client.ts";
import { DELIVERY_STATUSES } from "../../domain/webhook.ts";
import { moment, plural } from "../format.ts";
import { Page } from "../page.tsx";
import { Action } from "../parts/action.tsx";
import { IdLink } from "../parts/links.tsx";
import { Listing } from "../parts/listing.tsx";
import { Empty, Panel } from "../parts/panel.tsx";
import { Status } from "../parts/status.tsx";
import type { Column } from "../parts/table.tsx";
import { When } from "../parts/when.tsx";
import { place } from "../place.ts";
import { api, usePages } from "../polling.ts";
import { mayUse } from "../session.ts";
import { StatusFilter } from "./batches.tsx";

type Delivery = Answer<"GET /v1/webhook-deliveries">["data"][number];

const LIST_MS = 3000;

export function WebhooksPage() {
  const status = DELIVERY_STATUSES.find((s) => s === place.value.query.status);
  const load = (cursor: string | undefined) =>
    api().call("GET /v1/webhook-deliveries", { query: { cursor, limit: 50, status } });
  const pages = usePages(`deliveries ${status}`, load, LIST_MS);
  return (
    <Page title="Webhooks">
      <Panel title="Deliveries" aside={<StatusFilter of={DELIVERY_STATUSES} chosen={status} />}>
        <Listing
          label="Webhook deliveries"
          pages={pages}
          columns={columnsWith(pages.refresh)}
          keyOf={(d) => d.id}
          empty={
            status === undefined ? (
              <Empty title="No deliveries">
                <p>They are made when a run of a job with a webhook_url ends, or a batch with one.</p>
              </Empty>
            ) : (
              <Empty title={`No delivery is ${status}`} />
            )
          }
        />
      </Panel>
    </Page>
  );
}

const columnsWith = (refresh: () => void): Column<Delivery>[] => [
  {
    title: "Event",
    isMain: true,
    cell: (d) => (
      <>
        <span class="main-name">{d.type}</span>
        <span class="cell-sub mono one-line" title={d.url}>
          {d.url}
        </span>
      </>
    ),
  },
  {
    title: "Of",
    width: "medium",
    cell: (d) => (
      <>
        {d.run_id === null ? <IdLink section="batches" id={d.batch_id} /> : <IdLink section="runs" id={d.run_id} />}
        <span class="cell-sub">
          <When at={d.created_at} />
        </span>
      </>
    ),
  },
  { title: "State", width: "medium", cell: (d) => <Status of={d.status} /> },
  { title: "Tries", width: "wide", cell: (d) => <Tries of={d} /> },
  {
    title: "Again",
    width: "narrow",
    cell: (d) => (
      <Action
        label="Retry"
        isDisabled={!mayUse("webhooks:write")}
        act={() => api().call("POST /v1/webhook-deliveries/{id}/retry", { params: { id: d.id } })}
        onDone={refresh}
      />
    ),
  },
];

/** How often it was tried, with what came of it; every single one where it is asked for. */
function Tries({ of: { attempts, next_attempt_at } }: { of: Delivery }) {
  const last = attempts.at(-1);
  const words =
    last === undefined ? "none yet" : `${plural(attempts.length, "try", "tries")}, the last: ${outcomeOf(last)}`;
  return (
    <>
      {attempts.length < 2 ? (
        words
      ) : (
        <details>
          <summary>{words}</summary>
          <ol>
            {attempts.map((attempt) => (
              <li key={attempt.at}>
                <time class="quiet">{moment(attempt.at)}</time> {outcomeOf(attempt)}
              </li>
            ))}
          </ol>
        </details>
      )}
      {next_attempt_at !== null && (
        <span class="cell-sub">
          next <When at={next_attempt_at} />
        </span>
      )}
    </>
  );
}

const outcomeOf = ({ http_status, error }: Delivery["attempts"][number]): string =>
  http_status === null ? (error ?? "no answer") : `HTTP ${http_status}`;
