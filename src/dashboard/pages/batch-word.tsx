import type { BatchOperation } from "../../client/client.ts";
import { plural } from "../format.ts";
import { useHealths } from "../job-watch.ts";
import { When } from "../parts/when.tsx";
import { api, usePolled } from "../polling.ts";
import { reasonInWords, reasonsByWeight } from "../wording.ts";

/** What goes on with a batch operation, and what holds it back, in one line that is always there. */
export function BatchWord({ batch }: { batch: BatchOperation }) {
  return (
    <p class="batch-word">
      <Word batch={batch} />
    </p>
  );
}

function Word({ batch }: { batch: BatchOperation }) {
  const { dequeued, executing, delayed, queued } = batch.counts;
  switch (batch.status) {
    case "accepting":
      return <>Its items are still coming in; what has come runs already.</>;
    case "interrupted":
      return (
        <>
          Its upload broke off. Sent again with the same Idempotency-Key it goes on; after a day it is closed as it is.
        </>
      );
    case "paused":
      return <>Paused: nothing of it starts until it is resumed.</>;
    case "canceling":
      return <>What waited is canceled; {plural(dequeued + executing, "call")} in flight may end.</>;
    case "queued":
    case "running":
      return delayed + queued > 0 ? <HeldBack jobId={batch.job_id} /> : <>Nothing of it waits.</>;
    default:
      return (
        <>
          Finished <When at={batch.finished_at} />.
        </>
      );
  }
}

const JOB_MS = 10_000;
const either = new Intl.ListFormat("en", { type: "disjunction" });

/** Its job's reasons: they are those of all that wait there, of whichever batch. */
function HeldBack({ jobId }: { jobId: string }) {
  const job = usePolled(`job ${jobId}`, () => api().jobs.get(jobId), JOB_MS).data;
  const health = useHealths(job === null ? null : [job])[jobId];
  if (job === null || health === undefined) return <>{"\u00a0"}</>;
  const reasons = reasonsByWeight(health.waiting_for).map(([reason]) => reasonInWords(reason, job));
  if (reasons.length === 0) return <>What waits is about to start.</>;
  return (
    <>
      Its job's runs wait {either.format(reasons)}
      {health.executing === 0 && health.earliest_start_at !== null && (
        <>
          ; the next starts <When at={health.earliest_start_at} />
        </>
      )}
      .
    </>
  );
}
