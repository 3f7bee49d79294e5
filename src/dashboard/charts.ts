/** What the charts of a job show, from its finished runs. All of it is pure; times are Unix milliseconds. */

export interface ChartRun {
  status: string;
  created_at: string;
  scheduled_at: string | null;
  started_at: string | null;
  finished_at: string | null;
}

export interface JobSeries {
  /** Middles of the buckets, in Unix seconds. */
  at: number[];
  /** Finished per second. */
  completed: number[];
  notCompleted: number[];
  /** Seconds; null where nothing began. */
  waitMedian: (number | null)[];
  waitMost: (number | null)[];
  runs: number;
  from: number;
  to: number;
}

const WIDTHS_MS = [
  ...[100, 200, 500, 1000, 2000, 5000, 10_000, 30_000, 60_000, 300_000, 900_000],
  ...[3_600_000, 10_800_000, 43_200_000, 86_400_000, 604_800_000],
];
const MOST_BUCKETS = 40;

/** Null where no run has finished. */
export function seriesOf(runs: readonly ChartRun[]): JobSeries | null {
  const ended = runs.flatMap((run) => (run.finished_at === null ? [] : [{ run, end: Date.parse(run.finished_at) }]));
  if (ended.length === 0) return null;
  const ends = ended.map(({ end }) => end);
  const from = Math.min(...ends);
  const to = Math.max(...ends);
  const width = WIDTHS_MS.find((ms) => (to - from) / ms < MOST_BUCKETS) ?? (to - from) / (MOST_BUCKETS - 1);
  const first = Math.floor(from / width);
  const buckets = Array.from({ length: Math.floor(to / width) - first + 1 }, () => ({
    good: 0,
    bad: 0,
    waits: [] as number[],
  }));
  for (const { run, end } of ended) {
    const bucket = buckets[Math.floor(end / width) - first];
    if (bucket === undefined) continue;
    if (run.status === "completed") bucket.good += 1;
    else bucket.bad += 1;
    const wait = waitOf(run);
    if (wait !== null) bucket.waits.push(wait / 1000);
  }
  const perSecond = 1000 / width;
  return {
    ...{ runs: ended.length, from, to },
    at: buckets.map((_, i) => ((first + i + 0.5) * width) / 1000),
    completed: buckets.map(({ good }) => good * perSecond),
    notCompleted: buckets.map(({ bad }) => bad * perSecond),
    waitMedian: buckets.map(({ waits }) => rank(waits, 0.5)),
    waitMost: buckets.map(({ waits }) => rank(waits, 0.95)),
  };
}

/** From when it might first go to when it went. */
function waitOf({ created_at, scheduled_at, started_at }: ChartRun): number | null {
  if (started_at === null) return null;
  const since = Math.max(Date.parse(created_at), scheduled_at === null ? 0 : Date.parse(scheduled_at));
  return Math.max(0, Date.parse(started_at) - since);
}

function rank(values: readonly number[], share: number): number | null {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.ceil(share * sorted.length) - 1] ?? null;
}
