/** How far a batch is. */
export interface Progress {
  done: number;
  total: number;
  /** Beside the bar, in order: `{completed: 90, failed: 2}`. */
  counts: Record<string, number>;
  elapsedMs: number;
}

/** What is counted: things one by one, or bytes. */
export type Unit = "" | "B";

const STEPS = ["B", "kB", "MB", "GB", "TB"];

/** `1.5 MB`. */
export function inBytes(count: number): string {
  const step = Math.min(STEPS.length - 1, Math.max(0, Math.floor(Math.log10(Math.max(1, count)) / 3)));
  const scaled = count / 1000 ** step;
  return `${step === 0 ? scaled : scaled.toFixed(1)} ${STEPS[step]}`;
}

const BAR_WIDTH = 30;
/** A shorter bar says nothing: then counts give way. */
const LEAST_BAR_WIDTH = 8;
/** `[`, `]` and ` 100 %  `. */
const AROUND_BAR = 10;

/** Whole seconds as `1:05`. */
export function clock(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

/**
 * `[####----]  50 %  100/200 · 90 completed · 10 failed · 25/s · 0:04 left`.
 *
 * @param columns where that is too wide, the bar is shorter, and then counts are left out from the last on: how far it is,
 *   its rate and the time left always stand there.
 */
export function renderProgress(
  { done, total, counts, elapsedMs }: Progress,
  unit: Unit = "",
  columns = Number.POSITIVE_INFINITY,
): string {
  const amount = (n: number): string => (unit === "B" ? inBytes(n) : String(n));
  const share = total === 0 ? 0 : done / total;
  const perSecond = elapsedMs > 0 ? (done * 1000) / elapsedMs : 0;
  const left = perSecond > 0 ? `${clock((total - done) / perSecond)} left` : "";
  const counted = Object.entries(counts).flatMap(([name, count]) => (count > 0 ? [`${count} ${name}`] : []));
  const speed = [`${amount(Math.round(perSecond))}/s`, left].filter(Boolean);
  const factsWith = (n: number): string =>
    [`${amount(done)}/${amount(total)}`, ...counted.slice(0, n), ...speed].join(" · ");
  let kept = counted.length;
  while (kept > 0 && columns - AROUND_BAR - factsWith(kept).length < LEAST_BAR_WIDTH) kept -= 1;
  const facts = factsWith(kept);
  const width = Math.max(0, Math.min(BAR_WIDTH, columns - AROUND_BAR - facts.length));
  const filled = Math.floor(share * width);
  const bar = "#".repeat(filled) + "-".repeat(width - filled);
  return `[${bar}] ${String(Math.floor(share * 100)).padStart(3)} %  ${facts}`;
}

export interface ProgressView {
  show(progress: Progress): void;
  /** Leaves the last state standing and goes to the next line. */
  end(): void;
}

const PLAIN_EVERY_MS = 2_000;

/** One line that is drawn over on a terminal; a line now and then elsewhere. */
export function progressView(out: NodeJS.WriteStream, unit: Unit = ""): ProgressView {
  let latest: Progress | null = null;
  let shownAt = Number.NEGATIVE_INFINITY;
  const plain = (progress: Progress) => {
    shownAt = progress.elapsedMs;
    out.write(`${renderProgress(progress, unit)}\n`);
  };
  const drawn = (progress: Progress): string => {
    const columns = Math.max(20, (out.columns ?? 120) - 1);
    return renderProgress(progress, unit, columns).slice(0, columns);
  };
  return {
    show(progress) {
      latest = progress;
      if (out.isTTY) out.write(`\r\x1b[2K${drawn(progress)}`);
      else if (progress.elapsedMs - shownAt >= PLAIN_EVERY_MS) plain(progress);
    },
    end() {
      if (out.isTTY) out.write("\n");
      else if (latest && latest.elapsedMs !== shownAt) plain(latest);
    },
  };
}
