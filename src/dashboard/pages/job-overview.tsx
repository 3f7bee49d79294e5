import type { Job } from "../../client/client.ts";
import { seriesOf } from "../charts.ts";
import { coarse, count, duration, NONE, percent, plural, rate } from "../format.ts";
import type { JobHealth } from "../job-watch.ts";
import { Chart } from "../parts/chart.tsx";
import { Flow } from "../parts/flow.tsx";
import { Empty, Facts, Figure, Loading, Panel } from "../parts/panel.tsx";
import { When } from "../parts/when.tsx";
import { api, usePolled } from "../polling.ts";
import { pairsInWords, reasonInWords, reasonsByWeight } from "../wording.ts";

export function JobOverview({ job, health }: { job: Job; health: JobHealth | undefined }) {
  const quantiles = health?.last_24h.duration_ms;
  const share = health?.last_24h.success_rate ?? null;
  return (
    <div class="stack">
      <div class="figures">
        <Figure
          label="Waiting"
          value={health ? count(health.waiting) : NONE}
          hint={
            health?.oldest_waiting_at ? (
              <>
                oldest <When at={health.oldest_waiting_at} />
              </>
            ) : (
              "none"
            )
          }
        />
        <Figure
          label="In flight"
          value={health ? count(health.concurrency_now) : NONE}
          hint={health ? `of ${count(health.concurrency_limit)} at once` : undefined}
        />
        <Figure label="Success, 24 h" value={share === null ? NONE : percent(share)} hint="of what has ended" />
        <Figure
          label="Duration, median"
          value={duration(quantiles?.p50 ?? null)}
          hint={`95 % within ${duration(quantiles?.p95 ?? null)}`}
        />
      </div>
      <Panel title="What holds it back" aside={<NextStart health={health} />}>
        <div class="panel-body reasons-place">
          <Reasons job={job} health={health} />
        </div>
      </Panel>
      <Charts jobId={job.id} />
      <Panel title="Limits and delivery">
        <div class="panel-body stack">
          {job.description && <p class="prose">{job.description}</p>}
          <Facts of={factsOf(job)} />
        </div>
      </Panel>
    </div>
  );
}

/** Where nothing goes on, and it is known when something will. */
function NextStart({ health }: { health: JobHealth | undefined }) {
  if (!health || health.executing > 0 || health.earliest_start_at === null) return null;
  return (
    <span class="quiet">
      next <When at={health.earliest_start_at} />
    </span>
  );
}

function Reasons({ job, health }: { job: Job; health: JobHealth | undefined }) {
  if (health === undefined) return <p class="quiet">…</p>;
  const reasons = reasonsByWeight(health.waiting_for);
  if (reasons.length === 0) {
    return <p class="quiet">{health.waiting === 0 ? "Nothing waits." : "Nothing: what waits is about to start."}</p>;
  }
  return (
    <ul class="reasons">
      {reasons.map(([reason, n]) => (
        <li key={reason} class="reason">
          <b>{count(n)}</b>
          <span>
            {n === 1 ? "waits" : "wait"} {reasonInWords(reason, job)}
          </span>
          <Flow isSmall label={reason} total={health.waiting} parts={[{ label: reason, value: n, kind: "held" }]} />
        </li>
      ))}
    </ul>
  );
}

const CHARTS_MS = 10_000;
const CHART_PAGES = 3;
const ENDED = ["completed", "failed", "timed_out", "crashed"] as const;

async function newestEnded(jobId: string) {
  const rows = [];
  let cursor: string | undefined;
  for (let page = 0; page < CHART_PAGES; page++) {
    const query = { status: ENDED, limit: 200, cursor };
    const answer = await api().call("GET /v1/jobs/{job}/runs", { params: { job: jobId }, query });
    rows.push(...answer.data);
    if (answer.next_cursor === null) break;
    cursor = answer.next_cursor;
  }
  return seriesOf(rows);
}

