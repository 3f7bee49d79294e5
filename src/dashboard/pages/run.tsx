import type { Run } from "../../client/client.ts";
import { between, duration, NONE, shortId } from "../format.ts";
import { Page } from "../page.tsx";
import { Action } from "../parts/action.tsx";
import { JsonView } from "../parts/json-view.tsx";
import { IdLink, JobLink } from "../parts/links.tsx";
import { Empty, Facts, Loading, Panel, Problem } from "../parts/panel.tsx";
import { Status } from "../parts/status.tsx";
import { When } from "../parts/when.tsx";
import { goTo } from "../place.ts";
import { api, usePolled } from "../polling.ts";
import { hrefOf } from "../routing.ts";
import { mayUse } from "../session.ts";
import { pairsInWords } from "../wording.ts";
import { RunAttempts } from "./run-attempts.tsx";

const RUN_MS = 1000;

/** One run: its attempts on a time line, what it was given and what came of it. */
export function RunPage({ id }: { id: string }) {
  const polled = usePolled(`run ${id}`, () => api().runs.get(id), RUN_MS);
  const run = polled.data;
  const title = `Run ${shortId(id)}`;
  if (run === null) {
    return (
      <Page title={polled.isGone ? "No such run" : title} crumb={["runs", "Runs"]}>
        {polled.isGone ? (
          <Empty title="It is another project's, or no longer kept" />
        ) : (
          <Problem text={polled.problem} />
        )}
        {polled.problem === null && <Loading lines={8} />}
      </Page>
    );
  }
  return (
    <Page
      title={title}
      crumb={["runs", "Runs"]}
      sub={
        <>
          <JobLink id={run.job_id} />
          <Status of={run.status} />
        </>
      }
      actions={<Steering run={run} onDone={polled.refresh} />}
    >
      <Problem text={polled.problem} />
      <div class="columns">
        <Panel title="Attempts">
          <div class="panel-body">
            <RunAttempts run={run} />
          </div>
        </Panel>
        <Panel title="About it">
          <div class="panel-body">
            <Facts of={factsOf(run)} />
          </div>
        </Panel>
      </div>
      <div class="columns">
        <Panel title="Payload">
          <div class="panel-body">
            <JsonView value={run.payload} label="Payload" />
          </div>
        </Panel>
        <Panel title="Result">
          <div class="panel-body">
            {run.status === "completed" ? (
              <JsonView value={run.result} label="Result" />
            ) : (
              <p class="quiet">
                {run.finished_at === null ? "There is none yet." : "There is none: it did not complete."}
              </p>
            )}
            {run.result_truncated && <p class="quiet">It was longer than is kept.</p>}
          </div>
        </Panel>
      </div>
    </Page>
  );
}

function Steering({ run, onDone }: { run: Run; onDone: () => void }) {
  const isAllowed = mayUse("runs:write");
  const replay = async (): Promise<void> => {
    const made = await api().runs.replay(run.id);
    goTo(hrefOf("runs", made.id));
  };
  if (run.finished_at !== null) return <Action key="again" label="Run it again" act={replay} isDisabled={!isAllowed} />;
  return (
    <Action
      key="cancel"
      label="Cancel"
      question="Cancel this run?"
      act={() => api().runs.cancel(run.id)}
      onDone={onDone}
      isDisabled={!isAllowed}
    />
  );
}

const factsOf = (run: Run): [string, preact.ComponentChildren][] => [
  ["Id", <span class="mono">{run.id}</span>],
  ["Batch", <IdLink section="batches" id={run.batch_id} />],
  ["Made", <When at={run.created_at} />],
  ["By", `${run.triggered_by}, ${run.created_by}`],
  ["Took", duration(between(run.started_at, run.finished_at))],
  ["Scheduled for", <When at={run.scheduled_at} />],
  ["Expires", <When at={run.finished_at === null && run.attempt === 0 ? run.expires_at : null} />],
  ["Job version", String(run.job_version)],
  ["Priority", String(run.priority)],
  ["Rate limits", run.rate_limit_keys?.join(", ") ?? "all of its job"],
  ["Concurrency key", run.concurrency_key ?? NONE],
  ["Idempotency key", run.idempotency_key ?? NONE],
  ["Again of", <IdLink section="runs" id={run.replayed_run_id} />],
  ["Tags", pairsInWords(run.tags)],
  ["Metadata", pairsInWords(run.metadata)],
];
