import type { Answer } from "../../client/client.ts";
import { between, duration, plural } from "../format.ts";
import { Page } from "../page.tsx";
import { IdLink } from "../parts/links.tsx";
import { Listing } from "../parts/listing.tsx";
import { Empty, Panel } from "../parts/panel.tsx";
import { Status } from "../parts/status.tsx";
import { When } from "../parts/when.tsx";
import { api, usePages } from "../polling.ts";

type Workflow = Answer<"GET /v1/workflows">["data"][number];
type WorkflowRun = Answer<"GET /v1/workflow-runs">["data"][number];

const LIST_MS = 3000;
const WORKFLOWS_MS = 15_000;

export function WorkflowsPage() {
  const workflows = usePages<Workflow>(
    "workflows",
    (cursor) => api().call("GET /v1/workflows", { query: { cursor, limit: 50 } }),
    WORKFLOWS_MS,
  );
  const runs = usePages<WorkflowRun>(
    "workflow-runs",
    (cursor) => api().call("GET /v1/workflow-runs", { query: { cursor, limit: 50 } }),
    LIST_MS,
  );
  return (
    <Page title="Workflows">
      <Panel title="Workflows">
        <Listing
          label="Workflows"
          pages={workflows}
          keyOf={(w) => w.id}
          columns={[
            {
              title: "Workflow",
              isMain: true,
              cell: (w) => (
                <>
                  <span class="main-name">{w.name}</span>
                  <span class="cell-sub mono one-line">{w.slug}</span>
                </>
              ),
            },
            { title: "Steps", cell: (w) => w.steps.map(({ step_ref }) => step_ref).join(", ") },
            { title: "Changed", width: "medium", cell: (w) => <When at={w.updated_at} /> },
          ]}
          empty={<Empty title="No workflows" />}
        />
      </Panel>
      {/* Not before it is known how long the list above is. */}
      {(workflows.rows !== null || workflows.problem !== null) && (
        <Panel title="Runs of workflows">
          <Listing
            label="Workflow runs"
            pages={runs}
            keyOf={(r) => r.id}
            columns={[
              { title: "Run", isMain: true, width: "medium", cell: (r) => <IdLink section="workflows" id={r.id} /> },
              { title: "State", width: "medium", cell: (r) => <Status of={r.status} /> },
              {
                title: "Steps",
                cell: (r) =>
                  `${r.steps.filter((s) => s.status === "completed").length} of ${plural(r.steps.length, "step")} completed`,
              },
              {
                title: "Took",
                width: "narrow",
                isNumber: true,
                cell: (r) => duration(between(r.started_at, r.finished_at)),
              },
              { title: "Made", width: "medium", cell: (r) => <When at={r.created_at} /> },
            ]}
            empty={<Empty title="No workflow has run" />}
          />
        </Panel>
      )}
    </Page>
  );
}
