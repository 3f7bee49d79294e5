import type { Answer } from "../../client/client.ts";
import { shortId } from "../format.ts";
import { Page } from "../page.tsx";
import { Action } from "../parts/action.tsx";
import { JsonView } from "../parts/json-view.tsx";
import { IdLink } from "../parts/links.tsx";
import { Empty, Loading, Panel, Problem } from "../parts/panel.tsx";
import { Status } from "../parts/status.tsx";
import { Table } from "../parts/table.tsx";
import { When } from "../parts/when.tsx";
import { api, usePolled } from "../polling.ts";
import { mayUse } from "../session.ts";

type WorkflowRun = Answer<"GET /v1/workflow-runs/{id}">;

const RUN_MS = 1500;

export function WorkflowRunPage({ id }: { id: string }) {
  const load = () => api().call("GET /v1/workflow-runs/{id}", { params: { id } });
  const { data, problem, isGone, refresh } = usePolled<WorkflowRun>(`workflow-run ${id}`, load, RUN_MS);
  if (data === null) {
    return (
      <Page title={isGone ? "No such workflow run" : "Workflow run"} crumb={["workflows", "Workflows"]}>
        {isGone ? <Empty title="It is another project's, or no longer kept" /> : <Problem text={problem} />}
        {problem === null && <Loading lines={6} />}
      </Page>
    );
  }
  return (
    <Page
      title={`Workflow run ${shortId(id)}`}
      crumb={["workflows", "Workflows"]}
      sub={
        <>
          <Status of={data.status} />
          <span>
            made <When at={data.created_at} /> by {data.created_by}
          </span>
        </>
      }
      actions={
        data.finished_at === null && (
          <Action
            label="Cancel"
            question="Cancel this run?"
            isDisabled={!mayUse("runs:write")}
            act={() => api().call("POST /v1/workflow-runs/{id}/cancel", { params: { id } })}
            onDone={refresh}
          />
        )
      }
    >
      <Problem text={data.error?.message ?? problem} />
      <Panel title="Steps">
        <Table
          label="Steps"
          rows={data.steps}
          keyOf={(step) => step.step_ref}
          columns={[
            { title: "Step", isMain: true, cell: (step) => <span class="main-name">{step.step_ref}</span> },
            { title: "State", width: "medium", cell: (step) => <Status of={step.status} /> },
            {
              title: "What happened",
              isLong: true,
              cell: (step) => step.error?.message ?? step.skip_reason?.replaceAll("_", " ") ?? "",
            },
            { title: "Run", width: "medium", cell: (step) => <IdLink section="runs" id={step.run_id} /> },
          ]}
        />
      </Panel>
      <Panel title="Payload">
        <div class="panel-body">
          <JsonView value={data.payload} label="Payload" />
        </div>
      </Panel>
    </Page>
  );
}
