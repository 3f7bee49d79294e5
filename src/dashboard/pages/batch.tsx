import { useState } from "preact/hooks";
import type { BatchOperation } from "../../client/client.ts";
import { useBatch } from "../batch-feed.ts";
import { now } from "../clock.ts";
import { download } from "../download.ts";
import { between, coarse, count, duration, NONE, percent, rate, relative, shortId } from "../format.ts";
import { Page } from "../page.tsx";
import { Action } from "../parts/action.tsx";
import { Flow, Legend } from "../parts/flow.tsx";
import { IdLink, JobLink } from "../parts/links.tsx";
import { Empty, Facts, Figure, Loading, Panel, Problem } from "../parts/panel.tsx";
import { Status } from "../parts/status.tsx";
import { When } from "../parts/when.tsx";
import { goTo } from "../place.ts";
import { api } from "../polling.ts";
import { hrefOf } from "../routing.ts";
import { isReachable, mayUse } from "../session.ts";
import { itemsInWords, pairsInWords } from "../wording.ts";
import { BatchItems } from "./batch-items.tsx";
import { partsOf } from "./batch-parts.ts";
import { BatchWord } from "./batch-word.tsx";

/** A batch operation at work, as its stream tells it. */
export function BatchPage({ id }: { id: string }) {
  const [epoch, setEpoch] = useState(0);
  const { batch, problem, isGone, isLive } = useBatch(id, epoch);
  const title = `Batch ${shortId(id)}`;
  if (batch === null) {
    return (
      <Page title={isGone ? "No such batch" : title} crumb={["batches", "Batches"]}>
        {isGone ? <Empty title="It is another project's, or no longer kept" /> : <Problem text={problem} />}
        {!isGone && <Loading lines={10} />}
      </Page>
    );
  }
  const parts = partsOf(batch.counts);
  return (
    <Page
      title={title}
      tabTitle={`${percent(batch.percent_complete)} ${title}`}
      crumb={["batches", "Batches"]}
      sub={
        <>
          <JobLink id={batch.job_id} />
          <Status of={batch.status} />
          <span>{liveness(batch, isLive && isReachable.value)}</span>
        </>
      }
      actions={<Steering batch={batch} onChanged={() => setEpoch((n) => n + 1)} />}
    >
      <Figures batch={batch} />
      <Panel title="Runs" aside={<strong class="number share">{percent(batch.percent_complete)}</strong>}>
        <div class="panel-body">
          <Flow parts={parts} total={batch.created_count} label="Runs" />
          <Legend parts={parts} />
          <BatchWord batch={batch} />
        </div>
      </Panel>
      <div role="status" aria-live="polite" class="hidden">
        {batch.finished_at !== null && `The batch has finished: ${batch.status.replaceAll("_", " ")}`}
      </div>
      {/* The last of the page: what grows pushes nothing down. */}
      <BatchItems batch={batch} about={<Facts of={factsOf(batch)} />} />
    </Page>
  );
}

const liveness = (batch: BatchOperation, isLive: boolean): string =>
  batch.finished_at !== null ? "finished" : isLive ? "live" : "connecting again…";

function Figures({ batch }: { batch: BatchOperation }) {
  const isOver = batch.finished_at !== null;
  const took = between(batch.started_at, batch.finished_at ?? new Date(now.value).toISOString());
  const left = isOver ? "none" : batch.eta_at === null ? NONE : relative(batch.eta_at, now.value).replace(/^in /, "");
  return (
    <div class="figures">
      <Figure label="Items" value={count(batch.item_count)} hint={itemsInWords(batch)} />
      <Figure label="Completed" value={count(batch.succeeded_count)} hint={shareOf(batch.succeeded_count, batch)} />
      <Figure label="Failed" value={count(batch.failed_count)} hint={shareOf(batch.failed_count, batch)} />
      <Figure
        label="Speed"
        value={isOver ? averageOf(batch) : rate(batch.throughput_per_sec)}
        hint={isOver ? "on average" : "now"}
      />
      <Figure
        label={isOver ? "Took" : "Time left"}
        value={isOver ? duration(took) : left === "now" ? "0 s" : left}
        hint={isOver ? "from its first call" : took === null ? "not begun" : `begun ${coarse(took)} ago`}
      />
    </div>
  );
}

const shareOf = (n: number, batch: BatchOperation): string =>
  batch.created_count === 0 ? "of no runs" : `${percent(n / batch.created_count)} of the runs`;

function averageOf(batch: BatchOperation): string {
  const took = between(batch.started_at, batch.finished_at);
  const ended = batch.succeeded_count + batch.failed_count;
  return took === null || took === 0 ? NONE : rate((ended * 1000) / took);
}

function Steering({ batch, onChanged }: { batch: BatchOperation; onChanged: () => void }) {
  const { id } = batch;
  const mayWrite = mayUse("runs:write");
  const isOver = batch.finished_at !== null;
  const isPaused = batch.status === "paused";
  const retry = async (): Promise<void> => {
    const made = await api().call("POST /v1/batch-operations/{id}/retry-failed", { params: { id } });
    goTo(hrefOf("batches", (made as { batch_id: string }).batch_id));
  };
  const results = (): Promise<void> => download(`/v1/batch-operations/${id}/results`, `batch-${id}-results.ndjson`);
  return (
    <>
      {isOver ? (
        <Action
          key="retry"
          label="Retry failed"
          isPrimary={batch.failed_count > 0}
          isDisabled={!mayUse("jobs:trigger") || batch.failed_count === 0}
          act={retry}
        />
      ) : (
        <>
          {isPaused ? (
            <Action
              key="resume"
              label="Resume"
              isDisabled={!mayWrite}
              act={() => api().batches.resume(id)}
              onDone={onChanged}
            />
          ) : (
            <Action
              key="pause"
              label="Pause"
              isDisabled={!mayWrite}
              act={() => api().batches.pause(id)}
              onDone={onChanged}
            />
          )}
          <Action
            key="cancel"
            label="Cancel"
            question="Cancel what waits?"
            isDisabled={!mayWrite || batch.status === "canceling"}
            act={() => api().batches.cancel(id)}
            onDone={onChanged}
          />
        </>
      )}
      {/* Keys keep each button where it is, and its question with it. */}
      <Action key="download" label="Download results" act={results} />
    </>
  );
}

const factsOf = (b: BatchOperation): [string, preact.ComponentChildren][] => [
  ["Id", <span class="mono">{b.id}</span>],
  ["Made", <When at={b.created_at} />],
  ["By", b.created_by],
  ["All items in", <When at={b.accepted_at} />],
  ["First call", <When at={b.started_at} />],
  ["Finished", <When at={b.finished_at} />],
  ["At once", b.max_concurrency === null ? "as its job" : count(b.max_concurrency)],
  [
    "Stops itself",
    b.failure_threshold === null
      ? "never"
      : `above ${b.failure_threshold.percent} % failed of ${count(b.failure_threshold.min_items)} or more`,
  ],
  ["Retry of", <IdLink section="batches" id={b.retry_of} />],
  ["Metadata", pairsInWords(b.metadata)],
];
