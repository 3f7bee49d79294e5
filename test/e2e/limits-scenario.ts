/**
 * Random jobs with random limits, and what must become of their items. Everything comes from one seed.
 *
 * A scenario stands for one job: how it is made, the batches that are sent to it, and the calls that each item must lead to.
 */

export interface NamedLimit {
  name: string;
  max: number;
  window_secs: number;
}

export interface Item {
  payload: { ms: number; fail: number; fallback_fails: boolean };
  concurrency_key?: string;
  rate_limit_keys?: string[];
  priority: number;
}

export interface ScenarioBatch {
  max_concurrency: number | null;
  items: Item[];
}

export interface Scenario {
  slug: string;
  /** One call at a time, everything sent while the job is paused: the order of the calls is known. */
  serial: boolean;
  max_concurrency: number | null;
  max_concurrency_per_key: number | null;
  rate_limit_max: number | null;
  rate_limit_window_secs: number | null;
  rate_limit_keys: NamedLimit[];
  max_attempts: number;
  fallback: boolean;
  batches: ScenarioBatch[];
}

/** Numbers from 0 to below 1 (mulberry32). */
export type Dice = () => number;

export function dice(seed: number): Dice {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Items of a batch that makes one call at a time: enough to see it, and no more than it makes in some seconds. */
const ONE_AT_A_TIME = 60;

const PARTITIONS = ["a", "b:c", "日本", 'd"\\ e'];

/**
 * @param long windows of 6 to 8 s, so that they reach over a restart; else 1 or 2 s.
 */
export function randomScenario(random: Dice, index: number, long: boolean): Scenario {
  const int = (from: number, to: number): number => from + Math.floor(random() * (to - from + 1));
  const chance = (share: number): boolean => random() < share;
  const serial = index % 5 === 4;
  const count = serial ? int(50, 80) : int(120, 220);
  const windowSecs = () => (long ? int(6, 8) : int(1, 2));
  /** So many starts a window that `starts` of them take some seconds. */
  const maxFor = (starts: number, secs: number) =>
    Math.max(4, Math.ceil((starts * secs) / (long ? int(8, 11) : int(3, 7))));
  const names = Array.from({ length: chance(0.7) ? int(1, 3) : 0 }, (_, i) => `limit-${i}`);
  const rate = names.length === 0 || chance(0.5) ? windowSecs() : null;
  const keys = chance(0.6) || serial ? int(2, 9) : 0;
  const perKey = keys > 0 && chance(0.8) ? int(1, 3) : null;
  const maxAttempts = int(2, 3);
  const partitioned = chance(0.6);

  const item = (): Item => ({
    payload: {
      ms: serial ? 0 : int(0, 40),
      fail: serial || chance(0.85) ? 0 : int(1, maxAttempts),
      fallback_fails: chance(0.5),
    },
    ...(keys > 0 && (perKey !== null || chance(0.7)) && { concurrency_key: `key-${int(1, keys)}` }),
    ...(names.length > 0 && !serial && chance(0.5) && { rate_limit_keys: drawn(names, partitioned) }),
    priority: serial || chance(0.3) ? int(0, 10) : 0,
  });
  const drawn = (all: string[], withPartition: boolean): string[] =>
    all
      .filter(() => chance(0.6))
      .map((name) => (withPartition && chance(0.8) ? `${name}:${PARTITIONS[int(0, PARTITIONS.length - 1)]}` : name));

  const parts = serial ? 1 : int(1, 3);
  const batch = (): ScenarioBatch => {
    const max_concurrency = !serial && chance(0.5) ? int(1, 8) : null;
    const length = Math.min(Math.ceil(count / parts), (max_concurrency ?? count) * ONE_AT_A_TIME);
    return { max_concurrency, items: Array.from({ length }, item) };
  };
  return {
    slug: `scenario-${index}`,
    serial,
    max_concurrency: serial ? 1 : chance(0.8) ? int(2, 24) : null,
    max_concurrency_per_key: perKey,
    rate_limit_max: rate === null ? null : maxFor(count, rate),
    rate_limit_window_secs: rate,
    rate_limit_keys: names.map((name) => {
      const window_secs = windowSecs();
      return { name, max: maxFor(serial ? count : count / 2, window_secs), window_secs };
    }),
    max_attempts: maxAttempts,
    fallback: !serial && chance(0.4),
    batches: Array.from({ length: parts }, batch),
  };
}

export const itemCount = (scenario: Scenario): number =>
  scenario.batches.reduce((sum, { items }) => sum + items.length, 0);

export interface Fate {
  status: "completed" | "failed";
  /** In order: `1` the first attempt's call, `1f` its fallback, `2` … */
  calls: string[];
}

/** What must become of an item whose consumers never vanish. */
export function fateOf(
  { payload }: Item,
  { max_attempts, fallback }: Pick<Scenario, "max_attempts" | "fallback">,
): Fate {
  const calls: string[] = [];
  for (let attempt = 1; attempt <= max_attempts; attempt++) {
    calls.push(`${attempt}`);
    if (attempt > payload.fail) return { status: "completed", calls };
    if (!fallback) continue;
    calls.push(`${attempt}f`);
    if (!payload.fallback_fails) return { status: "completed", calls };
  }
  return { status: "failed", calls };
}

/** The indices of one batch's items in the order in which one call at a time makes them (contract 4.4, "Order"). */
export function serialOrder(items: readonly Item[]): number[] {
  const order: number[] = [];
  const priorities = [...new Set(items.map((item) => item.priority))].sort((a, b) => b - a);
  for (const priority of priorities) {
    const lines = new Map<string | null, number[]>();
    for (const [index, item] of items.entries()) {
      if (item.priority !== priority) continue;
      const key = item.concurrency_key ?? null;
      lines.set(key, [...(lines.get(key) ?? []), index]);
    }
    for (let round = 0; lines.size > 0; round++) {
      for (const [key, line] of lines) {
        const index = line[round];
        if (index === undefined) lines.delete(key);
        else order.push(index);
      }
    }
  }
  return order;
}
