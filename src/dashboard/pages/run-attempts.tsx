import type { Run } from "../../client/client.ts";
import { now } from "../clock.ts";
import { duration, moment } from "../format.ts";
import { Status } from "../parts/status.tsx";
import { When } from "../parts/when.tsx";
import { api, usePolled } from "../polling.ts";
import { errorInWords, reasonInWords } from "../wording.ts";

type Attempt = Run["attempts"][number];

/** Attempts beneath each other, each with its part of the whole time, and last what the next one waits for. */
export function RunAttempts({ run }: { run: Run }) {
  const waits = run.status === "queued" || run.status === "delayed";
  if (run.attempts.length === 0 && !waits) return <p class="quiet">No call was made.</p>;
  const starts = run.attempts.flatMap(({ started_at }) => (started_at === null ? [] : [Date.parse(started_at)]));
  const from = Math.min(...starts);
  const span = Math.max(1, ...run.attempts.map((attempt) => endOf(attempt) - from));
  return (
    <ol class="timeline">
      {run.attempts.map((attempt) => (
        <MadeAttempt key={attempt.number} attempt={attempt} from={from} span={span} />
      ))}
      {waits && <NextAttempt key="next" run={run} />}
    </ol>
  );
}

const endOf = ({ finished_at }: Attempt): number => (finished_at === null ? now.value : Date.parse(finished_at));

function MadeAttempt({ attempt, from, span }: { attempt: Attempt; from: number; span: number }) {
  const began = attempt.started_at === null ? from : Date.parse(attempt.started_at);
  const isOpen = attempt.finished_at === null;
  const left = Math.min(99, (100 * (began - from)) / span);
  const width = Math.max(1, (100 * (endOf(attempt) - began)) / span);
  const state = attempt.error ? "failed" : isOpen ? "executing" : "completed";
  const kind = attempt.error ? "bad" : isOpen ? "busy" : "good";
  return (
    <li class="attempt">
      <span class="attempt-dot">
        <Status of={state} isMarkOnly />
      </span>
      <div class="attempt-body">
        <p class="attempt-line">
          <strong>Attempt {attempt.number}</strong>
          <span>{attempt.http_status === null ? state : `HTTP ${attempt.http_status}`}</span>
          <span class="number">{duration(isOpen ? Math.max(0, now.value - began) : attempt.duration_ms)}</span>
          <time class="quiet" dateTime={attempt.started_at ?? undefined}>
            {moment(attempt.started_at)}
          </time>
          {attempt.used_fallback && <span class="quiet">by the fallback</span>}
        </p>
        <div class="attempt-bar" aria-hidden="true">
          <i class={`flow-${kind}`} style={{ clipPath: `inset(0 ${Math.max(0, 100 - left - width)}% 0 ${left}%)` }} />
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
}

const JOB_MS = 10_000;

/** What holds the run back, and until when at least. */
function NextAttempt({ run }: { run: Run }) {
  const job = usePolled(`job ${run.job_id}`, () => api().jobs.get(run.job_id), JOB_MS).data;
  const { waiting_for, earliest_start_at } = run;
  return (
    <li class="attempt">
      <span class="attempt-dot">
        <Status of="waiting" isMarkOnly />
      </span>
      <div class="attempt-body">
        <p class="attempt-line">
          <strong>Attempt {run.attempt + 1}</strong>
          <span>{waiting_for === null ? "is about to start" : `waits ${reasonInWords(waiting_for, job)}`}</span>
        </p>
        {waiting_for !== null && earliest_start_at !== null && (
          <p class="quiet">
            It starts <When at={earliest_start_at} /> at the earliest ({moment(earliest_start_at)}).
          </p>
        )}
      </div>
    </li>
  );
}
