import type { Run } from "../../client/client.ts";
import { between, duration, moment, NONE, shortId } from "../format.ts";
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
import { errorInWords, reasonInWords } from "../wording.ts";

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
          {run.waiting_for !== null && <span>waits {reasonInWords(run.waiting_for, null)}</span>}
        </>
      }
      actions={<Steering run={run} onDone={polled.refresh} />}
    >
      <Problem text={polled.problem} />
      <div class="columns">
        <Panel title="Attempts">
          <div class="panel-body">
            <Attempts run={run} />
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
            <JsonView value={run.result} label="Result" />
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

/** Attempts beneath each other, each with its part of the whole time. */
function Attempts({ run }: { run: Run }) {
  const starts = run.attempts.flatMap(({ started_at }) => (started_at === null ? [] : [Date.parse(started_at)]));
  if (run.attempts.length === 0) return <p class="quiet">No call has been made yet.</p>;
  const from = Math.min(...starts);
  const ends = run.attempts.map(({ finished_at, started_at }) =>
    Date.parse(finished_at ?? started_at ?? run.created_at),
  );
  const span = Math.max(1, Math.max(...ends) - from);
  return (
    <ol class="timeline">
      {run.attempts.map((attempt) => {
        const left = attempt.started_at === null ? 0 : (100 * (Date.parse(attempt.started_at) - from)) / span;
        const width = Math.max(1, (100 * (attempt.duration_ms ?? 0)) / span);
        const state = attempt.error ? "failed" : attempt.finished_at === null ? "executing" : "completed";
        const kind = attempt.error ? "bad" : attempt.finished_at === null ? "busy" : "good";
        const cut = `inset(0 ${Math.max(0, 100 - left - width)}% 0 ${Math.min(99, left)}%)`;
        return (
          <li key={attempt.number} class="attempt">
            <span class="attempt-dot">
              <Status of={state} isMarkOnly />
            </span>
            <div class="attempt-body">
              <p class="attempt-line">
                <strong>Attempt {attempt.number}</strong>
                <span>{attempt.http_status === null ? state : `HTTP ${attempt.http_status}`}</span>
                <span class="number">{duration(attempt.duration_ms)}</span>
                <time class="quiet" dateTime={attempt.started_at ?? undefined}>
                  {moment(attempt.started_at)}
                </time>
                {attempt.used_fallback && <span class="quiet">by the fallback</span>}
              </p>
              <div class="attempt-bar" aria-hidden="true">
                <i class={`flow-${kind}`} style={{ clipPath: cut }} />
              </div>
              {attempt.error && (
                <p class="attempt-error">
                  {errorInWords(attempt.error)}
                  <span class="cell-sub wrap">{attempt.error.message}</span>
                </p>
              )}
            </div>
          </li>
        );
      })}
    </ol>
  );
}

const factsOf = (run: Run): [string, preact.ComponentChildren][] => [
  ["Id", <span class="mono">{run.id}</span>],
  ["Batch", <IdLink section="batches" id={run.batch_id} />],
  ["Made", <When at={run.created_at} />],
  ["By", `${run.triggered_by}, ${run.created_by}`],
  ["Took", duration(between(run.started_at, run.finished_at))],
  ["Next attempt", <When at={run.next_attempt_at} />],
  ["Job version", String(run.job_version)],
  ["Priority", String(run.priority)],
  ["Concurrency key", run.concurrency_key ?? NONE],
  ["Idempotency key", run.idempotency_key ?? NONE],
  ["Again of", <IdLink section="runs" id={run.replayed_run_id} />],
  [
    "Tags",
    Object.entries(run.tags)
      .map(([k, v]) => `${k}: ${v}`)
      .join(", ") || "none",
  ],
];
