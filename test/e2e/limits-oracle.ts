import { fateOf, type Scenario, serialOrder } from "./limits-scenario.ts";
import type { RecordedCall } from "./recording-endpoint.ts";

/**
 * Judges from outside: which limits did the calls that an endpoint has recorded exceed?
 *
 * Sluice promises its limits where it begins and ends a call. So the starts that it tells of are judged without any slack;
 * the endpoint's own record keeps it honest. What the endpoint sees comes later, and not every call equally late: on two
 * busy cores one in a thousand by 75 ms. So there a window is judged `WINDOW_SLACK_MS` shorter than it is, and an overlap
 * that lasts less than `OVERLAP_SLACK_MS` is none.
 */
export const WINDOW_SLACK_MS = 150;
export const OVERLAP_SLACK_MS = 5;

/** When the runtime was killed: calls in flight then may be made again. Unix milliseconds; null: it never was. */
export type KilledAt = number | null;

/** Everything that is wrong with the calls of a scenario's job; batches by the ids they were given, in order. */
export function violations(
  scenario: Scenario,
  batchIds: readonly string[],
  calls: readonly RecordedCall[],
  killedAt: KilledAt,
): string[] {
  return [
    ...tooManyAtOnce(scenario, batchIds, calls),
    ...tooManyInWindows(scenario, batchIds, calls),
    ...lostOrDoubled(scenario, batchIds, calls, killedAt),
    ...(scenario.serial && killedAt === null ? outOfOrder(scenario, calls) : []),
  ];
}

type ItemOf = (call: RecordedCall) => Scenario["batches"][number]["items"][number];

function itemOf(scenario: Scenario, batchIds: readonly string[]): ItemOf {
  return (call) => {
    const item = scenario.batches[batchIds.indexOf(call.batch)]?.items[call.index];
    if (!item) throw new Error(`${scenario.slug} was called for item ${call.index} of batch ${call.batch}`);
    return item;
  };
}

function groupBy(
  calls: readonly RecordedCall[],
  groupsOf: (call: RecordedCall) => string[],
): Map<string, RecordedCall[]> {
  const groups = new Map<string, RecordedCall[]>();
  for (const call of calls) {
    for (const name of groupsOf(call)) {
      const group = groups.get(name);
      if (group) group.push(call);
      else groups.set(name, [call]);
    }
  }
  return groups;
}

// ---------------------------------------------------------------------------------------------- in flight

/** The most calls that were in flight at one instant. */
export function peak(calls: readonly RecordedCall[]): number {
  const steps = calls.flatMap(({ began, ended }): [at: number, step: number][] => {
    const end = (ended ?? Number.POSITIVE_INFINITY) - OVERLAP_SLACK_MS;
    return end > began
      ? [
          [began, 1],
          [end, -1],
        ]
      : [];
  });
  steps.sort(([a, up], [b, other]) => a - b || up - other);
  let now = 0;
  let most = 0;
  for (const [, step] of steps) {
    now += step;
    most = Math.max(most, now);
  }
  return most;
}

function tooManyAtOnce(scenario: Scenario, batchIds: readonly string[], calls: readonly RecordedCall[]): string[] {
  const item = itemOf(scenario, batchIds);
  const found: string[] = [];
  const judge = (what: string, group: readonly RecordedCall[], limit: number | null): void => {
    const most = limit === null ? 0 : peak(group);
    if (limit !== null && most > limit) found.push(`${scenario.slug}: ${most} calls at once, ${what} allows ${limit}`);
  };
  judge("max_concurrency", calls, scenario.max_concurrency);
  const keyed = groupBy(calls, (call) => [item(call).concurrency_key ?? []].flat());
  for (const [key, group] of keyed) judge(`the key ${key}`, group, scenario.max_concurrency_per_key);
  for (const [i, batch] of scenario.batches.entries()) {
    judge(
      `batch ${i}`,
      calls.filter((call) => call.batch === batchIds[i]),
      batch.max_concurrency,
    );
  }
  return found;
}

// ---------------------------------------------------------------------------------------------- windows

/** The most starts that a half-open window of this length holds, wherever it lies. */
export function mostInWindow(starts: readonly number[], windowMs: number): number {
  const sorted = [...starts].sort((a, b) => a - b);
  let most = 0;
  let first = 0;
  for (const [i, at] of sorted.entries()) {
    while ((sorted[first] ?? at) <= at - windowMs) first++;
    most = Math.max(most, i - first + 1);
  }
  return most;
}