function Charts({ jobId }: { jobId: string }) {
  const { data, problem } = usePolled(`charts ${jobId}`, async () => ({ series: await newestEnded(jobId) }), CHARTS_MS);
  const series = data?.series ?? null;
  const says = series
    ? `the newest ${plural(series.runs, "finished run")}, over ${coarse(series.to - series.from)}`
    : "";
  const empty = data ? (
    <Empty title="Nothing has finished yet" />
  ) : problem === null ? (
    <Loading lines={6} />
  ) : (
    <Empty title={problem} />
  );
  return (
    <div class="columns">
      <Panel title="Throughput">
        <div class="chart">
          {series ? (
            <Chart
              label={`Throughput of ${says}: at most ${rate(Math.max(...series.completed))} completed`}
              at={series.at}
              unit={(v) => rate(v)}
              lines={[
                { label: "completed", color: "--good", values: series.completed },
                { label: "not completed", color: "--bad", isDashed: true, values: series.notCompleted },
              ]}
            />
          ) : (
            empty
          )}
        </div>
        <Keys
          lines={[
            ["completed", "tone-good", false],
            ["failed, timed out or crashed", "tone-bad", true],
          ]}
          says={says}
        />
      </Panel>
      <Panel title="Wait before the first call">
        <div class="chart">
          {series ? (
            <Chart
              label={`Wait before the first call, of ${says}`}
              at={series.at}
              unit={(v) => (v < 1 ? duration(v * 1000) : coarse(v * 1000))}
              lines={[
                { label: "median", color: "--busy", values: series.waitMedian },
                { label: "95 %", color: "--held", isDashed: true, values: series.waitMost },
              ]}
            />
          ) : (
            empty
          )}
        </div>
        <Keys
          lines={[
            ["median", "tone-busy", false],
            ["95 % wait less", "tone-held", true],
          ]}
          says={says}
        />
      </Panel>
    </div>
  );
}

function Keys({ lines, says }: { lines: [string, string, boolean][]; says: string }) {
  return (
    <p class="chart-says">
      {lines.map(([label, tone, isDashed]) => (
        <span key={label} class="key">
          <i class={isDashed ? `dashed ${tone}` : tone} aria-hidden="true" /> {label}
        </span>
      ))}
      <span class="chart-span">{says || "\u00a0"}</span>
    </p>
  );
}

const limit = (n: number | null, unit: string): string => (n === null ? "the deployment's" : `${count(n)} ${unit}`);

export const factsOf = (job: Job): [string, preact.ComponentChildren][] => [
  ["Endpoint", <span class="mono">{`${job.endpoint_method} ${job.endpoint_url}`}</span>],
  ["Fallback", job.fallback_endpoint_url ? <span class="mono">{job.fallback_endpoint_url}</span> : "none"],
  ["At once", limit(job.max_concurrency, "calls")],
  [
    "At once per key",
    job.max_concurrency_per_key === null ? "no limit" : `${count(job.max_concurrency_per_key)} calls`,
  ],
  [
    "Rate",
    job.rate_limit_max === null
      ? "no limit"
      : `${plural(job.rate_limit_max, "start")} per ${job.rate_limit_window_secs} s`,
  ],
  [
    "Named rates",
    job.rate_limit_keys?.length
      ? job.rate_limit_keys
          .map(({ name, max, window_secs }) => `${name}: ${count(max)} per ${window_secs} s`)
          .join(", ")
      : "none",
  ],
  [
    "Adaptive",
    job.adaptive_concurrency ? `${job.adaptive_concurrency.min} to ${job.adaptive_concurrency.max} at once` : "off",
  ],
  [
    "Circuit breaker",
    job.circuit_breaker
      ? `${job.circuit_breaker.failures} failures in ${job.circuit_breaker.window_secs} s: rests ${job.circuit_breaker.open_secs} s`
      : "off",
  ],
  ["Heeds Retry-After", job.hold_on_retry_after ? "yes, for the whole job" : "for the run alone"],
  ["Attempts", `${job.max_attempts}, ${job.retry_strategy}, each ${job.timeout_secs} s at most`],
  [
    "Duplicates",
    job.dedup_window_secs ? `refused within ${duration(job.dedup_window_secs * 1000)}` : "by key, within 24 h",
  ],
  ["Expires", job.run_ttl_secs ? `after ${duration(job.run_ttl_secs * 1000)} of waiting` : "never"],
  [
    "Open",
    job.execution_window_cron ? <span class="mono">{`${job.execution_window_cron} (${job.timezone})`}</span> : "always",
  ],
  ["Tells", job.webhook_url ? <span class="mono">{job.webhook_url}</span> : "nobody"],
  ["Then starts", job.on_complete_trigger_workflow ?? "no workflow"],
  [
    "Waiting runs use",
    {
      pin: "the version they were made with",
      latest: "the newest version",
      minor: "the newest compatible version",
    }[job.version_policy],
  ],
  ["Tags", pairsInWords(job.tags)],
];