function tooManyInWindows(scenario: Scenario, batchIds: readonly string[], calls: readonly RecordedCall[]): string[] {
  const item = itemOf(scenario, batchIds);
  const found: string[] = [];
  const judge = (what: string, group: readonly RecordedCall[], max: number, secs: number): void => {
    const arrived = group.map((call) => call.began);
    const atEndpoint = mostInWindow(arrived, secs * 1000 - WINDOW_SLACK_MS);
    const told = mostInWindow(
      group.flatMap((call) => call.started ?? []),
      secs * 1000,
    );
    if (atEndpoint > max) found.push(`${scenario.slug}: ${atEndpoint} arrived in ${secs} s, ${what} allows ${max}`);
    if (told > max) found.push(`${scenario.slug}: ${told} starts in ${secs} s, ${what} allows ${max}`);
  };
  const { rate_limit_max: max, rate_limit_window_secs: secs, rate_limit_keys: named } = scenario;
  if (max !== null && secs !== null) judge("the job's rate limit", calls, max, secs);
  const windows = groupBy(calls, (call) => item(call).rate_limit_keys ?? named.map(({ name }) => name));
  for (const [window, group] of windows) {
    const limit = named.find(({ name }) => window === name || window.startsWith(`${name}:`));
    if (limit) judge(`the limit ${window}`, group, limit.max, limit.window_secs);
  }
  return found;
}

// ---------------------------------------------------------------------------------------------- counts and order

function lostOrDoubled(
  scenario: Scenario,
  batchIds: readonly string[],
  calls: readonly RecordedCall[],
  killedAt: KilledAt,
): string[] {
  const found: string[] = [];
  const byItem = groupBy(calls, (call) => [`${call.batch} ${call.index}`]);
  for (const [b, batch] of scenario.batches.entries()) {
    for (const [index, item] of batch.items.entries()) {
      const made = byItem.get(`${batchIds[b]} ${index}`) ?? [];
      const names = made.filter((call) => !isRepeated(call, made, killedAt)).map(nameOf);
      const expected = fateOf(item, scenario).calls;
      if (names.join() !== expected.join()) {
        found.push(
          `${scenario.slug}: item ${index} of batch ${b} led to [${made.map(nameOf)}], expected [${expected}]`,
        );
      }
      if (new Set(made.map((call) => call.run)).size > 1) found.push(`${scenario.slug}: item ${index} became two runs`);
    }
  }
  return found;
}

const nameOf = (call: RecordedCall): string => `${call.attempt}${call.fallback ? "f" : ""}`;

/** The first of two equal calls, of which the kill left no report: it began before, the other afterwards. */
const isRepeated = (call: RecordedCall, made: readonly RecordedCall[], killedAt: KilledAt): boolean =>
  killedAt !== null &&
  call.began < killedAt &&
  made.some((other) => other.began > killedAt && nameOf(other) === nameOf(call));

/**
 * One call at a time, everything sent before the first: higher priorities first, and within a priority lines in turn, each
 * first come first served. Behind a full window lines wait in an order of their own: there only each line's is judged.
 */
function outOfOrder(scenario: Scenario, calls: readonly RecordedCall[]): string[] {
  const items = scenario.batches[0]?.items ?? [];
  const lineOf = (index: number) => `${items[index]?.priority}/${items[index]?.concurrency_key}`;
  const made = [...calls].sort((a, b) => a.began - b.began).map((call) => call.index);
  const expected = serialOrder(items);
  const inTurn = scenario.rate_limit_keys.length === 0;
  const judged = (order: readonly number[]): (number | undefined)[] =>
    inTurn ? [...order] : [...order.map((index) => items[index]?.priority), ...[...order].sort(byText(lineOf))];
  const rightly = judged(expected);
  const at = judged(made).findIndex((index, i) => index !== rightly[i]);
  return at === -1 ? [] : [`${scenario.slug}: call ${at} was for item ${made[at]}, expected item ${expected[at]}`];
}

/** Sorting keeps the order of what is equal: so each line's own order stays to be seen. */
const byText =
  (textOf: (index: number) => string) =>
  (a: number, b: number): number =>
    textOf(a) < textOf(b) ? -1 : textOf(a) > textOf(b) ? 1 : 0;
